//! Identity Protection: who is at risk, in whose hands an account may be. A small share of people is found at risk; an
//! operator dismisses that, or confirms that an account is compromised. The forms are those of Microsoft's description of
//! `riskyUser`.
//!
//! Nobody but those at risk, now or before, is on the list. What an action does to somebody who is not is not documented in
//! full: confirming puts them on it, dismissing does nothing. An id that is nobody's is refused.

use std::collections::HashMap;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::clock::UnixMillis;
use super::directory::{Directory, Slot};
use super::envelope::{Envelope, Head};
use super::errors::Refusal;
use super::property::Property;
use super::query;
use super::reply::Reply;
use super::shape;
use super::user::{User, UserId};

/// One in this many people is found at risk.
const AT_RISK_ONE_IN: u32 = 50;
/// 2026-03-01: when the first of them was found, and in how many minutes after it the others were.
const FOUND_SINCE: UnixMillis = UnixMillis(1_772_323_200_000);
const FOUND_MINUTES: u32 = 60 * 24 * 60;
const MINUTE_MS: u64 = 60_000;

const PROPERTIES: [&str; 9] = [
    "id",
    "isDeleted",
    "isProcessing",
    "riskDetail",
    "riskLastUpdatedDateTime",
    "riskLevel",
    "riskState",
    "userDisplayName",
    "userPrincipalName",
];

/// How great a risk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Level {
    None,
    Low,
    Medium,
    High,
}

/// What became of a risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum State {
    AtRisk,
    Dismissed,
    ConfirmedCompromised,
}

/// By what it became so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Detail {
    None,
    AdminDismissedAllRiskForUser,
    AdminConfirmedUserCompromised,
}

/// One person's risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Risk {
    level: Level,
    state: State,
    detail: Detail,
    at: UnixMillis,
}

/// What an operator can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RiskAction {
    /// There was none.
    Dismiss,
    /// Somebody else has the account.
    ConfirmCompromised,
}

impl RiskAction {
    fn outcome(self, at: UnixMillis) -> Risk {
        match self {
            Self::Dismiss => Risk {
                level: Level::None,
                state: State::Dismissed,
                detail: Detail::AdminDismissedAllRiskForUser,
                at,
            },
            Self::ConfirmCompromised => Risk {
                level: Level::High,
                state: State::ConfirmedCompromised,
                detail: Detail::AdminConfirmedUserCompromised,
                at,
            },
        }
    }
}

/// The risks that operators changed; all others hang on the id alone.
#[derive(Debug, Default)]
pub(super) struct Risks(HashMap<UserId, Risk>);

impl Risks {
    pub(super) fn put(&mut self, id: UserId, risk: Risk) {
        self.0.insert(id, risk);
    }

    pub(super) fn changed(&self) -> impl Iterator<Item = (UserId, Risk)> {
        self.0.iter().map(|(id, risk)| (*id, *risk))
    }

    fn of(&self, user: &User) -> Option<Risk> {
        self.0.get(&user.id).copied().or_else(|| found(user.id))
    }

    /// The changes that an action makes, none of them made yet.
    pub(super) fn plan(
        &self,
        directory: &Directory,
        action: RiskAction,
        body: &[u8],
        now: UnixMillis,
    ) -> Result<Vec<(UserId, Risk)>, Refusal> {
        let mut planned = Vec::new();
        for id in user_ids(body)? {
            let user = directory
                .by_id(id)
                .ok_or_else(|| Refusal::NotFound(id.to_string()))?;
            if self.of(user).is_some() || action == RiskAction::ConfirmCompromised {
                planned.push((id, action.outcome(now)));
            }
        }
        Ok(planned)
    }
}

