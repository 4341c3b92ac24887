//! What for: which route a request is for, and what that route decides.

mod observer;
pub mod pattern;
mod settings;
mod table;

pub use observer::RouteObserver;
pub use settings::*;
pub use table::{Route, Routes};
