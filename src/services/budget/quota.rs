//! A quota as operators write it: `3000/150s`, `12/s`, `600/m`.
//!
//! Only the number and its period; how much of it is used, and how evenly, is the limiter's business.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::core::Flaw;
use jiff::SignedDuration;

/// A shorter period would be finer than tokio's timers, which count milliseconds.
const PERIOD_MS_MIN: u64 = 1;
/// No service counts over more than a day; the bound keeps all arithmetic far from overflow.
const PERIOD_S_MAX: u64 = 24 * 60 * 60;

/// So many requests in any stretch of time of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    count: u32,
    period: Duration,
}

impl Quota {
    /// A quota of `count` requests in `period`. A count of zero becomes one, and a period outside of one millisecond
    /// to one day becomes the nearer end, so that every quota lets something through some day. Text from people goes
    /// through [`FromStr`], which refuses such values instead.
    #[must_use]
    pub const fn new(count: u32, period: Duration) -> Quota {
        let count = if count == 0 { 1 } else { count };
        let period = if period.as_millis() < PERIOD_MS_MIN as u128 {
            Duration::from_millis(PERIOD_MS_MIN)
        } else if period.as_secs() >= PERIOD_S_MAX {
            Duration::from_secs(PERIOD_S_MAX)
        } else {
            period
        };
        Quota { count, period }
    }

    /// Requests in one period, at least one.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The length of the period: one millisecond to one day.
    pub const fn period(self) -> Duration {
        self.period
    }

    /// Requests per second, on average over the period.
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / self.period.as_secs_f64()
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.count)?;
        match (self.period.as_secs(), self.period.subsec_nanos()) {
            (1, 0) => write!(f, "s"),
            (60, 0) => write!(f, "m"),
            (3600, 0) => write!(f, "h"),
            (seconds, 0) => write!(f, "{seconds}s"),
            (_, _) => write!(f, "{}ns", self.period.as_nanos()),
        }
    }
}

impl FromStr for Quota {
    type Err = Flaw;

    /// Reads `count/period`; the period is a unit (`s`, `m`, `h`) or a time such as `150s`.
    fn from_str(text: &str) -> Result<Quota, Flaw> {
        let (count, period) = text.split_once('/').ok_or_else(|| {
            let help = "write requests per time, such as `3000/150s`, `12/s` or `600/m`";
            Flaw::new(format!("`{text}` is not a rate"), help)
        })?;
        let (count, period) = (count.trim(), period.trim());
        let counted = count.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
            let help = format!("write a whole number from 1 to {} before the slash, such as `3000/150s`", u32::MAX);
            Flaw::new(format!("`{count}` is not a number of requests"), help)
        })?;
        let allowed = Duration::from_millis(PERIOD_MS_MIN)..=Duration::from_secs(PERIOD_S_MAX);
        let lasting = period_of(period).filter(|lasting| allowed.contains(lasting)).ok_or_else(|| {
            let help = "write `s`, `m` or `h`, or a time from `1ms` to `24h` after the slash, such as `3000/150s`";
            Flaw::new(format!("`{period}` is not a period of a rate"), help)
        })?;
        Ok(Quota::new(counted, lasting))
    }
}

/// A bare unit means one of it.
fn period_of(text: &str) -> Option<Duration> {
    match text {
        "s" | "m" | "h" => parse_duration(&format!("1{text}")),
        _ => parse_duration(text),
    }
}

/// Reads a time as people write it (`150s`, `5m`, `1h 30m`); `None` for anything else and for less than nothing.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let signed: SignedDuration = text.trim().parse().ok()?;
    signed.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quota(text: &str) -> Quota {
        text.parse().unwrap()
    }

    #[test]
    fn reads_the_documented_forms() {
        assert_eq!(quota("3000/150s"), Quota::new(3000, Duration::from_secs(150)));
        assert_eq!(quota("12/s"), Quota::new(12, Duration::from_secs(1)));
        assert_eq!(quota("600/m"), Quota::new(600, Duration::from_secs(60)));
        assert_eq!(quota(" 5 / 2h "), Quota::new(5, Duration::from_secs(7200)));
    }

    #[test]
    fn says_what_to_write_instead() {
        let error = "fast".parse::<Quota>().unwrap_err();
        assert_eq!(error.to_string(), "`fast` is not a rate");
        assert!(error.help.contains("3000/150s"), "{}", error.help);
    }

    #[test]
    fn refuses_nothing_and_no_time() {
        for text in ["0/s", "-3/s", "1.5/s", "/s", "4294967296/s"] {
            let error = text.parse::<Quota>().unwrap_err().to_string();
            assert!(error.ends_with("is not a number of requests"), "{text}");
        }
        for text in ["3/", "3/0s", "3/x", "3/-5s", "3/25h", "3/1us", "3/5"] {
            let error = text.parse::<Quota>().unwrap_err().to_string();
            assert!(error.ends_with("is not a period of a rate"), "{text}");
        }
    }

    #[test]
    fn new_always_lets_something_through() {
        let least = Quota::new(0, Duration::ZERO);
        assert_eq!((least.count(), least.period()), (1, Duration::from_millis(1)));
        assert_eq!(Quota::new(1, Duration::MAX).period(), Duration::from_secs(86_400));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(count in 1..u32::MAX, millis in 1u64..86_400_000) {
            let quota = Quota::new(count, Duration::from_millis(millis));
            prop_assert_eq!(quota.to_string().parse::<Quota>(), Ok(quota));
        }

        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = text.parse::<Quota>();
            let _ = parse_duration(&text);
        }
    }
}
