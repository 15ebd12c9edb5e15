//! The shipped job `immutable-id` and how people are in reality: deleted ones on their straight way back, namesakes, object ids,
//! and every character that a UPN may have.

use super::view_tests::{GUID, HOME, NEW_ID, OLD_ID, TEMP, settings, state, step, view, view_with};
use super::*;
use crate::core::Request;
use serde_json::{Value as JsonValue, json};

const ID: &str = "7e06b566-15f3-4013-8bf8-79874d52e68a";
const OTHER_ID: &str = "0a1b2c3d-0000-4000-8000-000000000001";

fn mangled(upn: &str) -> String {
    format!("{}{upn}", ID.replace('-', ""))
}

fn view_of(upn: &str, temp_upn: Option<&str>, object_id: Option<&str>) -> RowView {
    let job = Arc::new(find("immutable-id").unwrap());
    let text = |text: &str| Some(text.to_owned());
    let row = [text(upn), text(GUID), None, temp_upn.and_then(text), object_id.and_then(text)];
    RowView::new(&job, &settings(&job, &[]), &row, None).unwrap()
}

/// What is read of somebody who was not seen yet: the looks' names and paths.
fn first_reads(view: &RowView) -> Vec<(String, String)> {
    let job = find("immutable-id").unwrap();
    let looks = job.observe.looks.iter();
    let reads = looks.filter_map(|look| Some((look.name.clone(), view.look(look, None).unwrap()?)));
    reads.map(|(name, ask)| (name, ask.path.split('?').next().unwrap().to_owned())).collect()
}

#[test]
fn a_deleted_person_of_a_federated_domain_is_restored_straight_to_the_temporary_upn() {
    let before = state(&mangled(HOME), json!(OLD_ID), true);
    let body = |given: &[(&str, &str)], operation: Operation| {
        let view = view_with(HOME, Some(GUID), given);
        let write = view.write(operation, &before, &before).unwrap();
        assert_eq!(write.request.path, format!("/directory/deletedItems/{ID}/restore"));
        (write.request.body, write.effect)
    };
    let direct = Operation::Do(step("restore-to-temporary-upn"));
    let plain = Operation::Do(step("restore"));
    let at = |upn: &str| -> State {
        State::from_text(&json!({"deleted": false, "userPrincipalName": upn}).to_string()).unwrap()
    };
    assert_eq!(body(&[], direct), (Some(json!({"newUserPrincipalName": TEMP})), at(TEMP)));
    assert_eq!(body(&[], plain), (None, at(HOME)));
    let drop = [("proxy_conflict", "drop")];
    assert_eq!(body(&drop, direct).0, Some(json!({"newUserPrincipalName": TEMP, "autoReconcileProxyConflict": true})));
    assert_eq!(body(&drop, plain).0, Some(json!({"autoReconcileProxyConflict": true})));
}

#[test]
fn the_second_try_of_the_straight_way_is_the_plain_one() {
    let job = find("immutable-id").unwrap();
    let straight = step("restore-to-temporary-upn");
    assert_eq!(job.operation(straight, 1), Operation::Do(straight));
    assert_eq!(job.operation(straight, 2), Operation::Otherwise(straight));
    assert_eq!(job.operation(step("restore"), 2), Operation::Do(step("restore")));
    let before = state(&mangled(HOME), json!(OLD_ID), true);
    let write = view().write(Operation::Otherwise(straight), &before, &before).unwrap();
    assert_eq!(write.request.body, None);
    assert_eq!(write.effect.get("userPrincipalName").as_str(), Some(HOME));
}

