//! Moments as numbers: over midnight, and on the days on which the clocks jump.

use super::*;

fn window(text: &str) -> Window {
    text.parse().unwrap()
}

fn at(text: &str) -> UnixMillis {
    let moment: Timestamp = text.parse().unwrap();
    u64::try_from(moment.as_millisecond()).unwrap()
}

fn is_open(window: &Window, at: UnixMillis) -> bool {
    window.closed_until(at).is_none()
}

/// The moment at which a window that is open at `at` closes: `expected`, and not before.
#[track_caller]
fn closes(window: &Window, at: UnixMillis, expected: UnixMillis) {
    assert!(is_open(window, at) && is_open(window, expected - 1));
    assert!(!is_open(window, expected));
}

#[test]
fn by_day_and_over_midnight() {
    let day = window("08:30-17:00 UTC");
    assert!(!is_open(&day, at("2026-01-31T08:29:59.999Z")));
    assert!(is_open(&day, at("2026-01-31T08:30:00Z")));
    assert!(is_open(&day, at("2026-01-31T16:59:59.999Z")));
    assert!(!is_open(&day, at("2026-01-31T17:00:00Z")));
    let night = window("22:00-05:00 Europe/Zurich");
    assert!(!is_open(&night, at("2026-01-31T20:59:59Z")));
    assert!(is_open(&night, at("2026-01-31T21:00:00Z")), "22:00 in Zurich");
    assert!(is_open(&night, at("2026-02-01T03:59:59Z")));
    assert!(!is_open(&night, at("2026-02-01T04:00:00Z")));
}

#[test]
fn the_next_opening_is_later_and_a_closing_is_the_next_edge() {
    let night = window("22:00-05:00 UTC");
    let (opens, end) = (at("2026-01-31T22:00:00Z"), at("2026-02-01T05:00:00Z"));
    assert_eq!(night.closed_until(at("2026-01-31T12:00:00Z")), Some(opens));
    closes(&night, opens, end);
    closes(&night, at("2026-02-01T01:00:00Z"), end);
    assert_eq!(night.closed_until(end), Some(at("2026-02-01T22:00:00Z")));
    closes(&window("22:00-24:00 UTC"), at("2026-01-31T23:00:00Z"), at("2026-02-01T00:00:00Z"));
}

/// In Zurich the clocks jump from 02:00 to 03:00 on 2026-03-29, at 01:00 UTC.
#[test]
fn where_the_clocks_jump_over_an_edge_it_is_the_moment_of_the_jump() {
    let jump = at("2026-03-29T01:00:00Z");
    closes(&window("22:00-02:30 Europe/Zurich"), jump - 1, jump);
    let opens = window("02:30-04:00 Europe/Zurich");
    assert_eq!(opens.closed_until(at("2026-03-29T00:00:00Z")), Some(jump));
    closes(&opens, jump, at("2026-03-29T02:00:00Z"));
    let swallowed = window("02:10-02:50 Europe/Zurich");
    assert_eq!(swallowed.closed_until(jump), Some(at("2026-03-30T00:10:00Z")));
    let never_closes = window("02:50-02:10 Europe/Zurich");
    assert!(is_open(&never_closes, jump));
    closes(&never_closes, jump - 1, at("2026-03-30T00:10:00Z"));
}

/// In Zurich the hour from 02:00 to 03:00 comes twice on 2026-10-25: from 00:00 and from 01:00 UTC.
#[test]
fn where_an_hour_comes_twice_an_edge_in_it_counts_the_first_time() {
    let night = window("22:00-02:30 Europe/Zurich");
    closes(&night, at("2026-10-25T00:00:00Z"), at("2026-10-25T00:30:00Z"));
    assert!(!is_open(&night, at("2026-10-25T01:15:00Z")), "02:15 for the second time");
    let opens = window("02:30-04:00 Europe/Zurich");
    assert!(is_open(&opens, at("2026-10-25T01:15:00Z")));
    closes(&opens, at("2026-10-25T00:30:00Z"), at("2026-10-25T03:00:00Z"));
}

/// A night across a jump is an hour shorter or longer, by the clock on the wall.
#[test]
fn nights_with_a_jump_follow_the_clock_on_the_wall() {
    let night = window("22:00-05:00 Europe/Zurich");
    let lasts = |from: &str, hours: u64| {
        assert!(!is_open(&night, at(from) - 1));
        closes(&night, at(from), at(from) + hours * 3_600_000);
    };
    lasts("2026-03-28T21:00:00Z", 6);
    lasts("2026-10-24T20:00:00Z", 8);
    lasts("2026-01-31T21:00:00Z", 7);
}

/// Samoa left out 2011-12-30.
#[test]
fn a_day_that_never_was_has_no_opening() {
    let day = window("09:00-10:00 Pacific/Apia");
    let after_the_29th = at("2011-12-29T20:00:00Z");
    assert_eq!(day.closed_until(after_the_29th), Some(at("2011-12-30T19:00:00Z")));
    assert_eq!(day.shown(at("2011-12-30T19:00:00Z")), "2011-12-31 09:00 +14");
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let night = window("22:00-05:00 Europe/Zurich");
    assert!(is_open(&night, 0), "01:00 in Zurich");
    assert_eq!(night.closed_until(UnixMillis::MAX), Some(UnixMillis::MAX));
}

#[test]
fn nonsense_is_refused_with_what_to_write() {
    for text in ["", "22:00", "22-05", "22:00-5:00", "22:00-25:00", "24:00-05:00", "22:00–05:00"] {
        let error = text.parse::<Window>().unwrap_err();
        assert_eq!(error, WindowError::Form(text.to_owned()), "{text}");
        assert!(error.to_string().contains("22:00-05:00 Europe/Zurich"));
    }
    let error = "22:00-22:00".parse::<Window>().unwrap_err();
    assert!(matches!(error, WindowError::Empty(_)), "{error}");
    let error = "22:00-05:00 Zurich".parse::<Window>().unwrap_err();
    assert!(error.to_string().contains("`Zurich` is not a time zone"), "{error}");
}

proptest::proptest! {
    /// A window that is closed stays so until it opens. On days without a jump it is open when the clock on the wall says so.
    #[test]
    fn it_is_closed_until_it_opens_by_the_clock_on_the_wall(
        from in 0i8..24, to in 0i8..24, minute in 0i8..60, at in 0u64..4_000_000_000_000, share in 0.0..1.0,
    ) {
        proptest::prop_assume!(from != to);
        let window = window(&format!("{from:02}:{minute:02}-{to:02}:{minute:02} Europe/Zurich"));
        if let Some(opens) = window.closed_until(at) {
            proptest::prop_assert!(opens > at);
            let between = at + ((opens - at - 1) as f64 * share) as u64;
            proptest::prop_assert_eq!(window.closed_until(between), Some(opens));
            proptest::prop_assert!(is_open(&window, opens));
        }
        let day = 24 * 3_600_000;
        let offset = |at: UnixMillis| window.zone.to_offset(timestamp(at));
        if offset(at.saturating_sub(day)) == offset(at + day) {
            let wall = window.zone.to_datetime(timestamp(at)).time();
            let (after, before) = (wall >= window.from, wall < window.to);
            let expected = if window.from < window.to { after && before } else { after || before };
            proptest::prop_assert_eq!(is_open(&window, at), expected);
        }
    }
}
