//! The shipped job `immutable-id`, seen by rows of every kind: which step comes first, what is sent, how it is undone.

use super::*;
use serde_json::{Value as JsonValue, json};

pub(super) const HOME: &str = "ann@contoso.com";
pub(super) const TEMP: &str = "ann@contoso.onmicrosoft.com";
pub(super) const GUID: &str = "00112233-4455-6677-8899-aabbccddeeff";
pub(super) const NEW_ID: &str = "MyIRAFVEd2aImaq7zN3u/w==";
pub(super) const OLD_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA==";

pub(super) fn settings(job: &Job, given: &[(&str, &str)]) -> Settings {
    let given: Vec<(String, String)> = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let params = job.parameters(&given).unwrap();
    let domain = |id: &str, kind: &str, initial: bool| json!({"id": id, "authenticationType": kind, "isInitial": initial, "isVerified": true});
    let domains = json!([
        domain("contoso.com", "Federated", false),
        domain("fabrikam.com", "Managed", false),
        domain("contoso.onmicrosoft.com", "Managed", true),
    ]);
    let mut lookups = serde_json::Map::new();
    lookups.insert("domains".into(), domains);
    let refused = job.lookups.iter().map(|lookup| lookup.name.clone());
    for name in refused {
        lookups.entry(name).or_insert(JsonValue::Null);
    }
    Settings::new(&params, &lookups)
}

pub(super) fn view_with(upn: &str, guid: Option<&str>, given: &[(&str, &str)]) -> RowView {
    let job = Arc::new(find("immutable-id").unwrap());
    let settings = settings(&job, given);
    let row = [Some(upn.to_owned()), guid.map(str::to_owned), None, None, None];
    RowView::new(&job, &settings, &row, None).unwrap()
}

/// A step of the shipped job, by its name.
pub(super) fn step(name: &str) -> StepId {
    let job = find("immutable-id").unwrap();
    let mut steps = job.step_ids().zip(&job.steps);
    steps.find(|(_, step)| step.name == name).unwrap().0
}

pub(super) fn view() -> RowView {
    view_with(HOME, Some(GUID), &[])
}

pub(super) fn state(upn: &str, id: JsonValue, deleted: bool) -> State {
    let fields = json!({
        "id": "7e06b566-15f3-4013-8bf8-79874d52e68a",
        "userPrincipalName": upn,
        "onPremisesImmutableId": id,
        "onPremisesSyncEnabled": null,
        "deleted": deleted,
    });
    State::from_text(&fields.to_string()).unwrap()
}

/// The names of the steps from a state to rest, by their predicted effects.
fn path(view: &RowView, before: &State) -> Vec<String> {
    let job = find("immutable-id").unwrap();
    let mut now = before.clone();
    let mut names = Vec::new();
    loop {
        match view.decide(before, &now, &|_| false).unwrap() {
            Decision::Next(step) => {
                names.push(job.step(step).unwrap().name.clone());
                now.merge(&view.write(Operation::Do(step), before, &now).unwrap().effect);
            }
            Decision::Goal => return names,
            Decision::Refused(problems) => return vec![problems[0].code.clone()],
            other @ (Decision::Adrift(_) | Decision::Unknowable(_)) => panic!("{other:?}"),
        }
        assert!(names.len() < 10, "it never comes to rest: {names:?}");
    }
}

