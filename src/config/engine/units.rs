//! Parses durations, sizes and memory bounds.
//!
//! A value is parsed exactly or rejected. A wrong unit is never guessed; the error suggests the right one. Bounds are
//! checked by the caller.

use std::time::Duration;

/// A memory bound, absolute or relative to the available memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Memory {
    /// A number of bytes.
    Bytes(u64),
    /// A percentage (1 to 100) of the control group's limit, or of the machine's memory if there is no limit.
    Percent(u8),
}

/// A parse error, with the value that was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MalformedValue {
    pub(crate) message: &'static str,
    pub(crate) suggestion: Option<String>,
}

const MILLISECOND: u128 = 1_000_000;
const SECOND: u128 = 1000 * MILLISECOND;

/// Nanoseconds in each unit.
const TIME_UNITS: &[(&str, u128)] =
    &[("ms", MILLISECOND), ("s", SECOND), ("m", 60 * SECOND), ("h", 3600 * SECOND), ("d", 86_400 * SECOND)];

/// Billionths of a byte in each unit, so that decimal fractions are exact.
const SIZE_UNITS: &[(&str, u128)] = &[("B", NANO), ("KiB", NANO << 10), ("MiB", NANO << 20), ("GiB", NANO << 30)];

const NANO: u128 = 1_000_000_000;

/// Common wrong spellings of units, each with the right one. Durations and sizes share the table.
const MISTAKEN_UNITS: &[(&str, &str)] = &[
    ("", "s"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("msec", "ms"),
    ("millis", "ms"),
    ("milliseconds", "ms"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("", "B"),
    ("bytes", "B"),
    ("k", "KiB"),
    ("kb", "KiB"),
    ("kib", "KiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("mib", "MiB"),
    ("g", "GiB"),
    ("gb", "GiB"),
    ("gib", "GiB"),
];

/// Parses a duration in the syntax of the configuration file, for the command line.
///
/// # Errors
/// The message of the problem.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    duration(text).map_err(|malformed| malformed.message)
}

/// Parses a duration such as `500ms`, `1.5s`, `10m`, `2h`, `1d`.
pub(crate) fn duration(text: &str) -> Result<Duration, MalformedValue> {
    const MESSAGE: &str = "invalid duration: expected a number and a unit (ms, s, m, h, d), such as \"15s\"";
    let nanoseconds = scaled(text, TIME_UNITS, MESSAGE)?;
    let seconds = u64::try_from(nanoseconds / SECOND);
    let seconds = seconds.map_err(|_| MalformedValue { message: "duration too long", suggestion: None })?;
    Ok(Duration::new(seconds, (nanoseconds % SECOND) as u32))
}

/// Parses a size such as `100B`, `64KiB`, `1.5MiB`, `1GiB`. Returns bytes.
pub(crate) fn size(text: &str) -> Result<u64, MalformedValue> {
    const MESSAGE: &str = "invalid size: expected a number and a unit (B, KiB, MiB, GiB), such as \"64KiB\"";
    let bytes = scaled(text, SIZE_UNITS, MESSAGE)? / NANO;
    u64::try_from(bytes).map_err(|_| MalformedValue { message: "size too large", suggestion: None })
}

/// Reads `80%` or a size.
pub(crate) fn memory(text: &str) -> Result<Memory, MalformedValue> {
    let Some(percent) = text.strip_suffix('%') else { return size(text).map(Memory::Bytes) };
    match percent.parse() {
        Ok(percent @ 1..=100) if text.starts_with(|c: char| c.is_ascii_digit()) => Ok(Memory::Percent(percent)),
        _ => Err(MalformedValue { message: "invalid percentage: expected 1% to 100%", suggestion: None }),
    }
}

/// Parses a decimal number and its unit. Returns the product, in the base unit of `units`.
fn scaled(text: &str, units: &[(&str, u128)], message: &'static str) -> Result<u128, MalformedValue> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let malformed = |suggestion| MalformedValue { message, suggestion };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
        return Err(malformed(None));
    }
    let Some(&(_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let given = unit.trim().to_ascii_lowercase();
        let known = |wanted: &str| units.iter().map(|&(name, _)| name).find(|&name| name == wanted);
        let meant = known(&given).or_else(|| {
            MISTAKEN_UNITS.iter().filter(|(wrong, _)| *wrong == given).find_map(|&(_, right)| known(right))
        });
        return Err(malformed(meant.map(|unit| format!("{number}{unit}"))));
    };
    let too_large = || malformed(None);
    let whole: u128 = whole.parse::<u64>().map_err(|_| too_large())?.into();
    let fraction: u128 = format!("{decimals:0<9}").parse().map_err(|_| too_large())?;
    Ok(whole * factor + fraction * factor / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_with_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in [
            "",
            "s",
            "15",
            "-1s",
            "1e3s",
            "1.s",
            ".5s",
            "1.2.3s",
            "15 s",
            "+1s",
            "15S",
            "1m30s",
            "99999999999999999999s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(duration("18446744073709551615d").is_err());
    }

    #[test]
    fn a_size_is_a_number_with_a_binary_unit() {
        assert_eq!(size("100B"), Ok(100));
        assert_eq!(size("64KiB"), Ok(64 << 10));
        assert_eq!(size("1.5MiB"), Ok(3 << 19));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(memory("80%"), Ok(Memory::Percent(80)));
        assert_eq!(memory("512MiB"), Ok(Memory::Bytes(512 << 20)));
        for bad in ["0%", "101%", "+5%", "%", "1.5%"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wrong_unit_has_a_suggestion() {
        let suggestion = |result: Result<u64, MalformedValue>| result.expect_err("a wrong unit").suggestion;

        assert_eq!(suggestion(size("8MB")).as_deref(), Some("8MiB"));
        assert_eq!(suggestion(size("64k")).as_deref(), Some("64KiB"));
        assert_eq!(duration("15 sec").expect_err("a wrong unit").suggestion.as_deref(), Some("15s"));
        assert_eq!(duration("15").expect_err("a wrong unit").suggestion.as_deref(), Some("15s"));
        assert_eq!(duration("5MiB").expect_err("a size").suggestion, None);
    }
}
