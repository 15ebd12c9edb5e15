//! Throttling as Microsoft describes it for identity and access: every request costs resource units, every write
//! counts a second time against a write quota of the app in the tenant, and a third time against one that all apps of the
//! tenant share; each from a token bucket that refills steadily. Pure: the moment is an argument.
//!
//! Another app may load the tenant's bucket. Its load is a steady stream that takes what refills and what is left, and
//! goes without when there is nothing, so it can keep the bucket empty and never brings it into debt. When the tenant's
//! bucket runs low, requests of low priority are refused first (`limits`).

use super::clock::SimTime;
use super::limits::{LimitFamily, RateQuota, RequestCost, ServiceLimits, ShedPriority, UsageHeader};

/// A refused request is paid for too, but a bucket goes no further below empty than this share of its size, so a
/// client that hammers is late and not lost for ever.
const DEBT_MAX: f64 = 0.1;
/// Replies carry `x-ms-throttle-limit-percentage` above this share of a limit.
const WARNING_SHARE: f64 = 0.8;

/// Whose limit was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ThrottleScope {
    AppInTenant,
    /// The tenant's, over all apps.
    Tenant,
}

impl ThrottleScope {
    /// The first part of `x-ms-throttle-scope`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AppInTenant => "Tenant_Application",
            Self::Tenant => "Tenant",
        }
    }
}

/// Which limit was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ThrottleLimit {
    /// The write quota.
    Write,
    /// The resource units, or the requests.
    ReadWrite,
}

impl ThrottleLimit {
    /// The second part of `x-ms-throttle-scope`.
    pub(super) fn scope(self) -> &'static str {
        match self {
            Self::Write => "Write",
            Self::ReadWrite => "ReadWrite",
        }
    }

    /// The text of `x-ms-throttle-information`.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Write => "WriteLimitExceeded",
            Self::ReadWrite => "ResourceUnitLimitExceeded",
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Throttled {
    pub(super) scope: ThrottleScope,
    pub(super) limit: ThrottleLimit,
    /// When to come back, where the service says so at all.
    pub(super) wait_ms: Option<u64>,
}

impl Throttled {
    /// Of requests, without a time to come back.
    pub(super) fn of(scope: ThrottleScope) -> Self {
        Self { scope, limit: ThrottleLimit::ReadWrite, wait_ms: None }
    }
}

/// Whether a request may go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ThrottleDecision {
    /// The share of the fullest limit is told when it is worth a warning.
    Admitted {
        warning_share: Option<f64>,
    },
    Refused(Throttled),
}

/// The buckets of one app in one tenant, and the tenant's.
#[derive(Debug)]
pub(super) struct Throttle {
    units: Option<Bucket>,
    writes: Option<Bucket>,
    tenant_writes: Option<Bucket>,
    identity_protection: Option<Bucket>,
    usage: UsageHeader,
}

impl Throttle {
    /// Full buckets, with another app that makes so many writes a second.
    pub(super) fn new(limits: &ServiceLimits, users: usize, other_app_writes_per_s: f64) -> Self {
        let alone = |quota| Bucket::full(quota, 0.0);
        let shared = |quota| Bucket::full(quota, other_app_writes_per_s);
        Self {
            units: limits.units_quota(users).map(alone),
            writes: limits.writes.map(alone),
            tenant_writes: limits.tenant_writes.map(shared),
            identity_protection: limits.identity_protection.map(alone),
            usage: limits.usage,
        }
    }

    /// Another app makes so many writes a second from now on.
    pub(super) fn load(&mut self, writes_per_s: f64, now: SimTime) {
        if let Some(bucket) = &mut self.tenant_writes {
            bucket.settle(now);
            bucket.load_per_ms = per_ms(writes_per_s);
        }
    }

    /// Takes a request's cost from every bucket of its family, also when one of them refuses it.
    pub(super) fn admit(
        &mut self,
        family: LimitFamily,
        cost: RequestCost,
        priority: ShedPriority,
        now: SimTime,
    ) -> ThrottleDecision {
        match family {
            LimitFamily::Directory => self.directory(cost, priority, now),
            LimitFamily::IdentityProtection => self.identity_protection(now),
        }
    }

