//! The HTML standard's "Interpreting an event stream", written down word by word over a whole body.
//!
//! Slow and plain on purpose: it decodes everything, then splits into lines, then interprets. It shares no code with
//! the gateway, which is what makes a comparison with it worth something. It has no limits.

/// One event as a script sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatched {
    /// The type, `message` where the stream named none.
    pub kind: String,
    /// The data, lines joined by LF.
    pub data: String,
    /// The last event id in force, whether this event set it or an earlier block did.
    pub last_event_id: String,
}

/// Everything that a body says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(dead_code, reason = "not every test crate that includes the corpus looks beyond the events")]
pub struct Interpretation {
    /// The events, in order.
    pub dispatched: Vec<Dispatched>,
    /// The reconnection times in milliseconds, in order, saturated at `u32::MAX`.
    pub retries: Vec<u32>,
    /// The number of comments.
    pub comments: usize,
    /// The last event id at the last completed block.
    pub last_event_id: String,
}

/// Returns the events that a standard-conforming client dispatches for a whole body.
pub fn dispatch(bytes: &[u8]) -> Vec<Dispatched> {
    interpret(bytes).dispatched
}

/// Everything that a standard-conforming client takes from a whole body.
pub fn interpret(bytes: &[u8]) -> Interpretation {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);

    let mut interpretation = Interpretation::default();
    let mut data_buffer = String::new();
    let mut event_type_buffer = String::new();
    let mut last_event_id_buffer = String::new();

    for line in complete_lines(text) {
        if line.is_empty() {
            interpretation.last_event_id = last_event_id_buffer.clone();
            if data_buffer.is_empty() {
                event_type_buffer.clear();
                continue;
            }
            assert_eq!(data_buffer.pop(), Some('\n'), "every data field ends with a line feed");
            let kind = if event_type_buffer.is_empty() { "message".to_owned() } else { event_type_buffer.clone() };
            interpretation.dispatched.push(Dispatched {
                kind,
                data: data_buffer.clone(),
                last_event_id: last_event_id_buffer.clone(),
            });
            data_buffer.clear();
            event_type_buffer.clear();
            continue;
        }
        if line.starts_with(':') {
            interpretation.comments += 1;
            continue;
        }
        let (name, value) = match line.find(':') {
            None => (line.as_str(), ""),
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], if let Some(rest) = value.strip_prefix(' ') { rest } else { value })
            }
        };
        if name == "event" {
            event_type_buffer = value.to_owned();
        } else if name == "data" {
            data_buffer.push_str(value);
            data_buffer.push('\n');
        } else if name == "id" {
            if !value.contains('\0') {
                last_event_id_buffer = value.to_owned();
            }
        } else if name == "retry" && !value.is_empty() && value.chars().all(|digit| digit.is_ascii_digit()) {
            interpretation.retries.push(value.parse().unwrap_or(u32::MAX));
        }
    }
    interpretation
}

/// The lines that have an end. What comes after the last end is not a line of the stream.
fn complete_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' => lines.push(std::mem::take(&mut line)),
            '\r' => {
                characters.next_if_eq(&'\n');
                lines.push(std::mem::take(&mut line));
            }
            other => line.push(other),
        }
    }
    lines
}
