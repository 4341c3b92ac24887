//! A rendered response that clients share while many copies of it wait for their clients.
//!
//! A render takes hundreds of kilobytes and a request for it takes 40 bytes. Clients that ask and read nothing would
//! otherwise hold one each. A port that is not crowded renders for each request.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Mutex;

use super::blocking::blocking;
use crate::runtime::panics::Panics;

/// The renders of one resource that clients have not taken yet.
#[derive(Default)]
pub(super) struct SharedRender(Mutex<Vec<Render>>);

struct Render {
    made: Instant,
    text: Weak<String>,
}

impl SharedRender {
    /// Renders the resource off the runtime's workers, once at a time. Returns the latest render instead if it is younger
    /// than [`MAX_AGE`] and [`MAX_FRESH`] of them wait for their clients. Returns `None` if the render panics; `name` is
    /// the resource in the report of that.
    pub(super) async fn get(
        &self,
        panics: &Panics,
        name: &'static str,
        render: impl FnOnce() -> String + Send + 'static,
    ) -> Option<Bytes> {
        let mut waiting = self.0.lock().await;
        waiting.retain(|render| render.text.strong_count() > 0);
        if waiting.len() >= MAX_FRESH
            && let Some(latest) = waiting.last().filter(|latest| latest.made.elapsed() < MAX_AGE)
            && let Some(text) = latest.text.upgrade()
        {
            return Some(Bytes::from_owner(SharedText(text)));
        }
        let text = Arc::new(blocking(panics, name, render).await?);
        waiting.push(Render { made: Instant::now(), text: Arc::downgrade(&text) });
        Some(Bytes::from_owner(SharedText(text)))
    }
}

/// The text of a render as the owner of a response's bytes.
struct SharedText(Arc<String>);

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Maximum number of renders of one resource that wait for their clients before others share the latest.
const MAX_FRESH: usize = 4;

/// The maximum age of a render that is shared.
const MAX_AGE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn renders_are_shared_only_while_several_wait_for_their_clients() {
        let (shared, panics) = (SharedRender::default(), Panics::default());
        let get = async |number: usize| {
            shared.get(&panics, "/metrics", move || number.to_string()).await.expect("it does not panic")
        };

        let mut waiting = Vec::new();
        for number in 0..10 {
            waiting.push(get(number).await);
        }
        assert_eq!(waiting.last().map(|text| &text[..]), Some(&b"3"[..]));
        drop(waiting);

        assert_eq!([get(10).await, get(11).await], ["10", "11"]);
    }
}