#[test]
fn every_kind_of_person_takes_the_fewest_steps() {
    let all = ["temporary-upn", "clear", "set", "original-upn"];
    let federated = view();
    assert_eq!(path(&federated, &state(HOME, json!(OLD_ID), false)), all);
    assert_eq!(path(&federated, &state(HOME, json!(NEW_ID), false)), Vec::<String>::new());
    assert_eq!(
        path(&federated, &state("Ann@Contoso.com", json!(NEW_ID), false)),
        Vec::<String>::new(),
        "case does not matter"
    );
    let mangled = format!("7e06b56615f340138bf879874d52e68a{HOME}");
    assert_eq!(
        path(&federated, &state(&mangled, json!(OLD_ID), true)),
        ["restore-to-temporary-upn", "clear", "set", "original-upn"]
    );
    let mangled_away = format!("7e06b56615f340138bf879874d52e68a{TEMP}");
    assert_eq!(
        path(&federated, &state(&mangled_away, json!(OLD_ID), true)),
        ["restore-away", "clear", "set", "original-upn"]
    );
    assert_eq!(path(&federated, &state(&mangled, json!(NEW_ID), true)), ["restore"]);
    assert_eq!(path(&federated, &state(TEMP, JsonValue::Null, false)), ["set", "original-upn"]);
    assert_eq!(path(&federated, &state(TEMP, json!(NEW_ID), false)), ["original-upn"]);
    let managed = view_with("ann@fabrikam.com", Some(GUID), &[]);
    assert_eq!(path(&managed, &state("ann@fabrikam.com", json!(OLD_ID), false)), ["clear", "set"]);
    assert_eq!(path(&managed, &state("ann@fabrikam.com", JsonValue::Null, false)), ["set"]);
    let mangled = "7e06b56615f340138bf879874d52e68aann@fabrikam.com";
    assert_eq!(path(&managed, &state(mangled, json!(OLD_ID), true)), ["restore", "clear", "set"]);
}

#[test]
fn parameters_change_the_path() {
    let old = state(HOME, json!(OLD_ID), false);
    let with = |given: &[(&str, &str)]| path(&view_with(HOME, Some(GUID), given), &old);
    assert_eq!(with(&[("clear", "never")]), ["temporary-upn", "set", "original-upn"]);
    assert_eq!(with(&[("swap", "never")]), ["clear", "set"]);
    let mangled = format!("7e06b56615f340138bf879874d52e68a{HOME}");
    let deleted = state(&mangled, json!(OLD_ID), true);
    assert_eq!(
        path(&view_with(HOME, Some(GUID), &[("restore", "plain")]), &deleted),
        ["restore", "temporary-upn", "clear", "set", "original-upn"]
    );
    let managed = view_with("ann@fabrikam.com", Some(GUID), &[("swap", "always")]);
    assert_eq!(
        path(&managed, &state("ann@fabrikam.com", json!(OLD_ID), false)),
        ["temporary-upn", "clear", "set", "original-upn"]
    );
}

#[test]
fn what_speaks_against_a_row_is_said_by_code() {
    let old = state(HOME, json!(OLD_ID), false);
    assert_eq!(path(&view_with(HOME, None, &[]), &old), ["NoImmutableId"]);
    let elsewhere = view_with("ann@elsewhere.example", Some(GUID), &[]);
    assert_eq!(path(&elsewhere, &old), ["UnknownDomain"]);
    let mut synced = old;
    synced.set("onPremisesSyncEnabled", true.into());
    assert_eq!(path(&view(), &synced), ["Synchronized"]);
}

#[test]
fn clearing_sends_null_and_the_swap_exposes() {
    let view = view();
    let before = state(HOME, json!(OLD_ID), false);
    let moved = state(TEMP, json!(OLD_ID), false);
    let clear = view.write(Operation::Do(step("clear")), &before, &moved).unwrap();
    assert_eq!(clear.request.method, Method::Patch);
    assert_eq!(clear.request.path, "/users/7e06b566-15f3-4013-8bf8-79874d52e68a");
    assert_eq!(clear.request.body, Some(json!({"onPremisesImmutableId": null})));
    assert!(view.exposed(&before, &moved).unwrap());
    assert!(!view.exposed(&before, &before).unwrap());
}

