//! Why nothing is being sent, in words for the person who looks at the progress line.

use std::fmt;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// The service answered 429 and said for how long.
    RetryAfter(ThrottleReason),
    /// The service answered 429 without a time; the delay is ours.
    Backoff(ThrottleReason),
    /// Several requests in a row were answered with a fault of the service.
    ServerErrors,
    /// Several requests in a row were not answered at all.
    NoAnswer,
    /// No request can be sent, since the sign-in is refused.
    SignInRefused,
    /// All is well, and the budget gives the next permit at that time.
    BudgetUsedUp,
}

impl PauseReason {
    /// Whether the service serves nobody, whatever is asked.
    #[must_use]
    pub fn is_outage(self) -> bool {
        match self {
            PauseReason::ServerErrors | PauseReason::NoAnswer | PauseReason::SignInRefused => true,
            PauseReason::RetryAfter(_) | PauseReason::Backoff(_) | PauseReason::BudgetUsedUp => false,
        }
    }
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PauseReason::RetryAfter(whose) => write!(f, "{whose}, Retry-After"),
            PauseReason::Backoff(whose) => write!(f, "{whose}, no time given"),
            PauseReason::ServerErrors => write!(f, "service returns 5xx"),
            PauseReason::NoAnswer => write!(f, "target does not reply"),
            PauseReason::SignInRefused => write!(f, "sign-in is refused"),
            PauseReason::BudgetUsedUp => write!(f, "budget used up"),
        }
    }
}

/// Whose limit was hit, as far as the service says (`x-ms-throttle-scope`, `x-ms-throttle-information`; Microsoft's
/// page on Graph throttling limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleReason {
    /// This app in this tenant sends too much: the budget is set too high, or the app is used elsewhere too.
    AppInTenant,
    /// All apps of the tenant together send too much.
    Tenant,
    /// This app sends too much over all tenants.
    App,
    /// The service itself is short of processor time; nobody exceeded a limit.
    ServiceBusy,
    /// The sign-in service is throttling.
    SignIn,
    /// The service did not say.
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

impl fmt::Display for ThrottleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ThrottleReason::AppInTenant => "app throttled in this tenant",
            ThrottleReason::Tenant => "tenant throttled",
            ThrottleReason::App => "app throttled over all tenants",
            ThrottleReason::ServiceBusy => "service busy",
            ThrottleReason::SignIn => "sign-in throttled",
            ThrottleReason::Unstated => "throttled",
        })
    }
}

/// A rate below the full one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Eased {
    /// Permits a second.
    pub rate: f64,
    /// Why no more.
    pub reason: EasedReason,
}

/// Why a rate is below the full one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EasedReason {
    /// The service reports that a limit is nearly used up.
    LimitNear,
    /// The service answered 429 a while ago.
    Throttled(ThrottleReason),
}

impl fmt::Display for Eased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eased to {:.1}/s: ", self.rate)?;
        match self.reason {
            EasedReason::LimitNear => f.write_str("a limit of the service is nearly used up"),
            EasedReason::Throttled(whose) => whose.fmt(f),
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
        let eased = |reason| Eased { rate: 9.81, reason }.to_string();
        assert_eq!(eased(EasedReason::Throttled(ThrottleReason::Tenant)), "eased to 9.8/s: tenant throttled");
        assert_eq!(eased(EasedReason::LimitNear), "eased to 9.8/s: a limit of the service is nearly used up");
    }
}
