//! Reads Retry-After: whole seconds (RFC 9110), an HTTP date (likewise), and what Graph sends beside them: seconds
//! with a fraction (the documented sample is 2.128) and `1,2`, two header lines that a proxy joined. The times are
//! arguments.
//!
//! A date is the service's clock, and so it is measured against the reply's own `Date` (RFC 9110, 10.2.3): the clock of this
//! machine may be an hour behind, and then a second would become an hour.

use reqwest::header::HeaderMap;
use std::time::{Duration, SystemTime};

/// More than a day is no delay but a refusal; the bound keeps later arithmetic far from overflow.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The most that is believed of a date that nothing but this machine's clock could be compared with.
const UNSURE_MAX: Duration = Duration::from_secs(120);

/// The longest of the delays that the headers ask for, at most a day.
pub(super) fn of(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let replied_at = headers.get("date").and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let values = headers.get_all("retry-after").iter();
    values.filter_map(|value| parse(value.to_str().ok()?, replied_at, now)).max()
}

fn parse(value: &str, replied_at: Option<SystemTime>, now: SystemTime) -> Option<Duration> {
    let delay = match httpdate::parse_http_date(value.trim()) {
        Ok(date) => until(date, replied_at, now)?,
        Err(_) => value.split(',').filter_map(seconds).max()?,
    };
    Some(delay.min(DAY))
}

/// How long it is until then. A reply whose own dates are more than a day apart does not know the time; without them a
/// date in the past is one that this machine's clock is ahead of, and says nothing.
fn until(date: SystemTime, replied_at: Option<SystemTime>, now: SystemTime) -> Option<Duration> {
    let by_service = replied_at.and_then(|replied_at| match date.duration_since(replied_at) {
        Ok(delay) => (delay <= DAY).then_some(delay),
        Err(past) => (past.duration() <= DAY).then_some(Duration::ZERO),
    });
    by_service.or_else(|| Some(date.duration_since(now).ok()?.min(UNSURE_MAX)))
}

/// Digits with at most a fraction; signs, exponents and `inf`, which a float may have, are none of these.
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds.min(DAY.as_secs_f64())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(value: &str) -> Option<f64> {
        // 1994-11-06T08:49:37Z, the time in the standard's own examples.
        let replied_at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777));
        // An hour behind.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_108_177);
        parse(value, replied_at, now).map(|delay| delay.as_secs_f64())
    }

    /// The same where the reply has no `Date`, or an odd one.
    fn at_our_clock(value: &str, replied_at: Option<u64>) -> Option<u64> {
        let since = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        parse(value, replied_at.map(since), since(784_111_777)).map(|delay| delay.as_secs())
    }

    #[test]
    fn reads_every_form_seen() {
        assert_eq!(at("120"), Some(120.0));
        assert_eq!(at(" 2.128 "), Some(2.128));
        assert_eq!(at("0"), Some(0.0));
        assert_eq!(at("1,2"), Some(2.0));
        assert_eq!(at("5, nonsense"), Some(5.0));
        assert_eq!(at("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30.0));
        assert_eq!(at("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0.0));
    }

    #[test]
    fn refuses_what_is_no_delay_and_caps_the_rest() {
        for value in ["", "-1", "soon", "inf", "NaN", "1e3", "1.2.3", "."] {
            assert_eq!(at(value), None, "{value}");
        }
        assert_eq!(at("99999999999999999999"), Some(86_400.0));
    }

    #[test]
    fn without_a_date_of_the_service_our_clock_is_believed_for_a_while() {
        for odd in [None, Some(0), Some(4_000_000_000)] {
            let delay = |value| at_our_clock(value, odd);
            assert_eq!(delay("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
            assert_eq!(delay("Sun, 06 Nov 1994 09:49:37 GMT"), Some(120));
            assert_eq!(delay("Sat, 06 Nov 2094 08:49:37 GMT"), Some(120));
            assert_eq!(delay("Sun, 06 Nov 1994 08:00:00 GMT"), None);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered_within_a_day(value in ".*", date in proptest::option::of(0u64..1 << 40), now in 0u64..1 << 40) {
            let since = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let delay = parse(&value, date.map(since), since(now));
            prop_assert!(delay.unwrap_or_default() <= DAY);
        }

        #[test]
        fn seconds_read_back(millis in 0u32..80_000_000) {
            let seconds = f64::from(millis) / 1000.0;
            prop_assert_eq!(at(&seconds.to_string()), Some(Duration::from_secs_f64(seconds).as_secs_f64()));
        }
    }
}
