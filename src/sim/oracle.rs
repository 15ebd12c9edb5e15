//! `/sim/…`: what no real tenant tells. Tests compare it with what a program claims: the counters, the true state
//! of users, the writes that were made, the tokens that were given out. It needs no token, meets no faults and costs nothing; the server listens
//! on loopback only.

use std::sync::Mutex;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::directory::Directory;
use super::errors::Refusal;
use super::property::Property;
use super::reply::Reply;
use super::service::{Counters, locked};
use super::shape;
use super::tenant::Tenant;
use super::token::Tokens;
use super::upn;
use super::user::{Role, User, UserId};

/// Users written while the tenant is locked, so that other requests get their turn in a long listing.
const USERS_PER_LOCK: u32 = 4_096;

const SHOWN: [Property; 9] = [
    Property::Id,
    Property::UserPrincipalName,
    Property::OnPremisesImmutableId,
    Property::OnPremisesSyncEnabled,
    Property::AccountEnabled,
    Property::Mail,
    Property::DeletedDateTime,
    Property::OnPremisesObjectIdentifier,
    Property::LastPasswordChangeDateTime,
];

pub(super) fn stats(counters: &Counters) -> Reply {
    let value = json!({
        "requests": counters.requests.read(),
        "reads": counters.reads.read(),
        "writes": counters.writes.read(),
        "throttled": counters.throttled.read(),
        "faults": counters.faults.read(),
        "tokens": counters.tokens.read(),
    });
    Reply::value(StatusCode::OK, &value)
}

/// All users, or those with the UPN (`upn=`, live or deleted, without the digits of deletion) or the id (`id=`).
pub(super) fn users(tenant: &Mutex<Tenant>, pairs: &[(String, String)]) -> Result<Reply, Refusal> {
    let asked = pairs.iter().find(|(name, _)| name == "upn" || name == "id");
    let mut out = Vec::new();
    match asked {
        None => all_users(tenant, &mut out),
        Some((name, value)) if name == "id" => {
            let id = UserId::parse(value)
                .ok_or_else(|| Refusal::BadRequest(format!("'{value}' is not an id.")))?;
            let guard = locked(tenant);
            guard
                .world
                .directory
                .by_id(id)
                .into_iter()
                .for_each(|user| write_user(&mut out, user));
        }
        Some((_, name)) => with_upn(&locked(tenant).world.directory, name, &mut out),
    }
    Ok(Reply::lines(out))
}

/// The writes that are remembered, oldest first.
pub(super) fn writes(tenant: &Mutex<Tenant>) -> Reply {
    let guard = locked(tenant);
    let mut out = Vec::new();
    for record in guard.ledger.records() {
        // A record is plain data; should it not serialise, an empty line shows it to the reader.
        out.extend_from_slice(&serde_json::to_vec(record).unwrap_or_default());
        out.push(b'\n');
    }
    Reply::lines(out)
}

/// The tokens that are remembered, in no order: so a test can look for them where they must not be.
pub(super) fn tokens(tokens: &Mutex<Tokens>) -> Reply {
    let mut out = Vec::new();
    for token in locked(tokens).given_out() {
        out.extend_from_slice(token.as_bytes());
        out.push(b'\n');
    }
    Reply::lines(out)
}

fn all_users(tenant: &Mutex<Tenant>, out: &mut Vec<u8>) {
    let mut from = 0;
    loop {
        let guard = locked(tenant);
        let directory = &guard.world.directory;
        let to = directory.slots().min(from + USERS_PER_LOCK);
        (from..to)
            .filter_map(|slot| directory.get(slot))
            .for_each(|user| write_user(out, user));
        if to == directory.slots() {
            return;
        }
        from = to;
    }
}

fn with_upn(directory: &Directory, name: &str, out: &mut Vec<u8>) {
    let deleted = directory.deleted_with_tail(name);
    let slots = directory.live_by_upn(name).into_iter().chain(deleted);
    let users = slots.filter_map(|slot| directory.get(slot));
    users
        .filter(|user| upn::same(&user.upn, name))
        .for_each(|user| write_user(out, user));
}

fn write_user(out: &mut Vec<u8>, user: &User) {
    out.push(b'{');
    shape::write_properties(out, user, &SHOWN);
    let more = [
        ("homeUserPrincipalName", Value::from(&*user.upn)),
        ("deleted", Value::from(!user.is_live())),
        (
            "administrator",
            Value::from(user.role == Role::Administrator),
        ),
        ("eligible", Value::from(user.role == Role::Eligible)),
    ];
    for (name, value) in more {
        out.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
    }
    out.extend_from_slice(b"}\n");
}