    fn directory(&mut self, cost: RequestCost, priority: ShedPriority, now: SimTime) -> ThrottleDecision {
        let (app, tenant) = (ThrottleScope::AppInTenant, ThrottleScope::Tenant);
        let leaves = priority.leaves_share();
        let looks = [
            (app, ThrottleLimit::Write, take(&mut self.writes, cost.writes, 0.0, now)),
            (app, ThrottleLimit::ReadWrite, take(&mut self.units, cost.units, 0.0, now)),
            (tenant, ThrottleLimit::Write, take(&mut self.tenant_writes, cost.writes, leaves, now)),
        ];
        let mut used_most: f64 = 0.0;
        let mut refusal: Option<Throttled> = None;
        for (scope, limit, taken) in looks {
            match taken {
                BucketTake::Enough { used } => used_most = used_most.max(used),
                BucketTake::Short { wait_ms } => {
                    let first = refusal.get_or_insert(Throttled { scope, limit, wait_ms: None });
                    first.wait_ms = first.wait_ms.max(Some(wait_ms));
                }
            }
        }
        let warns = self.usage == UsageHeader::Sent && used_most > WARNING_SHARE;
        match refusal {
            Some(refusal) => ThrottleDecision::Refused(refusal),
            None => ThrottleDecision::Admitted { warning_share: warns.then_some(used_most) },
        }
    }

    /// One for any verb. These services tell neither how full the limit is nor when to come back.
    fn identity_protection(&mut self, now: SimTime) -> ThrottleDecision {
        match take(&mut self.identity_protection, 1, 0.0, now) {
            BucketTake::Enough { .. } => ThrottleDecision::Admitted { warning_share: None },
            BucketTake::Short { .. } => ThrottleDecision::Refused(Throttled::of(ThrottleScope::Tenant)),
        }
    }
}

/// What a bucket gives.
#[derive(Debug, Clone, Copy, PartialEq)]
enum BucketTake {
    /// There was enough; this share of the bucket is used now.
    Enough { used: f64 },
    /// There was not; in so long there will be.
    Short { wait_ms: u64 },
}

fn take(bucket: &mut Option<Bucket>, cost: u32, leaves_share: f64, now: SimTime) -> BucketTake {
    match bucket {
        Some(bucket) if cost > 0 => bucket.take(f64::from(cost), leaves_share, now),
        Some(_) | None => BucketTake::Enough { used: 0.0 },
    }
}

#[derive(Debug)]
struct Bucket {
    size: f64,
    per_ms: f64,
    level: f64,
    /// What others take.
    load_per_ms: f64,
    /// When the level was that; none before anything happened.
    at: Option<SimTime>,
}

fn per_ms(per_s: f64) -> f64 {
    per_s.max(0.0) / 1_000.0
}

impl Bucket {
    fn full(quota: RateQuota, load_per_s: f64) -> Self {
        let size = f64::from(quota.amount);
        // A window of nothing would refill infinitely fast; one millisecond is as good and finite.
        let window_ms = quota.window_ms.max(1) as f64;
        Self { size, per_ms: size / window_ms, level: size, load_per_ms: per_ms(load_per_s), at: None }
    }

    fn settle(&mut self, now: SimTime) {
        let before = self.at.unwrap_or(now);
        let passed_ms = now.ms_since(before) as f64;
        let level = self.level + passed_ms * (self.per_ms - self.load_per_ms);
        // Others stop at empty, and a debt of ours is not paid while they take all.
        let least = self.level.min(0.0);
        self.level = level.clamp(least, self.size);
        self.at = Some(before.max(now));
    }

