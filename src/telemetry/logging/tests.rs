use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{debug, info, subscriber::with_default, warn};

use super::*;

/// A writer into memory, in place of standard error.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

fn lines(format: Format, filter: Option<&str>, act: impl FnOnce(&FilterHandle)) -> String {
    let written = Written::default();
    let writer = written.clone();
    let (subscriber, filter) = subscriber(format, filter, false, move || writer.clone()).unwrap();
    let handle = FilterHandle { filter, queue: LogQueue::default() };
    with_default(subscriber, || act(&handle));
    written.text()
}

fn listening() {
    let address = SocketAddr::from(([127, 0, 0, 1], 8443));
    info!(%address, tls = true, "listening");
}

#[test]
fn the_listening_line_is_as_documented() {
    let text = lines(Format::Text, None, |_| listening());

    assert!(text.contains("listening address=127.0.0.1:8443 tls=true\n"), "{text:?}");
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn a_json_line_has_its_fields_at_the_top() {
    let text = lines(Format::Json, None, |_| listening());

    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["message"], "listening");
    assert_eq!(line["address"], "127.0.0.1:8443");
    assert_eq!(line["tls"], true);
    assert_eq!(line["level"], "INFO");
}

#[test]
fn a_bare_level_applies_to_our_own_targets() {
    let text = lines(Format::Text, Some("debug"), |_| {
        debug!("ours");
        info!(target: "hyper", "theirs, chatty");
        warn!(target: "hyper", "theirs, grave");
    });

    assert!(text.contains("ours") && text.contains("theirs, grave"), "{text}");
    assert!(!text.contains("chatty"), "{text}");
}

#[test]
fn a_list_of_directives_is_used_as_it_is() {
    let text = lines(Format::Text, Some("hyper=debug"), |_| {
        info!("ours");
        debug!(target: "hyper", "theirs");
    });

    assert!(text.contains("theirs") && !text.contains("ours"), "{text}");
}

#[test]
fn the_filter_changes_while_running() {
    let text = lines(Format::Text, Some("warn"), |handle| {
        info!("before");
        handle.set(Some("info")).unwrap();
        info!("after");
        handle.set(Some("rillgate=loud")).unwrap_err();
        info!("still");
    });

    assert!(!text.contains("before") && text.contains("after") && text.contains("still"), "{text}");
}

#[test]
fn off_silences_all_targets() {
    let text = lines(Format::Text, Some("off"), |_| tracing::error!(target: "hyper", "theirs"));

    assert_eq!(text, "");
}