#[test]
fn the_way_back_undoes_in_reverse_and_ends_as_before() {
    let view = view();
    let before = state(HOME, json!(OLD_ID), false);
    let begun = ["temporary-upn", "clear", "set", "original-upn"].map(step);
    let mut now = state(TEMP, json!(NEW_ID), false);
    let mut undone = Vec::new();
    while let Decision::Next(step) = view.decide_back(&before, &now, &begun, &|_| false).unwrap() {
        undone.push(step);
        now.merge(&view.write(Operation::Undo(step), &before, &now).unwrap().effect);
        assert!(undone.len() < 10, "{undone:?}");
    }
    assert_eq!(undone, ["set", "clear", "temporary-upn"].map(step), "new id to null, null to the old id, then the UPN");
    assert_eq!(now, before);
    assert_eq!(view.decide_back(&before, &now, &begun, &|_| false).unwrap(), Decision::Goal);
}

#[test]
fn an_undo_leaves_what_somebody_else_wrote() {
    let view = view();
    let before = state(HOME, json!(OLD_ID), false);
    let foreign = state("ann.other@contoso.onmicrosoft.com", json!(OLD_ID), false);
    let decision = view.decide_back(&before, &foreign, &[step("temporary-upn")], &|_| false);
    let Decision::Adrift(problem) = decision.unwrap() else {
        panic!("it was overwritten");
    };
    assert_eq!(problem.code, "ChangedByOthers");
    assert!(problem.message.contains("userPrincipalName"), "{problem}");
}

#[test]
fn a_lagging_replica_is_told_from_another_hand() {
    let view = view();
    let before = state(HOME, json!(OLD_ID), false);
    let expected = state(TEMP, JsonValue::Null, false);
    let begun = ["temporary-upn", "clear"].map(step);
    let agreement = |seen: &State, doubtful| view.agreement(&before, &expected, None, seen, &begun, doubtful).unwrap();
    assert_eq!(agreement(&expected, None), Agreement::Agrees);
    assert_eq!(agreement(&before, None), Agreement::Behind);
    assert_eq!(agreement(&state(TEMP, json!(OLD_ID), false), None), Agreement::Behind);
    assert_eq!(agreement(&state(TEMP, json!("other"), false), None), Agreement::Foreign);
    let set = Some(Operation::Do(step("set")));
    let shows = state(TEMP, json!(NEW_ID), false);
    assert_eq!(agreement(&shows, set), Agreement::Agrees, "the doubtful write took effect");
}

#[test]
fn a_deleted_account_is_picked_by_its_whole_mangled_upn() {
    let view = view();
    let job = find("immutable-id").unwrap();
    let mut looks = job.observe.looks.iter();
    let look = looks.find(|look| look.if_unsupported.is_some()).unwrap();
    let ask = view.look(look, None).unwrap().unwrap();
    assert!(ask.path.contains("endsWith(userPrincipalName,'ann@contoso.com')"), "{}", ask.path);
    assert_eq!(ask.headers, [("ConsistencyLevel".to_owned(), "eventual".to_owned())]);
    let item = |upn: &str| json!({"id": "7e06b566-15f3-4013-8bf8-79874d52e68a", "userPrincipalName": upn, "deletedDateTime": "2026-01-31T12:00:00Z"});
    let items = [
        item("7e06b56615f340138bf879874d52e68aann@contoso.com"),
        item("7e06b56615f340138bf879874d52e68ajoann@contoso.com"),
    ];
    let hits = view.hits(look, None, &items).unwrap();
    assert_eq!(hits.len(), 1);
    assert!(hits[0].state.get("deleted").is_true());
    assert_eq!(
        hits[0].told,
        "a deleted account with this UPN (7e06b566-15f3-4013-8bf8-79874d52e68a, deleted 2026-01-31T12:00:00Z)"
    );
}

