//! What for: which route a request is for, and what that route decides.

mod observer;
pub mod path;
pub mod pattern;
pub mod percent;
mod settings;
mod table;
pub mod template;

pub use observer::RouteObserver;
pub use settings::*;
pub use table::{Route, Routes};
