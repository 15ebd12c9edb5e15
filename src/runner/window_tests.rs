//! Moments as numbers: over midnight, and on the days on which the clocks jump.

use super::*;

fn window(text: &str) -> Window {
    text.parse().unwrap()
}

fn at(text: &str) -> UnixMillis {
    let moment: Timestamp = text.parse().unwrap();
    u64::try_from(moment.as_millisecond()).unwrap()
}

#[test]
fn by_day_and_over_midnight() {
    let day = window("08:30-17:00 UTC");
    assert!(!day.is_open(at("2026-01-31T08:29:59.999Z")));
    assert!(day.is_open(at("2026-01-31T08:30:00Z")));
    assert!(day.is_open(at("2026-01-31T16:59:59.999Z")));
    assert!(!day.is_open(at("2026-01-31T17:00:00Z")));
    let night = window("22:00-05:00 Europe/Zurich");
    assert!(!night.is_open(at("2026-01-31T20:59:59Z")));
    assert!(night.is_open(at("2026-01-31T21:00:00Z")), "22:00 in Zurich");
    assert!(night.is_open(at("2026-02-01T03:59:59Z")));
    assert!(!night.is_open(at("2026-02-01T04:00:00Z")));
}

#[test]
fn the_next_change_is_the_next_edge_and_always_later() {
    let night = window("22:00-05:00 UTC");
    let next = |text: &str| night.next_change(at(text));
    assert_eq!(next("2026-01-31T12:00:00Z"), at("2026-01-31T22:00:00Z"));
    assert_eq!(next("2026-01-31T22:00:00Z"), at("2026-02-01T05:00:00Z"));
    assert_eq!(next("2026-02-01T01:00:00Z"), at("2026-02-01T05:00:00Z"));
    assert_eq!(next("2026-02-01T05:00:00Z"), at("2026-02-01T22:00:00Z"));
    let to_midnight = window("22:00-24:00 UTC");
    assert_eq!(to_midnight.next_change(at("2026-01-31T23:00:00Z")), at("2026-02-01T00:00:00Z"));
}

/// In Zurich the clocks jump from 02:00 to 03:00 on 2026-03-29, at 01:00 UTC.
#[test]
fn where_the_clocks_jump_over_an_edge_it_is_the_moment_of_the_jump() {
    let jump = at("2026-03-29T01:00:00Z");
    assert_eq!(window("22:00-02:30 Europe/Zurich").next_change(jump - 1), jump);
    let opens = window("02:30-04:00 Europe/Zurich");
    assert_eq!(opens.next_change(at("2026-03-29T00:00:00Z")), jump);
    assert_eq!(opens.next_change(jump), at("2026-03-29T02:00:00Z"));
    let swallowed = window("02:10-02:50 Europe/Zurich");
    assert!(!swallowed.is_open(jump));
    assert_eq!(swallowed.next_change(jump), at("2026-03-30T00:10:00Z"));
    let never_closes = window("02:50-02:10 Europe/Zurich");
    assert_eq!(never_closes.next_change(jump - 1), at("2026-03-30T00:10:00Z"));
    assert!(never_closes.is_open(jump));
}

/// In Zurich the hour from 02:00 to 03:00 comes twice on 2026-10-25: from 00:00 and from 01:00 UTC.
#[test]
fn where_an_hour_comes_twice_an_edge_in_it_counts_the_first_time() {
    let closes = window("22:00-02:30 Europe/Zurich");
    assert_eq!(closes.next_change(at("2026-10-25T00:00:00Z")), at("2026-10-25T00:30:00Z"));
    assert!(!closes.is_open(at("2026-10-25T01:15:00Z")), "02:15 for the second time");
    let opens = window("02:30-04:00 Europe/Zurich");
    assert!(opens.is_open(at("2026-10-25T00:30:00Z")));
    assert!(opens.is_open(at("2026-10-25T01:15:00Z")));
    assert_eq!(opens.next_change(at("2026-10-25T00:30:00Z")), at("2026-10-25T03:00:00Z"));
}

/// A night across a jump is an hour shorter or longer, by the clock on the wall.
#[test]
fn nights_with_a_jump_follow_the_clock_on_the_wall() {
    let night = window("22:00-05:00 Europe/Zurich");
    let length = |text: &str| night.next_change(at(text)) - at(text);
    let hour = 3_600_000;
    assert_eq!(length("2026-03-28T21:00:00Z"), 6 * hour);
    assert_eq!(length("2026-10-24T20:00:00Z"), 8 * hour);
    assert_eq!(length("2026-01-31T21:00:00Z"), 7 * hour);
}

/// Samoa left out 2011-12-30.
#[test]
fn a_day_that_never_was_has_no_opening() {
    let day = window("09:00-10:00 Pacific/Apia");
    let after_the_29th = at("2011-12-29T20:00:00Z");
    assert_eq!(day.next_change(after_the_29th), at("2011-12-30T19:00:00Z"));
    assert_eq!(day.shown(at("2011-12-30T19:00:00Z")), "2011-12-31 09:00 +14");
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let night = window("22:00-05:00 Europe/Zurich");
    assert!(night.is_open(0), "01:00 in Zurich");
    assert_eq!(night.next_change(UnixMillis::MAX), UnixMillis::MAX);
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
    /// Between one change and the next the window is either open or closed all the time, and then it is the other.
    #[test]
    fn changes_are_where_it_changes(
        from in 0i8..24, to in 0i8..24, minute in 0i8..60, at in 0u64..4_000_000_000_000, share in 0.0..1.0,
    ) {
        proptest::prop_assume!(from != to);
        let window = window(&format!("{from:02}:{minute:02}-{to:02}:{minute:02} Europe/Zurich"));
        let next = window.next_change(at);
        proptest::prop_assert!(next > at);
        let between = at + ((next - at - 1) as f64 * share) as u64;
        proptest::prop_assert_eq!(window.is_open(between), window.is_open(at));
        proptest::prop_assert_ne!(window.is_open(next), window.is_open(at));
    }
}
