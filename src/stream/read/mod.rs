//! The readers of a stream: positions in its log, and the set of waiters that wakes them.
//!
//! A reader holds no events. It takes handles to entries when its client has room for them.

mod backlog;
mod id_frame;
mod reader_info;
mod replay_check;
mod subscription;
mod tap;
mod waiter_group;
mod waiters;

pub(crate) use backlog::Backlog;
pub(super) use backlog::{CatchUpState, CaughtUp};
pub(crate) use id_frame::IdFrameCache;
pub(crate) use reader_info::{Client, ReaderInfo};
pub use replay_check::ReplayCheck;
pub use subscription::{Ready, Subscription};
pub use tap::{Tap, Tapped};
pub(crate) use waiter_group::WaiterHandle;
pub(super) use waiter_group::WakeSweep;
pub(super) use waiters::WaiterSet;
