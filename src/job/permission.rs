//! What a job needs the app to be allowed to do, and whether it is.
//!
//! A permission that is missing shows in the middle of the night, at the first person who needs it; asked for before the
//! first write it costs nobody anything. What was granted stands in the token (`roles` of an app, `scp` of a person).

use super::expr::{EvalError, Expr, applies};
use super::{Job, Settings};

/// Something the app must be allowed to do.
#[derive(Debug, Clone)]
pub struct Permission {
    /// The names of the permissions, of which one is enough; the smallest first.
    pub any: Vec<String>,
    /// What it is needed for, in words.
    pub why: String,
    /// With which parameters it is needed; with all, where the job does not say.
    pub when: Option<Expr>,
    /// The job can do without, and then knows less.
    pub optional: bool,
}

impl Permission {
    /// Whether one of those that were granted is enough.
    #[must_use]
    pub fn is_among(&self, granted: &[String]) -> bool {
        let is_granted = |wanted: &String| granted.iter().any(|name| name.eq_ignore_ascii_case(wanted));
        self.any.iter().any(is_granted)
    }

    /// The one to ask for: the smallest.
    #[must_use]
    pub fn least(&self) -> &str {
        self.any.first().map_or("", String::as_str)
    }
}

impl Job {
    /// The permissions that these parameters need.
    ///
    /// # Errors
    /// [`EvalError`] when a condition cannot be evaluated.
    pub fn permissions_for(&self, settings: &Settings) -> Result<Vec<&Permission>, EvalError> {
        let mut needed = Vec::new();
        for permission in &self.permissions {
            if applies(permission.when.as_ref(), &settings.0)? {
                needed.push(permission);
            }
        }
        Ok(needed)
    }
}
