//! When rows may begin, as far as clock and operator say: the window, the deadline, and the pause somebody asked for.
//!
//! Pure: it is told the time and answers with the pause or the reason to stop.

use super::stop::AdmissionPause;
use super::window::{Window, hour_and_minute, moment, timestamp};
use crate::journal::UnixMillis;
use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use std::str::FromStr;

/// A time to stop at, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deadline {
    /// A moment.
    At(Timestamp),
    /// The next such time on the system's clock.
    Next(Time),
}

impl FromStr for Deadline {
    type Err = ScheduleError;

    /// Reads RFC 3339 or `HH:MM`.
    fn from_str(text: &str) -> Result<Deadline, ScheduleError> {
        let text = text.trim();
        let at = text.parse().map(Deadline::At);
        at.or_else(|_| {
            let time = hour_and_minute(text).map(Deadline::Next);
            time.ok_or_else(|| ScheduleError::Form(text.to_owned()))
        })
    }
}

impl Deadline {
    /// The moment it means when it is written now.
    fn moment(&self, now: UnixMillis, zone: &TimeZone) -> Option<UnixMillis> {
        match self {
            Deadline::At(at) => u64::try_from(at.as_millisecond()).ok(),
            Deadline::Next(time) => {
                let today = zone.to_datetime(timestamp(now)).date();
                let mut days = today.series(jiff::Span::new().days(1));
                days.find_map(|day| moment(zone, day, *time).filter(|at| *at > now))
            }
        }
    }
}

/// Why a run cannot be scheduled so. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum ScheduleError {
    /// Not a time.
    #[error(
        "`{0}` is not a time; write `HH:MM` for the next such time here, or a moment such as \
         `2026-01-31T05:00:00+01:00`"
    )]
    Form(String),
    /// It has passed.
    #[error("the deadline {0} has passed")]
    #[diagnostic(help("name a later one, or leave it out; nothing was sent"))]
    Passed(String),
    /// Nothing could begin before it.
    #[error("the window {window} opens at {opens}, and the deadline {deadline} is not later")]
    #[diagnostic(help("name a later deadline or another window; nothing was sent"))]
    NeverOpen {
        /// The window.
        window: String,
        /// When it opens.
        opens: String,
        /// The deadline.
        deadline: String,
    },
}

/// When rows may begin.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    paused: Option<String>,
    window: Option<Window>,
    deadline: Option<UnixMillis>,
}

impl Schedule {
    /// Puts window and deadline together; `zone` is where a deadline without one is meant.
    ///
    /// # Errors
    /// [`ScheduleError`] when no row could ever begin.
    pub fn new(
        window: Option<Window>,
        deadline: Option<&Deadline>,
        now: UnixMillis,
        zone: &TimeZone,
    ) -> Result<Schedule, ScheduleError> {
        let deadline = deadline.map(|deadline| ahead(deadline, now, zone)).transpose()?;
        if let (Some(window), Some(deadline)) = (&window, deadline)
            && let Some(opens) = window.closed_until(now).filter(|opens| *opens >= deadline)
        {
            return Err(ScheduleError::NeverOpen {
                window: window.text().to_owned(),
                opens: window.shown(opens),
                deadline: window.shown(deadline),
            });
        }
        Ok(Schedule { paused: None, window, deadline })
    }

    /// Somebody wants no row to begin.
    pub fn pause(&mut self, why: String) {
        self.paused = Some(why);
    }

    /// Nobody does any more.
    pub fn go_on(&mut self) {
        self.paused = None;
    }

    /// Why no row may begin at this moment, if so. An operator's word comes before the window's.
    #[must_use]
    pub fn pause_at(&self, now: UnixMillis) -> Option<AdmissionPause> {
        if let Some(why) = &self.paused {
            return Some(AdmissionPause::Operator(why.clone()));
        }
        let window = self.window.as_ref()?;
        let until = window.closed_until(now)?;
        Some(AdmissionPause::Window { window: window.text().to_owned(), until, opens: window.shown(until) })
    }

    /// The deadline, once it has come.
    #[must_use]
    pub fn overdue(&self, now: UnixMillis) -> Option<String> {
        let deadline = self.deadline.filter(|deadline| now >= *deadline)?;
        Some(format!("the deadline {} has come", timestamp(deadline)))
    }
}