#[test]
fn the_straight_way_is_undone_by_going_home_and_being_deleted() {
    let (view, job) = (view(), find("immutable-id").unwrap());
    let before = state(&mangled(HOME), json!(OLD_ID), true);
    let begun = job.to_undo(&["restore-to-temporary-upn", "clear", "set"].map(step));
    let mut now = state(TEMP, json!(NEW_ID), false);
    let mut undone = Vec::new();
    while let Decision::Next(step) = view.decide_back(&before, &now, &begun, &|_| false).unwrap() {
        let write = view.write(Operation::Undo(step), &before, &now).unwrap();
        undone.push((step, write.request.method));
        now.merge(&write.effect);
        assert!(undone.len() < 10, "{undone:?}");
    }
    let expected = [
        (step("set"), Method::Patch),
        (step("clear"), Method::Patch),
        (step("temporary-upn"), Method::Patch),
        (step("restore"), Method::Delete),
    ];
    assert_eq!(undone, expected);
    assert_eq!(now, before, "the mangled UPN included");
}

/// A service that does not know the body may pass it over: the person stands at home, and nobody waits for anything else.
#[test]
fn a_person_who_came_back_at_home_instead_is_no_stale_read() {
    let view = view();
    let before = state(&mangled(HOME), json!(OLD_ID), true);
    let expected = state(TEMP, json!(OLD_ID), false);
    let at_home = state(HOME, json!(OLD_ID), false);
    let agreement =
        |begun: &[StepId], seen: &State| view.agreement(&before, &expected, None, seen, begun, None).unwrap();
    let straight = step("restore-to-temporary-upn");
    assert_eq!(agreement(&[straight], &at_home), Agreement::Foreign);
    assert_eq!(agreement(&[straight], &before), Agreement::Behind);
    let decision = view.decide(&before, &at_home, &|_| false).unwrap();
    assert_eq!(decision, Decision::Next(step("temporary-upn")));
    let moved = [straight, step("temporary-upn")];
    assert_eq!(agreement(&moved, &at_home), Agreement::Behind, "once they were moved from there, it is");
}

#[test]
fn whoever_was_live_before_is_not_deleted_on_the_way_back() {
    let view = view();
    let before = state(HOME, json!(OLD_ID), false);
    let decision = view.decide_back(&before, &before, &[step("restore")], &|_| false);
    assert_eq!(decision.unwrap(), Decision::Goal);
}

/// The journal and the machine know of a write under way only whether its step exposes: after a crash they tell by that who
/// has to go first. So no write may leave somebody away whose step does not say so.
#[test]
fn every_write_that_leaves_somebody_away_is_of_a_step_that_exposes() {
    let job = find("immutable-id").unwrap();
    let befores = [state(HOME, json!(OLD_ID), false), state(&mangled(HOME), json!(OLD_ID), true)];
    let upns = [HOME, TEMP].map(|upn| [(upn.to_owned(), false), (mangled(upn), true)]);
    let mut written = 0;
    for params in [&[][..], &[("restore", "plain")], &[("swap", "never")], &[("swap", "always")]] {
        let view = view_with(HOME, Some(GUID), params);
        for (before, (upn, deleted)) in
            befores.iter().flat_map(|before| upns.iter().flatten().map(move |(upn, deleted)| (before, (upn, *deleted))))
        {
            for id in [json!(OLD_ID), JsonValue::Null, json!(NEW_ID)] {
                let seen = state(upn, id, deleted);
                let Decision::Next(next) = view.decide(before, &seen, &|_| false).unwrap() else {
                    continue;
                };
                for number in [1, 2] {
                    let mut after = seen.clone();
                    let write = view.write(job.operation(next, number), before, &seen).unwrap();
                    after.merge(&write.effect);
                    let newly = !view.exposed(before, &seen).unwrap() && view.exposed(before, &after).unwrap();
                    let step = job.step(next).unwrap();
                    assert!(step.exposes || !newly, "{}: {seen:?} -> {after:?}", step.name);
                    written += 1;
                }
            }
        }
    }
    assert!(written > 50, "{written} writes prove little");
}

