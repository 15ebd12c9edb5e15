//! What a row must have for itself while it is worked on: its account, for good, and the values it has, gets, or passes
//! through. A job names them; whoever drives the rows sees to it that no two rows touch.

use super::expr::{EvalError, Expr};
use super::state::State;
use super::view::{RowView, text};
use minijinja::value::{Value, ValueKind};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What no two rows may touch at once.
#[derive(Debug, Clone)]
pub struct Claims {
    /// What tells the account that was seen from all others.
    pub account: Expr,
    /// By name, the values that the row has, gets, or passes through; none of a list is left out.
    pub values: Vec<(Arc<str>, Expr)>,
    /// The accounts that have what the row can do without: it waits for those of other rows on their way all the same.
    pub gives_way: Option<Expr>,
}

/// A value with the name of what it is: two rows may have the same text as different things.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claimed {
    /// What it is.
    #[serde(with = "shared_text")]
    pub what: Arc<str>,
    /// The value.
    pub value: String,
}

mod shared_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::sync::Arc;

    pub fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}

/// Accounts that have what the row wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InTheWay {
    /// The job's code for that.
    pub code: String,
    /// What they have, in words.
    pub reason: String,
    /// The accounts.
    pub accounts: Vec<String>,
}

impl RowView {
    /// What tells the account that was seen from all others; None where the job does not say.
    ///
    /// # Errors
    /// [`EvalError`] when an expression does not work for the row.
    pub fn account(&self, state: &State) -> Result<Option<String>, EvalError> {
        let Some(claims) = &self.job().claims else {
            return Ok(None);
        };
        let value = claims.account.value(&self.scope(state, state))?;
        Ok(text(&value))
    }

    /// The values that the row must have for itself.
    ///
    /// # Errors
    /// As [`RowView::account`].
    pub fn claimed(&self, before: &State, state: &State) -> Result<Vec<Claimed>, EvalError> {
        let scope = self.scope(before, state);
        let claims = self.job().claims.iter();
        let mut claimed = Vec::new();
        for (what, expr) in claims.flat_map(|claims| &claims.values) {
            let values = texts(&expr.value(&scope)?).into_iter();
            claimed.extend(values.map(|value| Claimed { what: Arc::clone(what), value }));
        }
        claimed.sort();
        claimed.dedup();
        Ok(claimed)
    }

    /// The accounts of other rows that the row waits for, though it could do without what they have.
    ///
    /// # Errors
    /// As [`RowView::account`].
    pub fn gives_way_to(&self, state: &State) -> Result<Vec<String>, EvalError> {
        let claims = self.job().claims.as_ref();
        let Some(expr) = claims.and_then(|claims| claims.gives_way.as_ref()) else {
            return Ok(Vec::new());
        };
        Ok(texts(&expr.value(&self.scope(state, state))?))
    }

    /// Who has what the row wants, where that is what speaks against it.
    ///
    /// # Errors
    /// As [`RowView::account`].
    pub fn in_the_way(&self, state: &State) -> Result<Option<InTheWay>, EvalError> {
        let scope = self.scope(state, state);
        for refusal in &self.job().refusals {
            if !refusal.when.holds(&scope)? {
                continue;
            }
            let Some(holders) = &refusal.holders else {
                return Ok(None);
            };
            let accounts = texts(&holders.value(&scope)?);
            return Ok(Some(InTheWay { code: refusal.code.clone(), reason: refusal.reason.render(&scope)?, accounts }));
        }
        Ok(None)
    }

    /// The state as it will be seen once those in the way have given up what they have.
    ///
    /// # Errors
    /// As [`RowView::account`].
    pub fn freed(&self, state: &State) -> Result<State, EvalError> {
        let scope = self.scope(state, state);
        let mut freed = state.clone();
        for refusal in &self.job().refusals {
            if refusal.holders.is_some() && refusal.when.holds(&scope)? {
                refusal.freed.iter().for_each(|(key, value)| freed.set(key, value.clone()));
            }
        }
        Ok(freed)
    }
}

/// The texts of a list, or of one value; none says nothing.
fn texts(value: &Value) -> Vec<String> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().into_iter().flatten().filter_map(|entry| text(&entry)).collect()
        }
        _ => text(value).into_iter().collect(),
    }
}