fn ahead(deadline: &Deadline, now: UnixMillis, zone: &TimeZone) -> Result<UnixMillis, ScheduleError> {
    let moment = deadline.moment(now, zone).filter(|at| *at > now);
    moment.ok_or_else(|| {
        ScheduleError::Passed(match deadline {
            Deadline::At(at) => at.to_string(),
            Deadline::Next(time) => time.to_string(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        let moment: Timestamp = text.parse().unwrap();
        u64::try_from(moment.as_millisecond()).unwrap()
    }

    fn zurich() -> TimeZone {
        TimeZone::get("Europe/Zurich").unwrap()
    }

    fn schedule(window: &str, deadline: &str, now: &str) -> Result<Schedule, ScheduleError> {
        let window = (!window.is_empty()).then(|| window.parse().unwrap());
        let deadline: Option<Deadline> = (!deadline.is_empty()).then(|| deadline.parse().unwrap());
        Schedule::new(window, deadline.as_ref(), at(now), &zurich())
    }

    #[test]
    fn an_hour_means_the_next_such_time_here() {
        let schedule = schedule("", "05:00", "2026-01-31T12:00:00Z").unwrap();
        assert_eq!(schedule.overdue(at("2026-02-01T03:59:59Z")), None);
        let why = schedule.overdue(at("2026-02-01T04:00:00Z")).unwrap();
        assert_eq!(why, "the deadline 2026-02-01T04:00:00Z has come");
    }

    /// 02:30 is not there on 2026-03-29; a deadline comes no later for that.
    #[test]
    fn an_hour_that_is_left_out_is_the_moment_of_the_jump() {
        let schedule = schedule("", "02:30", "2026-03-28T12:00:00Z").unwrap();
        assert_eq!(schedule.overdue(at("2026-03-29T00:59:59Z")), None);
        assert!(schedule.overdue(at("2026-03-29T01:00:00Z")).is_some());
    }

    #[test]
    fn a_deadline_that_has_passed_is_refused() {
        let now = "2026-01-31T12:00:00Z";
        assert!(schedule("", "2026-01-31T13:00:01+01:00", now).is_ok());
        for passed in ["2026-01-31T13:00:00+01:00", "1969-01-01T00:00:00Z"] {
            let error = schedule("", passed, now).unwrap_err();
            assert!(matches!(error, ScheduleError::Passed(_)), "{error}");
        }
    }

    #[test]
    fn a_deadline_before_the_window_opens_is_refused() {
        let now = "2026-01-31T12:00:00Z";
        let error = schedule("22:00-05:00 UTC", "2026-01-31T22:00:00Z", now).unwrap_err();
        assert!(matches!(error, ScheduleError::NeverOpen { .. }), "{error}");
        assert!(schedule("22:00-05:00 UTC", "2026-01-31T22:00:01Z", now).is_ok());
        assert!(schedule("11:00-15:00 UTC", "2026-01-31T12:00:01Z", now).is_ok());
    }

    #[test]
    fn nonsense_is_refused_with_what_to_write() {
        for text in ["", "tomorrow", "5:00", "25:00", "2026-01-31", "2026-01-31T05:00:00"] {
            let error = text.parse::<Deadline>().unwrap_err();
            assert!(error.to_string().contains("+01:00"), "{text}: {error}");
        }
    }

    #[test]
    fn an_operator_comes_before_the_window_and_the_window_stays() {
        let mut schedule = schedule("22:00-05:00 UTC", "", "2026-01-31T12:00:00Z").unwrap();
        let (day, night) = (at("2026-01-31T12:00:00Z"), at("2026-01-31T23:00:00Z"));
        let waiting = schedule.pause_at(day).unwrap();
        assert_eq!(waiting.to_string(), "outside the window 22:00-05:00 UTC until 2026-01-31 22:00 UTC");
        assert_eq!(schedule.pause_at(night), None);
        schedule.pause("lunch".into());
        assert_eq!(schedule.pause_at(day), Some(AdmissionPause::Operator("lunch".into())));
        assert_eq!(schedule.pause_at(night), Some(AdmissionPause::Operator("lunch".into())));
        schedule.go_on();
        assert_eq!(schedule.pause_at(day), Some(waiting));
        assert_eq!(schedule.pause_at(night), None);
    }
}
