//! The shipped job `immutable-id`, and what it finds against people before anything is written.

use super::*;
use crate::core::Problem;
use serde_json::{Value as JsonValue, json};
use std::collections::BTreeMap as Map;

const UPN: &str = "ann@contoso.com";
const TEMP: &str = "ann@contoso.onmicrosoft.com";
const SPARE: &str = "ann.contoso.com@contoso.onmicrosoft.com";
const ID: &str = "7e06b566-15f3-4013-8bf8-79874d52e68a";
const GUID: &str = "00112233-4455-6677-8899-aabbccddeeff";
const NEW_ID: &str = "MyIRAFVEd2aImaq7zN3u/w==";
const ADMINISTRATOR: &str = "7be44c8a-adaf-4e2a-84d6-ab2649e08a13";

/// What is known around a person; all else is as it should be.
#[derive(Default)]
struct Around {
    upn: Option<&'static str>,
    params: Vec<(&'static str, &'static str)>,
    lookups: Map<&'static str, JsonValue>,
    state: Map<&'static str, JsonValue>,
    app_roles: Vec<&'static str>,
}

/// The code of what blocks, if something does, and the codes of what warns.
fn codes(around: Around) -> (Option<String>, Vec<String>) {
    let job = Arc::new(find("immutable-id").unwrap());
    let given = around.params.iter();
    let given: Vec<_> = given.map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let domain = |id: &str, kind: &str, initial: bool| json!({"id": id, "authenticationType": kind, "isInitial": initial, "isVerified": true});
    let mut lookups: serde_json::Map<_, _> =
        job.lookups.iter().map(|lookup| (lookup.name.clone(), JsonValue::Null)).collect();
    lookups.insert(
        "domains".into(),
        json!([
            domain("contoso.com", "Federated", false),
            domain("fabrikam.com", "Managed", false),
            domain("contoso.onmicrosoft.com", "Managed", true),
        ]),
    );
    lookups.extend(around.lookups.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let app =
        AppFacts { roles: Some(around.app_roles.iter().map(ToString::to_string).collect()), ..AppFacts::default() };
    let settings = Settings::new(&job.parameters(&given).unwrap(), &lookups).of_app(&app);
    let upn = around.upn.unwrap_or(UPN);
    let values = job.layout.columns.iter().map(|column| match &column.name[..] {
        "upn" => Some(upn.to_owned()),
        "object_guid" => Some(GUID.to_owned()),
        _ => None,
    });
    let view = RowView::new(&job, &settings, &values.collect::<Vec<_>>(), None).unwrap();
    let mut state = json!({
        "id": ID, "userPrincipalName": upn, "onPremisesImmutableId": "AAAAAAAAAAAAAAAAAAAAAA==", "onPremisesSyncEnabled": null,
        "deleted": false, "anchor_holders": [], "deleted_anchor_holders": [], "upn_holders": [],
        "beside": {"identifier": null, "password": true},
    });
    for (name, value) in around.state {
        state[name] = value;
    }
    let state = State::from_text(&state.to_string()).unwrap();
    let codes = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.code);
    let blocks = match view.decide(&state, &state, &|_| false).unwrap() {
        Decision::Refused(problems) => codes(problems).next(),
        Decision::Next(_) | Decision::Goal | Decision::Adrift(_) | Decision::Unknowable(_) => None,
    };
    (blocks, codes(view.warnings(&state).unwrap()).collect())
}