    fn take(&mut self, cost: f64, leaves_share: f64, now: SimTime) -> BucketTake {
        self.settle(now);
        let before = self.level;
        let needed = cost + leaves_share * self.size;
        self.level = (before - cost).max(-self.size * DEBT_MAX).min(before);
        if before >= needed {
            return BucketTake::Enough { used: 1.0 - self.level / self.size };
        }
        let wait_ms = ((needed - self.level) / self.per_ms).ceil();
        // A quota of nothing never refills; the cast saturates then.
        BucketTake::Short { wait_ms: wait_ms as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::limits::ResourceUnits;

    /// A write, a read, and a request about risky users.
    const WRITE: RequestCost = RequestCost { units: 1, writes: 1 };
    const READ: RequestCost = RequestCost { units: 1, writes: 0 };

    /// One write a second.
    fn quota(writes: u32) -> Option<RateQuota> {
        Some(RateQuota { amount: writes, window_ms: u64::from(writes) * 1_000 })
    }

    fn throttle(writes: u32) -> Throttle {
        let limits = ServiceLimits { writes: quota(writes), ..ServiceLimits::off() };
        Throttle::new(&limits, 10, 0.0)
    }

    fn tenant(writes: u32) -> Throttle {
        let limits =
            ServiceLimits { resource_units: ResourceUnits::Off, tenant_writes: quota(writes), ..ServiceLimits::off() };
        Throttle::new(&limits, 10, 0.0)
    }

    fn ask(throttle: &mut Throttle, cost: RequestCost, at: i64) -> ThrottleDecision {
        throttle.admit(LimitFamily::Directory, cost, ShedPriority::Normal, SimTime(at))
    }

    fn ask_about_risk(throttle: &mut Throttle, at: i64) -> ThrottleDecision {
        throttle.admit(LimitFamily::IdentityProtection, WRITE, ShedPriority::Normal, SimTime(at))
    }

    fn is_admitted(decision: ThrottleDecision) -> bool {
        matches!(decision, ThrottleDecision::Admitted { .. })
    }

    fn admitted(throttle: &mut Throttle, cost: RequestCost, at: i64) -> bool {
        is_admitted(ask(throttle, cost, at))
    }

    #[test]
    fn the_bucket_empties_refills_and_makes_refused_requests_pay() {
        let mut throttle = throttle(10);
        assert!((0..10).all(|_| admitted(&mut throttle, WRITE, 0)));
        // The refused write takes one as well, so it is two seconds until there is one again.
        let refusal =
            Throttled { scope: ThrottleScope::AppInTenant, limit: ThrottleLimit::Write, wait_ms: Some(2_000) };
        assert_eq!(ask(&mut throttle, WRITE, 0), ThrottleDecision::Refused(refusal));
        assert!(admitted(&mut throttle, READ, 0), "reads cost no writes");
        assert!(admitted(&mut throttle, WRITE, 2_000) && !admitted(&mut throttle, WRITE, 2_000));
    }

    #[test]
    fn debt_is_bounded() {
        let mut throttle = throttle(100);
        for _ in 0..1_000 {
            ask(&mut throttle, WRITE, 0);
        }
        assert!(!admitted(&mut throttle, WRITE, 0));
        assert!(admitted(&mut throttle, WRITE, 11_000));
    }

    #[test]
    fn a_warning_comes_above_four_fifths() {
        let mut throttle = throttle(10);
        let warned: Vec<_> = (0..10).map(|_| ask(&mut throttle, WRITE, 0)).collect();
        assert_eq!(warned[7], ThrottleDecision::Admitted { warning_share: None });
        assert!(
            matches!(warned[8], ThrottleDecision::Admitted { warning_share: Some(share) } if (0.89..0.91).contains(&share))
        );
    }

    #[test]
    fn the_tenants_limit_is_told_by_its_own_name_and_the_apps_comes_first() {
        let limits = ServiceLimits { writes: quota(5), tenant_writes: quota(5), ..ServiceLimits::off() };
        let scope_of = |mut throttle: Throttle| match ask(&mut throttle, WRITE, 0) {
            ThrottleDecision::Refused(refusal) => Some((refusal.scope, refusal.limit)),
            ThrottleDecision::Admitted { .. } => None,
        };
        let mut both = Throttle::new(&limits, 10, 0.0);
        assert_eq!((0..5).filter(|_| admitted(&mut both, WRITE, 0)).count(), 4);
        assert_eq!(scope_of(both), Some((ThrottleScope::AppInTenant, ThrottleLimit::Write)));
        let mut tenant = tenant(5);
        while admitted(&mut tenant, WRITE, 0) {}
        assert_eq!(scope_of(tenant), Some((ThrottleScope::Tenant, ThrottleLimit::Write)));
    }

    #[test]
    fn another_app_takes_its_part_and_never_more_than_there_is() {
        let mut throttle = tenant(100);
        throttle.load(0.5, SimTime(0));
        while admitted(&mut throttle, WRITE, 0) {}
        // 99 were paid for, and two are left to others; half of what refills is ours.
        assert!(!admitted(&mut throttle, WRITE, 3_000));
        throttle.load(7.0, SimTime(8_000));
        assert!(!admitted(&mut throttle, WRITE, 3_600_000));
        throttle.load(0.0, SimTime(3_600_000));
        assert!(admitted(&mut throttle, WRITE, 3_600_000 + 10_000));
    }

    #[test]
    fn low_priority_is_shed_first_and_high_last() {
        let taken = |priority| {
            let mut throttle = tenant(100);
            let mut ask = || throttle.admit(LimitFamily::Directory, WRITE, priority, SimTime(0));
            (0..100).filter(|_| is_admitted(ask())).count()
        };
        assert_eq!(taken(ShedPriority::Low), 95);
        assert_eq!(taken(ShedPriority::Normal), 98);
        assert_eq!(taken(ShedPriority::High), 100);
    }

    #[test]
    fn identity_protection_takes_one_a_second_of_any_verb_and_says_no_more() {
        let mut throttle = Throttle::new(&ServiceLimits::default(), 10, 0.0);
        assert!(is_admitted(ask_about_risk(&mut throttle, 0)));
        let refused = ThrottleDecision::Refused(Throttled::of(ThrottleScope::Tenant));
        assert_eq!(ask_about_risk(&mut throttle, 0), refused);
        assert!(admitted(&mut throttle, WRITE, 0), "the directory goes on");
        assert!(is_admitted(ask_about_risk(&mut throttle, 2_000)));
    }
}
