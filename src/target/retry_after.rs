//! Reads Retry-After: whole seconds (RFC 9110), an HTTP date (likewise), and what Graph sends beside them: seconds
//! with a fraction (the documented sample is 2.128) and `1,2`, two header lines that a proxy joined. The time is an
//! argument.

use std::time::{Duration, SystemTime};

/// More than a day is no delay but a refusal; the bound keeps later arithmetic far from overflow.
const RETRY_AFTER_S_MAX: u64 = 24 * 60 * 60;

/// The delay that a header asks for, at most a day; a date in the past is no delay. `None` for anything else.
pub(super) fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let delay = match httpdate::parse_http_date(value.trim()) {
        Ok(date) => date.duration_since(now).unwrap_or_default(),
        Err(_) => value.split(',').filter_map(seconds).max()?,
    };
    Some(delay.min(Duration::from_secs(RETRY_AFTER_S_MAX)))
}

/// Digits with at most a fraction; signs, exponents and `inf`, which a float may have, are none of these.
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds.min(RETRY_AFTER_S_MAX as f64)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(value: &str) -> Option<f64> {
        // 1994-11-06T08:49:37Z, the time in the standard's own examples.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        parse(value, now).map(|delay| delay.as_secs_f64())
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
        assert_eq!(at("Sat, 06 Nov 2094 08:49:37 GMT"), Some(86_400.0));
    }

    proptest! {
        #[test]
        fn any_text_is_answered_within_a_day(value in ".*", now in 0u64..1 << 40) {
            let delay = parse(&value, SystemTime::UNIX_EPOCH + Duration::from_secs(now));
            prop_assert!(delay.unwrap_or_default() <= Duration::from_secs(RETRY_AFTER_S_MAX));
        }

        #[test]
        fn seconds_read_back(millis in 0u32..80_000_000) {
            let seconds = f64::from(millis) / 1000.0;
            prop_assert_eq!(at(&seconds.to_string()), Some(Duration::from_secs_f64(seconds).as_secs_f64()));
        }
    }
}