fn with<const N: usize>(state: [(&'static str, JsonValue); N]) -> Around {
    Around { state: Map::from(state), ..Around::default() }
}

fn blocked(code: &str) -> (Option<String>, Vec<String>) {
    (Some(code.to_owned()), Vec::new())
}

fn warned(code: &str) -> (Option<String>, Vec<String>) {
    (None, vec![code.to_owned()])
}

const FREE: (Option<String>, Vec<String>) = (None, Vec::new());

#[test]
fn nothing_speaks_against_a_plain_person() {
    assert_eq!(codes(Around::default()), FREE);
}

#[test]
fn the_accounts_own_object_id_is_no_anchor() {
    // In whatever case the service writes it.
    let own = with([("id", json!(GUID.to_uppercase()))]);
    assert_eq!(codes(own), blocked("EntraObjectId"));
    // Where it was set long ago, nothing is written and nothing speaks against the person.
    let there = with([("id", json!(GUID)), ("onPremisesImmutableId", json!(NEW_ID))]);
    assert_eq!(codes(there), FREE);
}

#[test]
fn values_that_others_have_block() {
    let holder = |upn: &str| json!({"id": "somebody", "userPrincipalName": upn});
    let taken = with([("anchor_holders", json!([holder("bob@contoso.com")]))]);
    assert_eq!(codes(taken), blocked("ImmutableIdTaken"));
    let temporary = with([("upn_holders", json!([holder(TEMP)]))]);
    assert_eq!(codes(temporary), FREE, "there is a spare one");
    let both = with([("upn_holders", json!([holder(TEMP), holder(SPARE)]))]);
    assert_eq!(codes(both), blocked("TemporaryUpnTaken"));
    let own = with([
        ("deleted", json!(true)),
        ("userPrincipalName", json!(format!("7e06b56615f340138bf879874d52e68a{UPN}"))),
        ("upn_holders", json!([holder(UPN)])),
    ]);
    assert_eq!(codes(own), blocked("UpnTaken"));
}

/// Whoever is at the goal already needs none of the values.
#[test]
fn nothing_speaks_against_a_person_who_is_at_the_goal() {
    let at_goal = Around {
        lookups: Map::from([("held", json!({"ids": [ID], "groups": []}))]),
        ..with([
            ("onPremisesImmutableId", json!(NEW_ID)),
            ("anchor_holders", JsonValue::Null),
            ("beside", JsonValue::Null),
        ])
    };
    assert_eq!(codes(at_goal), FREE);
}

#[test]
fn a_deleted_holder_of_the_value_is_a_warning() {
    let deleted = with([("deleted_anchor_holders", json!(["bob@contoso.com"]))]);
    assert_eq!(codes(deleted), warned("ImmutableIdOfDeleted"));
}

#[test]
fn a_role_blocks_an_app_that_has_none_and_is_a_warning_otherwise() {
    let holds = |lookup: &'static str, value: JsonValue, app_roles: &[&'static str]| {
        codes(Around { lookups: Map::from([(lookup, value)]), app_roles: app_roles.to_vec(), ..Around::default() })
    };
    let ids = json!({"ids": [ID], "groups": []});
    let role = vec!["HardMatchRole".to_owned()];
    assert_eq!(holds("held", ids.clone(), &[]), (Some("RoleHeld".into()), role.clone()));
    assert_eq!(holds("held_by_group", json!([ID]), &[]), (Some("RoleHeld".into()), role));
    assert_eq!(holds("held", ids.clone(), &[ADMINISTRATOR]), warned("HardMatchRole"));
    assert_eq!(holds("eligible", ids, &[]), warned("HardMatchRole"));
    assert_eq!(holds("eligible_by_group", json!([ID]), &[]), warned("HardMatchRole"));
}

#[test]
fn an_identifier_that_is_kept_is_a_warning_and_one_that_is_cleared_is_not() {
    let identified = |params: Vec<(&'static str, &'static str)>| {
        codes(Around { params, ..with([("beside", json!({"identifier": GUID, "password": true}))]) })
    };
    assert_eq!(identified(Vec::new()), warned("HardMatchIdentifier"));
    assert_eq!(identified(vec![("identifier", "clear")]), FREE);
}

#[test]
fn a_password_is_needed_in_a_managed_domain_only() {
    let without = |upn: &'static str| {
        codes(Around { upn: Some(upn), ..with([("beside", json!({"identifier": null, "password": false}))]) })
    };
    assert_eq!(without("ann@fabrikam.com"), warned("PasswordNeeded"));
    assert_eq!(without(UPN), FREE);
}

/// What stands in the way of a whole run.
fn obstacles(given: &[(&str, &str)], initial: bool, roles: Option<&str>) -> Vec<String> {
    let job = find("immutable-id").unwrap();
    let given: Vec<_> = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let domains = json!([{"id": "contoso.com", "isInitial": initial}]);
    let lookups = serde_json::Map::from_iter([("domains".to_owned(), domains)]);
    let app = AppFacts { roles: roles.map(|role| vec![role.to_owned()]), ..AppFacts::default() };
    let settings = Settings::new(&job.parameters(&given).unwrap(), &lookups).of_app(&app);
    let found = job.obstacles(&settings).unwrap();
    found.into_iter().map(|problem| problem.code).collect()
}

#[test]
fn a_tenant_without_an_initial_domain_is_an_obstacle() {
    assert_eq!(obstacles(&[], false, None), ["InitialDomain"]);
    assert_eq!(obstacles(&[], true, None), [""; 0]);
}

/// Else everybody would be changed, refused at the last step and put back.
#[test]
fn clearing_the_identifier_without_the_role_for_it_is_an_obstacle() {
    let clear = [("identifier", "clear")];
    let hybrid = "8ac3fc64-6eca-42ea-9e69-59f4c7b60eb2";
    assert_eq!(obstacles(&clear, true, Some(ADMINISTRATOR)), ["IdentifierRole"]);
    assert_eq!(obstacles(&clear, true, Some(hybrid)), [""; 0]);
    assert_eq!(obstacles(&clear, true, None), [""; 0]);
    assert_eq!(obstacles(&[], true, Some(ADMINISTRATOR)), [""; 0]);
}
