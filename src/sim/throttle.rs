//! Throttling as Microsoft describes it for identity and access: every request costs resource units, every write
//! counts a second time against a write quota of the app in the tenant, and a third time against one that all apps of the
//! tenant share; each from a token bucket that refills steadily. Pure: the moment is an argument.
//!
//! Another app may load the tenant's bucket. Its load is a steady stream that takes what refills and what is left, and
//! goes without when there is nothing, so it can keep the bucket empty and never brings it into debt. When the tenant's
//! bucket runs low, requests of low priority are refused first (`limits`).

use super::clock::SimTime;
use super::limits::{RateQuota, RequestCost, ServiceLimits};

/// A refused request is paid for too, but a bucket goes no further below empty than this share of its size, so a
/// client that hammers is late and not lost for ever.
const DEBT_MAX: f64 = 0.1;
/// Replies carry `x-ms-throttle-limit-percentage` above this share of a limit.
const WARNING_SHARE: f64 = 0.8;

/// A limit that a request can pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// Writes of the app in the tenant.
    AppWrites,
    /// Resource units of the app in the tenant.
    AppUnits,
    /// Writes of all apps in the tenant.
    TenantWrites,
    /// Requests of all apps about risky users and conditional access.
    IdentityProtection,
}

impl Limit {
    /// The first parts of `x-ms-throttle-scope`, and the text of `x-ms-throttle-information`.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::AppWrites => ("Tenant_Application/Write", "WriteLimitExceeded"),
            Self::AppUnits => ("Tenant_Application/ReadWrite", "ResourceUnitLimitExceeded"),
            Self::TenantWrites => ("Tenant/Write", "WriteLimitExceeded"),
            Self::IdentityProtection => ("Tenant/ReadWrite", "ResourceUnitLimitExceeded"),
        }
    }

    fn cost(self, request: RequestCost) -> u32 {
        match self {
            Self::IdentityProtection => u32::from(request.is_identity_protection),
            _ if request.is_identity_protection => 0,
            Self::AppWrites | Self::TenantWrites => request.writes,
            Self::AppUnits => request.units,
        }
    }
}

/// A refusal: the first limit that was passed, and when to come back, where the service says so at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Throttled {
    pub(super) limit: Limit,
    pub(super) wait_ms: Option<u64>,
}

/// The buckets of one app in one tenant, and the tenant's, in the order in which a refusal names them.
#[derive(Debug)]
pub(super) struct Throttle {
    buckets: Vec<(Limit, Bucket)>,
    tells_usage: bool,
}

impl Throttle {
    /// Full buckets, with another app that makes so many writes a second.
    pub(super) fn new(limits: &ServiceLimits, users: usize, other_app_writes_per_s: f64) -> Self {
        let all = [
            (Limit::AppWrites, limits.writes, 0.0),
            (Limit::AppUnits, limits.units_quota(users), 0.0),
            (Limit::TenantWrites, limits.tenant_writes, other_app_writes_per_s),
            (Limit::IdentityProtection, limits.identity_protection, 0.0),
        ];
        let buckets = all.into_iter().filter_map(|(limit, quota, load)| Some((limit, Bucket::full(quota?, load))));
        Self { buckets: buckets.collect(), tells_usage: limits.tells_usage }
    }

    /// Another app makes so many writes a second from now on.
    pub(super) fn load(&mut self, writes_per_s: f64, now: SimTime) {
        for (_, bucket) in self.buckets.iter_mut().filter(|(limit, _)| *limit == Limit::TenantWrites) {
            bucket.settle(now);
            bucket.load_per_ms = per_ms(writes_per_s);
        }
    }

