//! Conversion between RFC 3339 dates and `SystemTime`.
//!
//! Whole seconds from 1970 to the end of 9999, written in UTC. Does not parse text, which TOML's parser has done
//! already.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use toml::value::{Datetime, Offset};

/// Converts a date and time with an offset. A fraction of a second counts as a whole one. Returns `None` without date,
/// time or offset, and outside the years 1970 to 9999.
pub(super) fn to_system_time(at: &Datetime) -> Option<SystemTime> {
    let (date, time) = (at.date?, at.time?);
    let offset = match at.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    // Days since 1970 in the Gregorian calendar, with years that begin in March.
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - DAYS_TO_1970;
    let minutes = (days * 24 + i64::from(time.hour)) * 60 + i64::from(time.minute) - offset;
    let fraction = i64::from(time.nanosecond.is_some_and(|nanosecond| nanosecond > 0));
    let seconds = minutes * 60 + i64::from(time.second.unwrap_or_default()) + fraction;
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds <= LAST)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Formats a time as `2030-01-31T12:00:00Z`. Drops the fraction of a second; clamps to the first and last second of the
/// supported years.
pub fn format(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().min(LAST);
    let (days, second) = (seconds / DAY, seconds % DAY);
    // The same calendar in reverse: eras of 400 years, years that begin in March.
    let days = days + DAYS_TO_1970.unsigned_abs();
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days from 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: i64 = 719_468;
const DAY: u64 = 24 * 60 * 60;
/// The last second of the year 9999, in seconds since 1970.
const LAST: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let at = to_system_time(&text.parse().expect("a date-time of TOML"))?;
        Some(at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs())
    }

    #[test]
    fn known_times_are_converted_and_formatted() {
        for (text, known) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2024-12-31T23:59:59Z", 1_735_689_599),
            ("2100-02-28T23:59:59Z", 4_107_542_399),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", LAST),
        ] {
            assert_eq!(seconds(text), Some(known), "{text}");
            assert_eq!(format(UNIX_EPOCH + Duration::from_secs(known)), text);
        }
    }

    #[test]
    fn an_offset_is_subtracted_and_a_fraction_counts_as_a_second() {
        assert_eq!(seconds("2027-01-15T09:30:00+01:30"), seconds("2027-01-15T08:00:00Z"));
        assert_eq!(seconds("2027-01-15T08:00:00.001Z"), seconds("2027-01-15T08:00:01Z"));
    }

    #[test]
    fn a_time_without_offset_or_outside_1970_to_9999_is_none() {
        for text in [
            "2027-01-15",
            "08:00:00",
            "2027-01-15T08:00:00",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert_eq!(format(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
        assert_eq!(format(UNIX_EPOCH + Duration::from_secs(LAST + 1)), "9999-12-31T23:59:59Z");
    }

    proptest! {
        #[test]
        fn a_formatted_time_parses_to_the_same_instant(second in 0..=LAST) {
            prop_assert_eq!(seconds(&format(UNIX_EPOCH + Duration::from_secs(second))), Some(second));
        }
    }
}
