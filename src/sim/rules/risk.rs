//! Identity Protection: who is at risk, in whose hands an account may be. A small share of people is found at risk; an
//! operator dismisses that, or confirms that an account is compromised. The forms are those of Microsoft's description of
//! `riskyUser`.
//!
//! Nobody but those at risk, now or before, is on the list. What an action does to somebody who is not is not documented in
//! full: confirming puts them on it, dismissing does nothing. An id that is nobody's is refused.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::sim::document::{fields, parse_id};
use crate::sim::odata::Comparison;
use crate::sim::schema::parameters;
use crate::sim::{
    Collection, Document, GraphOperation, GraphRefusal, GraphReply, ODataQuery, ReplicaView, Rows, SimTime, Slot,
    StateLine, Tenant,
};
use crate::sim::{derive, user};

/// One in this many people is found at risk.
const AT_RISK_ONE_IN: u32 = 50;
/// 2026-03-01: when the first of them was found, and in how many minutes after it the others were.
const FOUND_SINCE: SimTime = SimTime(1_772_323_200_000);
const FOUND_MINUTES: u32 = 60 * 24 * 60;
const MINUTE_MS: u64 = 60_000;

/// Level, state and detail of a risk.
type Assessed = [&'static str; 3];

/// There was none.
const DISMISSED: Assessed = ["none", "dismissed", "adminDismissedAllRiskForUser"];
/// Somebody else has the account.
const CONFIRMED: Assessed = ["high", "confirmedCompromised", "adminConfirmedUserCompromised"];

fn risk([level, state, detail]: Assessed, at: SimTime) -> Document {
    fields(json!({
        "riskLevel": level,
        "riskState": state,
        "riskDetail": detail,
        "riskLastUpdatedDateTime": at.zulu_text(),
    }))
}

/// The risk that somebody was found with.
fn found(user: &Document) -> Option<Document> {
    let draw = user::number(user);
    if !draw.is_multiple_of(AT_RISK_ONE_IN) {
        return None;
    }
    let rest = draw / AT_RISK_ONE_IN;
    let level = ["low", "medium", "high"][usize::try_from(rest % 3).unwrap_or_default()];
    let at = FOUND_SINCE.plus_ms(u64::from(rest % FOUND_MINUTES) * MINUTE_MS);
    Some(risk([level, "atRisk", "none"], at))
}

/// Somebody who is or was at risk, as the list shows them.
fn risky_user(tenant: &Tenant, slot: Slot) -> Option<Document> {
    let user = tenant.users.get(slot)?;
    let changed = tenant.risks.get(&user::id(user)).cloned();
    let mut shown = changed.or_else(|| found(user))?;
    shown.extend(fields(json!({
        "id": user::id(user),
        "isDeleted": Collection::of(user) == Collection::Deleted,
        "isProcessing": false,
        "userDisplayName": user.get("displayName").cloned().unwrap_or_else(|| derive::display_name(user)),
        "userPrincipalName": user::upn(user),
    })));
    Some(shown)
}

pub(crate) fn rows<'a>(view: ReplicaView<'a>, query: &'a ODataQuery) -> Result<Rows<'a>, GraphRefusal> {
    let tenant = view.tenant;
    let slots: Box<dyn Iterator<Item = Slot>> = match query.filter.as_ref().map(|filter| &filter.comparison) {
        Some(Comparison::In(ids)) => Box::new(ids.iter().filter_map(|id| tenant.users.slot_of(parse_id(id)?))),
        Some(Comparison::Starts(_) | Comparison::Ends(_)) | None => Box::new(query.from..tenant.users.slots()),
    };
    Ok(Box::new(slots.filter_map(|slot| Some((slot, Cow::Owned(risky_user(tenant, slot)?))))))
}

pub(crate) fn find(view: ReplicaView<'_>) -> Option<Cow<'_, Document>> {
    let slot = view.tenant.users.slot_of(parse_id(view.key)?)?;
    risky_user(view.tenant, slot).map(Cow::Owned)
}

pub(crate) fn dismiss(operation: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    act(operation, DISMISSED)
}

pub(crate) fn confirm_compromised(operation: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    act(operation, CONFIRMED)
}

fn act(operation: &mut GraphOperation<'_>, action: Assessed) -> Result<GraphReply, GraphRefusal> {
    let GraphOperation { tenant, call, .. } = operation;
    let risks = plan(tenant, action, call.json_body()?, call.now)?;
    tenant.make(StateLine { risks, ..StateLine::default() }, call.now, &call.identity)?;
    Ok(GraphReply::no_content())
}

/// The changes that an action makes, none of them made yet.
fn plan(tenant: &Tenant, action: Assessed, body: &[u8], now: SimTime) -> Result<Vec<(Uuid, Document)>, GraphRefusal> {
    let mut planned = Vec::new();
    for id in user_ids(body)? {
        let slot = tenant.users.slot_of(id).ok_or_else(|| GraphRefusal::not_found(id))?;
        if action == CONFIRMED || risky_user(tenant, slot).is_some() {
            planned.push((id, risk(action, now)));
        }
    }
    Ok(planned)
}

fn user_ids(body: &[u8]) -> Result<Vec<Uuid>, GraphRefusal> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Parameters {
        user_ids: Vec<String>,
    }
    let Parameters { user_ids } = parameters(body)?;
    user_ids
        .iter()
        .map(|text| {
            parse_id(text).ok_or_else(|| GraphRefusal::bad_request(format!("'{text}' is not the id of a user.")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::chance;
    use crate::sim::tenant::tests::tenant;
    use axum::http::StatusCode;

    /// Octets 0, 0, 0, 100 make a number that is found at risk.
    fn user(last: u8) -> Document {
        let mut octets = [7; 16];
        octets[..4].copy_from_slice(&[0, 0, 0, last]);
        user::document(chance::uuid(octets), &format!("user{last}@contoso.com"), None)
    }

    fn planned(tenant: &Tenant, action: Assessed, ids: &[Uuid]) -> usize {
        let body = json!({ "userIds": ids }).to_string();
        plan(tenant, action, body.as_bytes(), SimTime(0)).unwrap().len()
    }

    #[test]
    fn a_risk_is_dismissed_and_a_compromise_confirmed() {
        let mut tenant = tenant([user(100), user(101)], &[], 0);
        let shown = |tenant: &Tenant, slot| risky_user(tenant, slot);
        assert_eq!(shown(&tenant, 0).unwrap()["riskState"], "atRisk");
        assert_eq!(shown(&tenant, 1), None);
        let both = [user::id(&user(100)), user::id(&user(101))];
        assert_eq!(planned(&tenant, DISMISSED, &both), 1);
        assert_eq!(planned(&tenant, CONFIRMED, &both), 2);
        let risks = vec![(both[0], risk(DISMISSED, SimTime(0)))];
        let line = StateLine { risks, ..StateLine::default() };
        tenant.make(line, SimTime(0), &chance::Identity::for_test(1)).unwrap();
        let after = shown(&tenant, 0).unwrap();
        assert_eq!((&after["riskState"], &after["riskLevel"]), (&json!("dismissed"), &json!("none")));
    }

    #[test]
    fn malformed_parameters_and_strangers_are_refused() {
        let nobody = tenant([], &[], 0);
        let plan_text = |body: &str| plan(&nobody, DISMISSED, body.as_bytes(), SimTime(0));
        for body in ["", "{}", "[]", r#"{"userIds":["x"]}"#, r#"{"userIds":[],"more":1}"#] {
            assert_eq!(plan_text(body).unwrap_err().status(), StatusCode::BAD_REQUEST, "{body}");
        }
        assert_eq!(plan_text(r#"{"userIds":[]}"#), Ok(Vec::new()));
        let stranger = user::id(&user(9));
        let refused = plan_text(&format!(r#"{{"userIds":["{stranger}"]}}"#));
        assert_eq!(refused, Err(GraphRefusal::not_found(stranger)));
    }
}
