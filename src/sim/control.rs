//! `/sim/…`: what no real tenant tells. Tests compare it with what a program claims: the counters, the true state
//! of users, the writes that were made, the tokens that were given out. It needs no token, meets no faults and costs
//! nothing; the server listens on loopback only.

use axum::http::StatusCode;
use serde_json::json;

use super::document::parse_id;
use super::service::SimService;
use super::user::{self, DirectoryRole};
use super::{Call, Collection, Document, GraphRefusal, GraphReply, Route, USERS};

/// Users written while the tenant is locked, so that other requests get their turn in a long listing.
const USERS_PER_LOCK: u32 = 4_096;

/// What is shown of a user by its name in Graph.
const SHOWN: &str = "id userPrincipalName onPremisesImmutableId onPremisesSyncEnabled accountEnabled mail deletedDateTime \
    onPremisesObjectIdentifier lastPasswordChangeDateTime";

/// Serves the tenant's own pages; None where the request is for another one.
pub(super) fn serve(service: &SimService, call: &Call) -> Option<GraphReply> {
    let Ok(Route::Control(page)) = &call.route else {
        return None;
    };
    let reply = match page.as_str() {
        _ if !call.is_read() => Err(GraphRefusal::METHOD),
        "stats" => Ok(GraphReply::value(StatusCode::OK, &json!(service.counters))),
        "users" => users(service, &call.pairs),
        "writes" => Ok(writes(service)),
        "tokens" => Ok(tokens(service)),
        _ => Err(GraphRefusal::no_such_path(&call.path)),
    };
    reply.map_or_else(|refusal| service.refuse(call, &refusal), Some)
}

/// All users, or those with the UPN (`upn=`, live or deleted, without the digits of deletion) or the id (`id=`).
fn users(service: &SimService, pairs: &[(String, String)]) -> Result<GraphReply, GraphRefusal> {
    let mut out = Vec::new();
    match pairs.iter().find(|(name, _)| name == "upn" || name == "id") {
        None => all_users(service, &mut out),
        Some((name, value)) if name == "id" => {
            let id = parse_id(value).ok_or_else(|| GraphRefusal::bad_request(format!("'{value}' is not an id.")))?;
            service.tenant.lock().users.by_id(id).into_iter().for_each(|user| write_user(&mut out, user));
        }
        Some((_, name)) => {
            let store = &service.tenant.lock().users;
            let slots = store.live_by_upn(name).into_iter().chain(store.deleted_with_tail(name));
            let users = slots.filter_map(|slot| store.get(slot));
            let named = users.filter(|user| user::home_upn(user).eq_ignore_ascii_case(name));
            named.for_each(|user| write_user(&mut out, user));
        }
    }
    Ok(GraphReply::lines(out))
}

/// The writes that are remembered, oldest first.
fn writes(service: &SimService) -> GraphReply {
    let tenant = service.tenant.lock();
    let lines: String = tenant.writes.records.iter().flat_map(|record| [record, "\n"]).collect();
    GraphReply::lines(lines.into_bytes())
}

/// The tokens that are remembered, in no order: so a test can look for them where they must not be.
fn tokens(service: &SimService) -> GraphReply {
    let access = service.access.lock();
    let lines: String = access.tokens.given_out().flat_map(|token| [token, "\n"]).collect();
    GraphReply::lines(lines.into_bytes())
}

fn all_users(service: &SimService, out: &mut Vec<u8>) {
    let mut from = 0;
    loop {
        let tenant = service.tenant.lock();
        let store = &tenant.users;
        let to = store.slots().min(from + USERS_PER_LOCK);
        (from..to).filter_map(|slot| store.get(slot)).for_each(|user| write_user(out, user));
        if to == store.slots() {
            return;
        }
        from = to;
    }
}

fn write_user(out: &mut Vec<u8>, user: &Document) {
    let role = user::role(user);
    let mut shown = json!({
        "homeUserPrincipalName": user::home_upn(user),
        "deleted": Collection::of(user) == Collection::Deleted,
        "administrator": role == DirectoryRole::Holder,
        "eligible": role == DirectoryRole::Eligible,
    });
    for property in USERS.properties().iter().filter(|property| SHOWN.split(' ').any(|name| name == property.name)) {
        shown[&property.name] = property.value(user).into_owned();
    }
    out.extend_from_slice(shown.to_string().as_bytes());
    out.push(b'\n');
}