    /// Takes a request's cost from every bucket, also when one of them refuses it, and leaves a share of the tenant's. Who is admitted gets the share of the
    /// fullest limit when it is worth a warning. Identity protection tells neither how full the limit is nor when to come
    /// back.
    pub(super) fn admit(
        &mut self,
        request: RequestCost,
        leaves_share: f64,
        now: SimTime,
    ) -> Result<Option<f64>, Throttled> {
        let mut used_most: f64 = 0.0;
        let mut refusal: Option<Throttled> = None;
        for (limit, bucket) in &mut self.buckets {
            let cost = limit.cost(request);
            if cost == 0 {
                continue;
            }
            let leaves_share = if *limit == Limit::TenantWrites { leaves_share } else { 0.0 };
            let taken = bucket.take(f64::from(cost), leaves_share, now);
            let is_told = *limit != Limit::IdentityProtection;
            match taken {
                Ok(used) if is_told => used_most = used_most.max(used),
                Ok(_) => {}
                Err(wait_ms) => {
                    let first = refusal.get_or_insert(Throttled { limit: *limit, wait_ms: None });
                    first.wait_ms = first.wait_ms.max(is_told.then_some(wait_ms));
                }
            }
        }
        let warns = self.tells_usage && used_most > WARNING_SHARE;
        refusal.map_or(Ok(warns.then_some(used_most)), Err)
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

    /// The share of the bucket that is used then, or in how many milliseconds there is enough.
    fn take(&mut self, cost: f64, leaves_share: f64, now: SimTime) -> Result<f64, u64> {
        self.settle(now);
        let before = self.level;
        let needed = cost + leaves_share * self.size;
        self.level = (before - cost).max(-self.size * DEBT_MAX).min(before);
        if before >= needed {
            return Ok(1.0 - self.level / self.size);
        }
        let wait_ms = ((needed - self.level) / self.per_ms).ceil();
        // A quota of nothing never refills; the cast saturates then.
        Err(wait_ms as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::limits::share_left_by;

    /// A write, a read, and a request about risky users.
    const WRITE: RequestCost = RequestCost { is_identity_protection: false, units: 1, writes: 1 };
    const READ: RequestCost = RequestCost { writes: 0, ..WRITE };
    const RISK: RequestCost = RequestCost { is_identity_protection: true, ..WRITE };

    /// One write a second.
    fn quota(writes: u32) -> Option<RateQuota> {
        Some(RateQuota { amount: writes, window_ms: u64::from(writes) * 1_000 })
    }

    fn throttle(writes: u32) -> Throttle {
        let limits = ServiceLimits { writes: quota(writes), ..ServiceLimits::off() };
        Throttle::new(&limits, 10, 0.0)
    }

    fn tenant(writes: u32) -> Throttle {
        let limits = ServiceLimits { tenant_writes: quota(writes), ..ServiceLimits::off() };
        Throttle::new(&limits, 10, 0.0)
    }

    fn ask(throttle: &mut Throttle, cost: RequestCost, at: i64) -> Result<Option<f64>, Throttled> {
        throttle.admit(cost, share_left_by(None), SimTime(at))
    }

    fn admitted(throttle: &mut Throttle, cost: RequestCost, at: i64) -> bool {
        ask(throttle, cost, at).is_ok()
    }

    #[test]
    fn the_bucket_empties_refills_and_makes_refused_requests_pay() {
        let mut throttle = throttle(10);
        assert!((0..10).all(|_| admitted(&mut throttle, WRITE, 0)));
        // The refused write takes one as well, so it is two seconds until there is one again.
        let refusal = Throttled { limit: Limit::AppWrites, wait_ms: Some(2_000) };
        assert_eq!(ask(&mut throttle, WRITE, 0), Err(refusal));
        assert!(admitted(&mut throttle, READ, 0), "reads cost no writes");
        assert!(admitted(&mut throttle, WRITE, 2_000) && !admitted(&mut throttle, WRITE, 2_000));
    }

    #[test]
    fn debt_is_bounded() {
        let mut throttle = throttle(100);
        for _ in 0..1_000 {
            let _refused = ask(&mut throttle, WRITE, 0);
        }
        assert!(!admitted(&mut throttle, WRITE, 0));
        assert!(admitted(&mut throttle, WRITE, 11_000));
    }

    #[test]
    fn a_warning_comes_above_four_fifths() {
        let mut throttle = throttle(10);
        let warned: Vec<_> = (0..10).map(|_| ask(&mut throttle, WRITE, 0)).collect();
        assert_eq!(warned[7], Ok(None));
        assert!(matches!(warned[8], Ok(Some(share)) if (0.89..0.91).contains(&share)));
    }

    #[test]
    fn the_tenants_limit_is_told_by_its_own_name_and_the_apps_comes_first() {
        let limits = ServiceLimits { writes: quota(5), tenant_writes: quota(5), ..ServiceLimits::off() };
        let passed = |mut throttle: Throttle| ask(&mut throttle, WRITE, 0).unwrap_err().limit;
        let mut both = Throttle::new(&limits, 10, 0.0);
        assert_eq!((0..5).filter(|_| admitted(&mut both, WRITE, 0)).count(), 4);
        assert_eq!(passed(both), Limit::AppWrites);
        let mut tenant = tenant(5);
        while admitted(&mut tenant, WRITE, 0) {}
        assert_eq!(passed(tenant), Limit::TenantWrites);
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
            let mut ask = || throttle.admit(WRITE, share_left_by(Some(priority)), SimTime(0));
            (0..100).filter(|_| ask().is_ok()).count()
        };
        assert_eq!(taken("low"), 95);
        assert_eq!(taken("normal"), 98);
        assert_eq!(taken("high"), 100);
    }

    #[test]
    fn identity_protection_takes_one_a_second_of_any_verb_and_says_no_more() {
        let mut throttle = Throttle::new(&ServiceLimits::default(), 10, 0.0);
        assert!(admitted(&mut throttle, RISK, 0));
        let refused = Throttled { limit: Limit::IdentityProtection, wait_ms: None };
        assert_eq!(ask(&mut throttle, RISK, 0), Err(refused));
        assert!(admitted(&mut throttle, WRITE, 0), "the directory goes on");
        assert!(admitted(&mut throttle, RISK, 2_000));
    }
}