/// The risk that somebody was found with.
fn found(id: UserId) -> Option<Risk> {
    let draw = id.number();
    if !draw.is_multiple_of(AT_RISK_ONE_IN) {
        return None;
    }
    let rest = draw / AT_RISK_ONE_IN;
    let level = match rest % 3 {
        0 => Level::Low,
        1 => Level::Medium,
        _ => Level::High,
    };
    let minutes = u64::from(rest % FOUND_MINUTES);
    Some(Risk {
        level,
        state: State::AtRisk,
        detail: Detail::None,
        at: FOUND_SINCE.plus_ms(minutes * MINUTE_MS),
    })
}

fn user_ids(body: &[u8]) -> Result<Vec<UserId>, Refusal> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Parameters {
        user_ids: Vec<String>,
    }
    let parameters: Parameters = serde_json::from_slice(body).map_err(|error| {
        Refusal::BadBody(format!("The parameters are not understood: {error}."))
    })?;
    let ids = parameters.user_ids.iter().map(|text| {
        UserId::parse(text)
            .ok_or_else(|| Refusal::BadBody(format!("'{text}' is not the id of a user.")))
    });
    ids.collect()
}

/// A page of those who are or were at risk.
pub(super) fn list(
    risks: &Risks,
    directory: &Directory,
    envelope: Envelope<'_>,
) -> Result<Reply, Refusal> {
    let options = RiskOptions::parse(&envelope.call.pairs)?;
    let slots: Vec<Slot> = match options.id {
        Some(id) => directory.slot_of(id).into_iter().collect(),
        None => (options.from..directory.slots()).collect(),
    };
    let mut found = slots.into_iter().filter_map(|slot| {
        let user = directory.get(slot)?;
        Some((slot, user, risks.of(user)?))
    });
    let shown: Vec<_> = found.by_ref().take(options.page_size).collect();
    let head = Head {
        set: format!("identityProtection/riskyUsers{}", options.described()),
        count: None,
        next: found.next().map(|(slot, ..)| slot),
    };
    Ok(envelope.page(&head, shown, |out, (_, user, risk)| {
        let object = Value::Object(options.selected(user, risk));
        out.extend_from_slice(object.to_string().as_bytes());
    }))
}

/// One person's risk.
pub(super) fn get(
    risks: &Risks,
    directory: &Directory,
    id: UserId,
    envelope: Envelope<'_>,
) -> Result<Reply, Refusal> {
    let options = RiskOptions::parse(&envelope.call.pairs)?;
    let found = directory
        .by_id(id)
        .and_then(|user| Some((user, risks.of(user)?)));
    let (user, risk) = found.ok_or_else(|| Refusal::NotFound(id.to_string()))?;
    let mut object = options.selected(user, risk);
    let set = format!(
        "identityProtection/riskyUsers{}/$entity",
        options.described()
    );
    object.insert("@odata.context".to_owned(), json!(envelope.context(&set)));
    Ok(Reply::value(StatusCode::OK, &Value::Object(object)))
}

/// The query options: `$filter=id eq '…'`, `$select`, `$top` and the paging token.
#[derive(Debug, Default)]
struct RiskOptions {
    id: Option<UserId>,
    select: Option<Vec<String>>,
    page_size: usize,
    from: Slot,
}

impl RiskOptions {
    fn parse(pairs: &[(String, String)]) -> Result<Self, Refusal> {
        let mut options = Self {
            page_size: query::PAGE_DEFAULT,
            ..Self::default()
        };
        for (name, value) in pairs {
            match name.as_str() {
                "$filter" => options.id = Some(id_filter(value)?),
                "$select" => options.select = Some(select(value)?),
                "$top" => options.page_size = query::top(value)?,
                "$skiptoken" => options.from = value.parse().map_err(|_| Refusal::PageToken)?,
                _ if name.starts_with('$') => {
                    return Err(Refusal::UnsupportedQuery(format!(
                        "The simulated tenant does not support {name}={value} here."
                    )));
                }
                _ => {}
            }
        }
        Ok(options)
    }

