//! The PROXY protocol: the client's address, as a trusted proxy reports it.
//!
//! | file | contents |
//! |---|---|
//! | [`header`] | the parser of both versions |
//! | [`reader`] | reading the header from a new connection |
//! | [`trusted`] | the networks of trusted proxies |

mod header;
mod reader;
mod trusted;

pub(super) use reader::{ProxiedPeer, read_client};
pub use trusted::TrustedProxies;
