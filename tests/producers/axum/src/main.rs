//! Server-Sent Events from axum, as its documentation shows them: ids, types, `retry`, keep-alive comments, and resume.
//!
//!     axum-events HOST PORT

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::Stream;
use futures_util::stream::unfold;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (host, port) = (arguments.next().expect("a host"), arguments.next().expect("a port"));
    let listener = tokio::net::TcpListener::bind(format!("{host}:{port}")).await.expect("a free port");
    axum::serve(listener, Router::new().route("/events", get(events))).await.expect("no end");
}

async fn events(headers: HeaderMap) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()).unwrap_or(0);
    let events = unfold(last, |last: u64| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Some((Ok(event(last + 1)), last + 1))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

fn event(number: u64) -> Event {
    let event = Event::default().id(number.to_string());
    match number {
        1 => event
            .comment("hello")
            .retry(Duration::from_millis(100))
            .event("price")
            .data(r#"{"symbol":"EURUSD","price":1.0821,"currency":"€"}"#),
        2 => event.data("first line\nsecond line"),
        _ => event.event("tick").data(format!(r#"{{"number":{number}}}"#)),
    }
}
