//! Listening sockets and their accept loops, within limits.
//!
//! | file | contents |
//! |---|---|
//! | [`listener`] | a bound socket and its accept loop |
//! | [`socket`] | socket options |
//! | [`inherited`] | sockets that systemd passed |
//! | [`handover`] | closing a socket without resetting queued connections |
//! | [`limits`] | the limits that all listeners share |
//! | [`admission`] | connection counts, in total and for each address |
//! | [`rate_limiter`] | accepts and handshakes per second |

mod admission;
mod handover;
mod inherited;
mod limits;
mod listener;
mod rate_limiter;
mod socket;

pub(super) use admission::{Admitted, ConnectionLimit};
pub use handover::Handover;
pub use inherited::InheritedSockets;
pub use limits::AcceptLimits;
pub use listener::Listener;
pub use rate_limiter::RateLimiter;
pub use socket::bind;