#[test]
fn every_character_of_a_upn_arrives() {
    let reads = |upn: &str, temp_upn: &str| {
        let reads = first_reads(&view_of(upn, Some(temp_upn), None));
        [reads[0].1.clone(), reads[1].1.clone()]
    };
    assert_eq!(
        reads("o'brien@contoso.com", "eve_home.example#EXT#@contoso.onmicrosoft.com"),
        ["/users/o%27brien@contoso.com", "/users/eve_home.example%23EXT%23@contoso.onmicrosoft.com"]
    );
    assert_eq!(
        reads("$pay@contoso.com", "$o'k@contoso.onmicrosoft.com"),
        ["/users('%24pay@contoso.com')", "/users('%24o%27%27k@contoso.onmicrosoft.com')"]
    );
    let job = find("immutable-id").unwrap();
    let view = view_of("o'brien@contoso.com", None, None);
    let lists = job.observe.looks.iter().filter(|look| look.list);
    for look in lists {
        let path = view.look(look, None).unwrap().unwrap().path;
        assert!(path.contains("'o%27%27brien@contoso.com'"), "{path}");
    }
}

#[test]
fn a_row_with_an_object_id_is_looked_up_by_it() {
    let reads = first_reads(&view_of(HOME, None, Some(ID)));
    let paths: Vec<&str> = reads.iter().map(|(_, path)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            format!("/users/{ID}"),
            format!("/directory/deletedItems/{ID}/microsoft.graph.user"),
            format!("/users/{HOME}"),
        ]
    );
    let job = find("immutable-id").unwrap();
    let other = job.observe.looks.iter().find(|look| look.name.starts_with("another"));
    let view = view_of(HOME, None, Some(ID));
    let found = |id: &str| {
        let item = json!({"id": id, "userPrincipalName": HOME});
        view.hits(other.unwrap(), None, &[item]).unwrap().len()
    };
    assert_eq!((found(ID), found(OTHER_ID)), (0, 1));
}

#[test]
fn an_object_id_of_somebody_else_is_refused() {
    let decide = |upn: &str, deleted: bool| {
        let view = view_of(HOME, None, Some(ID));
        let seen = state(upn, json!(OLD_ID), deleted);
        view.decide(&seen, &seen, &|_| false).unwrap()
    };
    for (upn, deleted) in [("bob@contoso.com", false), (&*mangled("bob@contoso.com"), true)] {
        let Decision::Refused(problems) = decide(upn, deleted) else {
            panic!("{upn} was taken");
        };
        let problem = &problems[0];
        assert_eq!(problem.code, "OtherUpn");
        assert!(problem.message.ends_with("has the UPN bob@contoso.com"), "{problem}");
    }
    for (upn, deleted) in [(HOME, false), (TEMP, false), (&*mangled(HOME), true)] {
        assert!(matches!(decide(upn, deleted), Decision::Next(_)), "{upn}");
    }
}

/// Such queries go through an index that is staler than any replica (Graph's advanced queries).
#[test]
fn nobody_who_is_known_is_looked_up_through_an_index() {
    let job = find("immutable-id").unwrap();
    let (view, known) = (view(), state(HOME, JsonValue::Null, false));
    let looks = job.observe.looks.iter();
    let reads: Vec<Request> = looks.filter_map(|look| view.look(look, Some(&known)).unwrap()).collect();
    assert_eq!(reads.len(), 2);
    for ask in reads {
        assert!(ask.headers.is_empty(), "{ask:?}");
        assert!(ask.path.contains(ID) && !ask.path.contains("$filter"), "{ask:?}");
    }
}

/// Whoever was deleted a minute ago may not be in the index yet: another look, which does not go through it, follows.
#[test]
fn nobody_is_missing_because_the_index_does_not_know_them() {
    let job = find("immutable-id").unwrap();
    let view = view();
    let looks = job.observe.looks.iter();
    let reads: Vec<Request> = looks.filter_map(|look| view.look(look, None).unwrap()).collect();
    let through_index = |ask: &Request| !ask.headers.is_empty();
    let last = reads.last().unwrap();
    assert_eq!(reads.iter().filter(|ask| through_index(ask)).count(), 1);
    assert!(!through_index(last) && last.path.contains("deletedItems"), "{last:?}");
}
