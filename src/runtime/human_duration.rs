//! Durations in words, for errors and logs.

use std::time::Duration;

/// Formats whole seconds as "3 s" and everything else as "1500 ms".
pub fn format_duration(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 if duration.as_secs() > 0 => format!("{} s", duration.as_secs()),
        _ => format!("{} ms", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_are_shown_as_seconds_and_others_as_milliseconds() {
        let said = [0, 400, 1000, 1500, 60_000].map(|millis| format_duration(Duration::from_millis(millis)));

        assert_eq!(said, ["0 ms", "400 ms", "1 s", "1500 ms", "60 s"]);
    }
}
