//! The tables of `rillgate.toml`: declarations of their keys, and code that builds settings from them.
//!
//! | file | contents |
//! |---|---|
//! | `root` | the root table |
//! | `server` | `[server]`, `[log]`, `[store]`, `[revocations]`, `[admin]`, `[limits]` |
//! | `listeners`, `issuers`, `upstreams` | the tables of these names |
//! | `routes`, `auth`, `delivery`, `forward` | `[[routes]]`, its `auth`, and its other tables |
//! | `references` | the other tables that a route refers to |
//! | `parsers` | addresses, labels, hosts, header names, claims, origins |
//! | `referenced_files` | files and environment variables named in the configuration |

mod auth;
mod cluster;
mod delivery;
mod forward;
mod issuers;
mod listeners;
mod parsers;
mod post;
mod referenced_files;
mod references;
mod root;
mod routes;
mod server;
mod upstreams;

pub(crate) use self::referenced_files::read as read_file;
pub(crate) use self::root::{KEYS, config};
pub(super) use post::show_defaults as show_post_defaults;
