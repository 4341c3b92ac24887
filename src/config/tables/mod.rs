//! The tables of `rillgate.toml`: the declaration of their keys, and the code that makes settings of them.
//!
//! | file | |
//! |---|---|
//! | `root` | the whole file |
//! | `server` | `[server]`, `[log]`, `[store]`, `[revocations]`, `[admin]`, `[limits]` |
//! | `listeners`, `issuers`, `upstreams` | the tables of these names |
//! | `routes`, `auth`, `delivery` | `[[routes]]`, its `auth`, and its other tables |
//! | `references` | the tables that a route refers to |
//! | `parsers` | addresses, labels, hosts, header names, claims, origins |
//! | `referenced_files` | the files and variables that the file names |

mod auth;
mod delivery;
mod issuers;
mod listeners;
mod parsers;
mod referenced_files;
mod references;
mod root;
mod routes;
mod server;
mod upstreams;

pub(crate) use self::referenced_files::read as read_file;
pub(crate) use self::root::{FILE, config};
