//! Every mistake in a job file is found at once, with its place; and no text makes the reader panic.

use super::*;
use proptest::prelude::*;

const SHIPPED_JOB: &str = include_str!("../../jobs/immutable-id.toml");

fn mistakes(change: &[(&str, &str)]) -> String {
    let mut text = SHIPPED_JOB.to_owned();
    for (from, to) in change {
        assert!(text.contains(from), "the job has no `{from}`");
        text = text.replacen(from, to, 1);
    }
    parse("a.toml", &text).map_or_else(|found| found.listing(), |_| String::new())
}

#[test]
fn all_mistakes_are_told_at_once_with_line_and_column() {
    let found = mistakes(&[
        ("kind = \"guid\"", "kind = \"gid\""),
        ("default = \"auto\"", "default = \"perhaps\""),
        ("lookups.domains | find('isInitial'", "lookups.domain | find('isInitial'"),
        ("title = \"clear the ImmutableID\"", "titel = \"clear the ImmutableID\""),
        ("when = \"wrong_id\"", "when = \"wrong_id |\""),
        ("same(item.userPrincipalName", "sane(item.userPrincipalName"),
    ]);
    insta::assert_snapshot!(found);
}

#[test]
fn an_exposing_step_needs_an_undo_an_end_and_a_way_to_be_seen() {
    let found = mistakes(&[
        ("[exposure]\nwhen = \"not state.deleted and not at_home\"", ""),
        ("ends_exposure = true", ""),
        (
            "undo.when = \"not state.deleted and not at_home\"\nundo.patch = \"/users/{{ state.id }}\"\nundo.body = { userPrincipalName = \"{{ home }}\" }",
            "",
        ),
    ]);
    for wanted in ["nothing says how to see that", "no later step ends the exposure", "exposes and has no undo"] {
        assert!(found.contains(wanted), "{wanted} is missing in:\n{found}");
    }
}

#[test]
fn a_step_is_undone_as_other_steps_that_have_an_undo() {
    let as_it_is = "undone_as = [\"restore\", \"temporary-upn\"]";
    let found = |text: &str| mistakes(&[(as_it_is, text)]);
    for (text, wanted) in [
        ("undone_as = [\"restor\"]", "there is no step `restor`"),
        ("undone_as = [\"original-upn\"]", "step `original-upn` has no undo"),
        ("undone_as = [\"restore-to-temporary-upn\"]", "a step cannot be undone as itself"),
        (
            "undone_as = [\"restore\"]\nundo.when = \"state.deleted\"\nundo.delete = \"/x\"",
            "a step has an `undo` of its own, or",
        ),
        ("", "exposes and has no undo"),
        ("undone_as = \"restore\"", "must be a list of texts"),
    ] {
        assert!(found(text).contains(wanted), "{text}: {}", found(text));
    }
    assert_eq!(found(as_it_is), "");
}

#[test]
fn a_path_has_no_white_space() {
    let found = mistakes(&[("$filter=mail%20eq%20'", "$filter=mail eq '")]);
    assert!(found.contains("`get` has white space in it"), "{found}");
}

#[test]
fn another_way_is_a_whole_request() {
    let found = mistakes(&[("otherwise.post =", "otherwise.pots =")]);
    for wanted in ["exactly one of `post`", "unknown key `pots` in [step.otherwise]"] {
        assert!(found.contains(wanted), "{wanted} is missing in:\n{found}");
    }
}

#[test]
fn broken_toml_and_an_unknown_format_say_so() {
    let found = parse("a.toml", "format = 1\nname = \n").unwrap_err().listing();
    assert!(found.starts_with("a.toml:2:"), "{found}");
    assert!(mistakes(&[("format = 1", "format = 7")]).contains("format 7 is not known"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(?s).{0,200}") {
        let _ = parse("a.toml", &text);
    }

    /// A job with a piece torn out is refused or read, never a panic.
    #[test]
    fn no_torn_job_makes_the_reader_panic(from in 0_usize..8_000, len in 0_usize..400) {
        let keep = |range: &str| range.to_owned();
        let head = SHIPPED_JOB.get(..from).map(keep).unwrap_or_default();
        let tail = SHIPPED_JOB.get(from + len..).map(keep).unwrap_or_default();
        let _ = parse("a.toml", &(head + &tail));
    }
}

/// Whatever a job file holds, reading it ends: with mistakes, and not with the process.
#[test]
fn no_file_is_too_much() {
    let many = |text: &str| text.repeat(100_000 / text.len());
    let goals = [
        many("not "),
        many("- "),
        format!("1{}", many(" ~ 1")),
        format!("1{}", many(" and 1")),
        format!("1{}", many(" or 1")),
        format!("1{}", many(" < 1")),
        format!("a{}", many(".a")),
        format!("a{}", many("|upper")),
        format!("a{}", many("[0]")),
        format!("a{}", many("(1)")),
        format!("1{}", many(" if 1 else 1")),
        format!("1{}", many(" is defined")),
        format!("{}1{}", many("("), many(")")),
        format!("{}1{}", many("["), many("]")),
        format!("'{}'", many("x")),
    ];
    for goal in goals {
        let source = format!("[goal]\nwhen = \"{goal}\"\n");
        let error = parse("a.toml", &source).unwrap_err();
        let told = error.mistakes.iter().find(|mistake| mistake.line == 2);
        let told = told.unwrap_or_else(|| panic!("{}", error.listing()));
        assert!(told.message.len() < 2_000, "{}", told.message);
    }
    let tables: String = (0..200_000).map(|n| format!("[t{n}]\n")).collect();
    let keys: String = (0..20_000).map(|n| format!("k{n} = 1\n")).collect();
    let derived: String = (0..20_000).map(|n| format!("d{n} = \"x\"\n")).collect();
    for source in [tables, keys, format!("[derive]\n{derived}")] {
        let error = parse("a.toml", &source).unwrap_err();
        assert!(error.mistakes.len() <= 100, "{}", error.mistakes.len());
        assert!(error.listing().len() < 200_000);
    }
}
