//! A request whose route is known: what every kind of route needs of it.

use std::sync::Arc;

use super::app::App;
use super::request::target::RequestTarget;
use super::request::trace::Trace;
use crate::listen::IncomingRequest;
use crate::route::Route;

/// A request to a route. Its body is apart, because only one step can take it.
#[derive(Clone, Copy)]
pub(super) struct RoutedRequest<'r> {
    pub(super) app: &'r Arc<App>,
    pub(super) route: &'r Arc<Route>,
    /// The values of the pattern's captures, by name.
    pub(super) captures: &'r [(String, String)],
    pub(super) target: &'r RequestTarget,
    pub(super) request: &'r IncomingRequest,
    pub(super) trace: &'r Trace,
}
