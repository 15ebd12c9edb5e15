//! Why nothing is being sent, in words for the person who looks at the progress line. None of it is an error; `thiserror` makes
//! the words.

use std::time::Duration;

use tokio::time::Instant;

/// A stop of the whole budget, or the wait for its next permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Why.
    pub reason: PauseReason,
    /// When the next request may be sent, unless something new is learnt before.
    pub until: Instant,
}

/// Why nothing is being sent; its `Display` is shown to operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PauseReason {
    /// The service answered 429 and said for how long.
    #[error("{0}, Retry-After")]
    RetryAfter(ThrottleReason),
    /// The service answered 429 without a time; the delay is ours.
    #[error("{0}, no time given")]
    Backoff(ThrottleReason),
    /// Several requests in a row were answered with a fault of the service.
    #[error("service returns 5xx")]
    ServerErrors,
    /// Several requests in a row were not answered at all.
    #[error("target does not reply")]
    NoAnswer,
    /// No request can be sent, since the sign-in is refused.
    #[error("sign-in is refused")]
    SignInRefused,
    /// All is well, and the budget gives the next permit at that time.
    #[error("budget used up")]
    BudgetUsedUp,
}

impl PauseReason {
    /// Whether the service serves nobody, whatever is asked.
    pub fn is_outage(self) -> bool {
        match self {
            PauseReason::ServerErrors | PauseReason::NoAnswer | PauseReason::SignInRefused => true,
            PauseReason::RetryAfter(_) | PauseReason::Backoff(_) | PauseReason::BudgetUsedUp => false,
        }
    }
}

/// Whose limit was hit, as far as the service says (`x-ms-throttle-scope`, `x-ms-throttle-information`; Microsoft's
/// page on Graph throttling limits).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, thiserror::Error)]
pub enum ThrottleReason {
    /// This app in this tenant sends too much: the budget is set too high, or the app is used elsewhere too.
    #[error("app throttled in this tenant")]
    AppInTenant,
    /// All apps of the tenant together send too much.
    #[error("tenant throttled")]
    Tenant,
    /// This app sends too much over all tenants.
    #[error("app throttled over all tenants")]
    App,
    /// The service itself is short of processor time; nobody exceeded a limit.
    #[error("service busy")]
    ServiceBusy,
    /// The sign-in service is throttling.
    #[error("sign-in throttled")]
    SignIn,
    /// The service did not say.
    #[default]
    #[error("throttled")]
    Unstated,
}

impl ThrottleReason {
    /// Whether a limit was passed, by the service's word. A refusal that names none may be chance, and says nothing about the
    /// next request.
    pub(super) fn names_a_limit(self) -> bool {
        match self {
            ThrottleReason::AppInTenant | ThrottleReason::Tenant | ThrottleReason::App | ThrottleReason::SignIn => true,
            ThrottleReason::ServiceBusy | ThrottleReason::Unstated => false,
        }
    }
}

/// Why a request was not served, apart from throttling: for a reason that is no other request's fault either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It answered with a 5xx status, perhaps with a wish how long to leave it alone.
    ServerError {
        /// The reply's Retry-After.
        retry_after: Option<Duration>,
    },
    /// No connection, or no answer in time.
    NoAnswer,
    /// The sign-in is refused: nothing can be sent until somebody has mended that.
    SignInRefused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_sentences_for_people() {
        let shown = |reason: PauseReason| reason.to_string();
        assert_eq!(shown(PauseReason::RetryAfter(ThrottleReason::Tenant)), "tenant throttled, Retry-After");
        assert_eq!(shown(PauseReason::Backoff(ThrottleReason::Unstated)), "throttled, no time given");
        assert_eq!(shown(PauseReason::NoAnswer), "target does not reply");
    }
}