    fn described(&self) -> String {
        let names = self.select.as_ref().map(|names| names.join(","));
        names.map_or_else(String::new, |names| format!("({names})"))
    }

    fn selected(&self, user: &User, risk: Risk) -> Map<String, Value> {
        let values = [
            json!(user.id),
            json!(!user.is_live()),
            json!(false),
            json!(risk.detail),
            json!(risk.at.zulu_text()),
            json!(risk.level),
            json!(risk.state),
            shape::value(user, Property::DisplayName),
            shape::value(user, Property::UserPrincipalName),
        ];
        let all = PROPERTIES.into_iter().zip(values);
        let is_selected = |name: &str| {
            let names = self.select.as_ref();
            names.is_none_or(|names| names.iter().any(|selected| selected == name))
        };
        all.filter(|(name, _)| is_selected(name))
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

fn id_filter(value: &str) -> Result<UserId, Refusal> {
    value
        .trim()
        .strip_prefix("id eq '")
        .and_then(|rest| rest.strip_suffix('\''))
        .and_then(UserId::parse)
        .ok_or_else(|| {
            Refusal::UnsupportedQuery(
                "Unsupported or invalid query filter clause: id eq '…' is expected.".to_owned(),
            )
        })
}

fn select(value: &str) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> = value
        .split(',')
        .map(|name| name.trim().to_owned())
        .collect();
    match names
        .iter()
        .find(|name| !PROPERTIES.contains(&name.as_str()))
    {
        Some(unknown) => Err(Refusal::UnknownProperty(unknown.clone())),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Octets 0, 0, 0, 100 make a number that is found at risk.
    fn user(last: u8) -> User {
        let mut octets = [7; 16];
        octets[..4].copy_from_slice(&[0, 0, 0, last]);
        User::new(
            UserId::from_octets(octets),
            &format!("user{last}@contoso.com"),
            None,
        )
    }

    fn plan(risks: &Risks, action: RiskAction, ids: &[UserId]) -> Result<usize, Refusal> {
        let mut directory = Directory::default();
        directory.put(user(100));
        directory.put(user(101));
        let body = json!({ "userIds": ids }).to_string();
        let planned = risks.plan(&directory, action, body.as_bytes(), UnixMillis(0));
        planned.map(|planned| planned.len())
    }

    #[test]
    fn a_risk_is_dismissed_and_a_compromise_confirmed() {
        let (risky, other) = (user(100), user(101));
        let mut risks = Risks::default();
        assert_eq!(risks.of(&risky).map(|risk| risk.state), Some(State::AtRisk));
        assert_eq!(risks.of(&other), None);
        let both = [risky.id, other.id];
        assert_eq!(plan(&risks, RiskAction::Dismiss, &both), Ok(1));
        assert_eq!(plan(&risks, RiskAction::ConfirmCompromised, &both), Ok(2));
        risks.put(risky.id, RiskAction::Dismiss.outcome(UnixMillis(0)));
        let after = risks.of(&risky).unwrap();
        assert_eq!((after.state, after.level), (State::Dismissed, Level::None));
    }

    #[test]
    fn malformed_parameters_and_strangers_are_refused() {
        let plan_text = |body: &str| {
            let body = body.as_bytes();
            Risks::default().plan(
                &Directory::default(),
                RiskAction::Dismiss,
                body,
                UnixMillis(0),
            )
        };
        for body in [
            "",
            "{}",
            "[]",
            r#"{"userIds":["x"]}"#,
            r#"{"userIds":[],"more":1}"#,
        ] {
            assert!(
                matches!(plan_text(body), Err(Refusal::BadBody(_))),
                "{body}"
            );
        }
        assert_eq!(plan_text(r#"{"userIds":[]}"#), Ok(Vec::new()));
        let stranger = format!(r#"{{"userIds":["{}"]}}"#, user(9).id);
        assert!(matches!(plan_text(&stranger), Err(Refusal::NotFound(_))));
    }
}
