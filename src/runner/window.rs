//! A window of the day: the hours in which rows may begin, such as `22:00-05:00 Europe/Zurich`.
//!
//! Pure: it is asked about a moment and reads no clock. An edge is the first moment of its day at which a clock on the wall
//! of that place shows the time or a later one. So where the clocks jump over an edge it is the moment of the jump, and
//! where an hour comes twice an edge within it counts once, the first time.

use crate::journal::UnixMillis;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use std::str::FromStr;

/// Days looked at from the day before on. Two would do but for places that once left out a whole day.
const DAYS_LOOKED_AT: usize = 5;

/// Hours of the day in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    from: Time,
    to: Time,
    zone: TimeZone,
    text: String,
}

/// Why a text is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not of the form of one.
    #[error(
        "`{0}` is not a window; write `HH:MM-HH:MM`, with a time zone after it if it is not the \
         system's, such as `22:00-05:00 Europe/Zurich`"
    )]
    Form(String),
    /// Begins when it ends.
    #[error("`{0}` begins when it ends; leave the window out to work around the clock")]
    Empty(String),
    /// The zone is unknown.
    #[error("`{0}` is not a time zone; write its IANA name, such as `Europe/Zurich` or `UTC`")]
    Zone(String),
}

impl FromStr for Window {
    type Err = WindowError;

    /// Reads `HH:MM-HH:MM[ ZONE]`; the zone left out is the system's. `24:00` may stand at the end.
    fn from_str(text: &str) -> Result<Window, WindowError> {
        let form = || WindowError::Form(text.to_owned());
        let text = text.trim();
        let (hours, zone) = match text.split_once(char::is_whitespace) {
            Some((hours, zone)) => (hours, Some(zone.trim())),
            None => (text, None),
        };
        let (from, to) = hours.split_once('-').ok_or_else(form)?;
        let from = hour_and_minute(from).ok_or_else(form)?;
        let to = match to {
            "24:00" => Time::midnight(),
            to => hour_and_minute(to).ok_or_else(form)?,
        };
        if from == to {
            return Err(WindowError::Empty(text.to_owned()));
        }
        let zone = match zone {
            Some(name) => TimeZone::get(name).map_err(|_| WindowError::Zone(name.to_owned()))?,
            None => TimeZone::system(),
        };
        Ok(Window { from, to, zone, text: text.to_owned() })
    }
}

/// `HH:MM`, nothing shorter or longer.
pub(super) fn hour_and_minute(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |part: &str| {
        let good = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| part.parse().ok()).flatten()
    };
    Time::new(two_digits(hour)?, two_digits(minute)?, 0, 0).ok()
}

impl Window {
    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// When it opens, if it is closed at this moment. Later than `at`.
    #[must_use]
    pub fn closed_until(&self, at: UnixMillis) -> Option<UnixMillis> {
        let around = self.around(at);
        if around.iter().any(|(opens, closes)| (*opens..*closes).contains(&at)) {
            return None;
        }
        let mut openings = around.into_iter().map(|(opens, _)| opens);
        // None only at the end of the calendar.
        Some(openings.find(|opens| *opens > at).unwrap_or(UnixMillis::MAX))
    }

    /// A moment as people of that place write it.
    #[must_use]
    pub fn shown(&self, at: UnixMillis) -> String {
        let shown = timestamp(at).to_zoned(self.zone.clone());
        shown.strftime("%Y-%m-%d %H:%M %Z").to_string()
    }

    /// Openings and closings around a moment, in order, but those that a jump of the clocks has left nothing of.
    fn around(&self, at: UnixMillis) -> Vec<(UnixMillis, UnixMillis)> {
        let today = self.zone.to_datetime(timestamp(at)).date();
        let first = today.yesterday().unwrap_or(today);
        let days = first.series(jiff::Span::new().days(1));
        days.take(DAYS_LOOKED_AT).filter_map(|day| self.on(day)).filter(|(opens, closes)| opens < closes).collect()
    }

    /// Opening on a day, and the closing that belongs to it.
    fn on(&self, day: Date) -> Option<(UnixMillis, UnixMillis)> {
        let last = if self.from < self.to { day } else { day.tomorrow().ok()? };
        Some((moment(&self.zone, day, self.from)?, moment(&self.zone, last, self.to)?))
    }
}

/// The first moment of a day at which the clock of a zone shows this time or a later one.
pub(super) fn moment(zone: &TimeZone, day: Date, time: Time) -> Option<UnixMillis> {
    let ambiguous = zone.to_ambiguous_timestamp(day.to_datetime(time));
    let at = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok()?,
        AmbiguousOffset::Gap { .. } => {
            let before = ambiguous.earlier().ok()?;
            zone.following(before).next()?.timestamp()
        }
    };
    // Before 1970 there was no run.
    Some(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

/// The calendar ends with the year 9999, and so does every moment.
pub(super) fn timestamp(at: UnixMillis) -> Timestamp {
    let millis = i64::try_from(at).unwrap_or(i64::MAX);
    Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_millis(millis)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
