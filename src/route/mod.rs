//! Routes: which route a request matches, and the settings of that route.

mod identity;
mod observer;
pub mod path;
pub mod pattern;
pub mod percent;
mod post_settings;
mod resource;
mod settings;
mod table;
pub mod template;

pub use observer::{RouteObserver, stream_state};
pub use post_settings::{PostKeySource, PostSettings};
pub use resource::Resource;
pub use settings::*;
pub use table::{Route, Routes};