#[test]
fn two_cells_that_disagree_are_found_before_anything_is_read() {
    let job = find("immutable-id").unwrap();
    let settings = Settings::new(&job.parameters(&[]).unwrap(), &serde_json::Map::new());
    let row = |id: &str| [Some(HOME.to_owned()), Some(GUID.to_owned()), Some(id.to_owned()), None, None];
    assert!(job.objections(&settings, &row(NEW_ID)).unwrap().is_empty());
    let found = job.objections(&settings, &row(OLD_ID)).unwrap();
    assert!(matches!(&found[..], [problem] if problem.code == "ImmutableId"), "{found:?}");
}

#[test]
fn an_anchor_that_is_not_made_from_a_guid_is_refused_unless_the_tenant_has_such() {
    let job = find("immutable-id").unwrap();
    let codes = |set: &[(String, String)], id: &str, object_id: Option<&str>| {
        let settings = Settings::new(&job.parameters(set).unwrap(), &serde_json::Map::new());
        let row = [HOME, "", id, "", object_id.unwrap_or_default()]
            .map(|cell| Some(cell.to_owned()).filter(|cell| !cell.is_empty()));
        let found = job.objections(&settings, &row).unwrap().into_iter();
        found.map(|problem| problem.code).collect::<Vec<_>>()
    };
    let any = [("anchors".to_owned(), "any".to_owned())];
    assert_eq!(codes(&[], "E-10023", None), ["OtherAnchor"]);
    assert!(codes(&any, "E-10023", None).is_empty());
    assert!(codes(&[], "ann@contoso.com", None).is_empty());
    assert!(codes(&[], NEW_ID, None).is_empty());
    // The row itself says that its anchor is the account's object id.
    assert_eq!(codes(&any, NEW_ID, Some(GUID)), ["EntraObjectId"]);
}

#[test]
fn what_the_directory_said_is_kept_with_what_was_observed() {
    let job = Arc::new(find("immutable-id").unwrap());
    let row = [Some(HOME.to_owned()), None, None, None, None];
    let said = |object: Option<&str>, consistency: Option<&str>| -> DirectoryEntry {
        [("object_guid".to_owned(), json!(object)), ("consistency_guid".to_owned(), json!(consistency))]
            .into_iter()
            .collect()
    };
    let wanted = |entry: &DirectoryEntry, anchor: &str| {
        let settings = settings(&job, &[("anchor", anchor)]);
        let view = RowView::new(&job, &settings, &row, Some(entry.clone())).unwrap();
        let look = job.observe.looks.iter().find(|look| look.pick.is_none());
        let person = json!({"id": "1", "userPrincipalName": HOME});
        let hits = view.hits(look.unwrap(), None, &[person]).unwrap();
        let seen: Vec<State> = hits.into_iter().map(|hit| hit.state).collect();
        assert_eq!(DirectoryEntry::of_state(&seen[0]).as_ref(), Some(entry));
        match view.decide(&seen[0], &seen[0], &|_| false).unwrap() {
            Decision::Refused(problems) => problems[0].code.clone(),
            _ => {
                let set = job.step_ids().find(|id| job.step(*id).unwrap().name == "set");
                let write = view.write(Operation::Do(set.unwrap()), &seen[0], &seen[0]).unwrap();
                let body = write.request.body.unwrap();
                body["onPremisesImmutableId"].as_str().unwrap().to_owned()
            }
        }
    };
    const OTHER: &str = "9c5923e9-de52-33ea-88de-7ebc8633b9cc";
    const OTHER_ID: &str = "6SNZnFLe6jOI3n68hjO5zA==";
    let both = said(Some(GUID), Some(OTHER));
    assert_eq!(wanted(&both, "auto"), OTHER_ID);
    assert_eq!(wanted(&both, "consistencyguid"), OTHER_ID);
    assert_eq!(wanted(&both, "objectguid"), NEW_ID);
    let one = said(Some(GUID), None);
    assert_eq!(wanted(&one, "auto"), NEW_ID);
    assert_eq!(wanted(&one, "consistencyguid"), "NoImmutableId");
}
