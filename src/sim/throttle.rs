//! Throttling as Microsoft describes it for identity and access: every request costs resource units, every write
//! counts a second time against a write quota of the app in the tenant, and a third time against one that all apps of the
//! tenant share; each from a token bucket that refills steadily. Pure: the moment is an argument.
//!
//! Another app may load the tenant's bucket. Its load is a steady stream that takes what refills and what is left, and
//! goes without when there is nothing, so it can keep the bucket empty and never brings it into debt. When the tenant's
//! bucket runs low, requests of low priority are refused first (`limits`).

use super::clock::UnixMillis;
use super::limits::{Cost, Family, Limits, Priority, Quota, UsageHeader};

/// A refused request is paid for too, but a bucket goes no further below empty than this share of its size, so a
/// client that hammers is late and not lost for ever.
const DEBT_MAX: f64 = 0.1;
/// Replies carry `x-ms-throttle-limit-percentage` above this share of a limit.
const WARNING_SHARE: f64 = 0.8;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) family: Family,
    pub(super) cost: Cost,
    pub(super) priority: Priority,
}

/// Whose limit was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The app's in the tenant.
    AppInTenant,
    /// The tenant's, over all apps.
    Tenant,
}

impl Scope {
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
pub(super) enum Limit {
    /// The write quota.
    Write,
    /// The resource units, or the requests.
    ReadWrite,
}

impl Limit {
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
    pub(super) scope: Scope,
    pub(super) limit: Limit,
    /// When to come back, where the service says so at all.
    pub(super) wait_ms: Option<u64>,
}

/// The answer to a request for admission.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Admission {
    /// Go on; the share of the fullest limit when it is worth a warning.
    Admitted { warning_share: Option<f64> },
    /// Come back later.
    Throttled(Throttled),
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
    pub(super) fn new(limits: &Limits, users: usize, other_app_writes_per_s: f64) -> Self {
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
    pub(super) fn load(&mut self, writes_per_s: f64, now: UnixMillis) {
        if let Some(bucket) = &mut self.tenant_writes {
            bucket.settle(now);
            bucket.load_per_ms = per_ms(writes_per_s);
        }
    }

    /// Takes a request's cost from every bucket of its family, also when one of them refuses it.
    pub(super) fn admit(&mut self, demand: Demand, now: UnixMillis) -> Admission {
        match demand.family {
            Family::Directory => self.directory(demand, now),
            Family::IdentityProtection => self.identity_protection(now),
        }
    }

    fn directory(&mut self, demand: Demand, now: UnixMillis) -> Admission {
        let Cost { units, writes } = demand.cost;
        let leaves_share = demand.priority.leaves_share();
        let looks = [
            (
                Scope::AppInTenant,
                Limit::Write,
                take(&mut self.writes, writes, 0.0, now),
            ),
            (
                Scope::AppInTenant,
                Limit::ReadWrite,
                take(&mut self.units, units, 0.0, now),
            ),
            (
                Scope::Tenant,
                Limit::Write,
                take(&mut self.tenant_writes, writes, leaves_share, now),
            ),
        ];
        let mut used_most: f64 = 0.0;
        let mut refusal: Option<Throttled> = None;
        for (scope, limit, taken) in looks {
            match taken {
                Taken::Enough { used } => used_most = used_most.max(used),
                Taken::Short { wait_ms } => {
                    let first = refusal.get_or_insert(Throttled {
                        scope,
                        limit,
                        wait_ms: None,
                    });
                    first.wait_ms = first.wait_ms.max(Some(wait_ms));
                }
            }
        }
        match refusal {
            Some(refusal) => Admission::Throttled(refusal),
            None => Admission::Admitted {
                warning_share: self.warning(used_most),
            },
        }
    }

    /// One for any verb. These services tell neither how full the limit is nor when to come back.
    fn identity_protection(&mut self, now: UnixMillis) -> Admission {
        match take(&mut self.identity_protection, 1, 0.0, now) {
            Taken::Enough { .. } => Admission::Admitted {
                warning_share: None,
            },
            Taken::Short { .. } => Admission::Throttled(Throttled {
                scope: Scope::Tenant,
                limit: Limit::ReadWrite,
                wait_ms: None,
            }),
        }
    }

    fn warning(&self, share: f64) -> Option<f64> {
        match self.usage {
            UsageHeader::Sent => (share > WARNING_SHARE).then_some(share),
            UsageHeader::Omitted => None,
        }
    }
}

/// What a bucket answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Taken {
    /// There was enough; this share of the bucket is used now.
    Enough { used: f64 },
    /// There was not; in so long there will be.
    Short { wait_ms: u64 },
}

fn take(bucket: &mut Option<Bucket>, cost: u32, leaves_share: f64, now: UnixMillis) -> Taken {
    match bucket {
        Some(bucket) if cost > 0 => bucket.take(f64::from(cost), leaves_share, now),
        Some(_) | None => Taken::Enough { used: 0.0 },
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
    at: Option<UnixMillis>,
}

fn per_ms(per_s: f64) -> f64 {
    per_s.max(0.0) / 1_000.0
}

impl Bucket {
    fn full(quota: Quota, load_per_s: f64) -> Self {
        let size = f64::from(quota.amount);
        // A window of nothing would refill infinitely fast; one millisecond is as good and finite.
        let window_ms = quota.window_ms.max(1) as f64;
        Self {
            size,
            per_ms: size / window_ms,
            level: size,
            load_per_ms: per_ms(load_per_s),
            at: None,
        }
    }

    fn settle(&mut self, now: UnixMillis) {
        let before = self.at.unwrap_or(now);
        let passed_ms = now.ms_since(before) as f64;
        let level = self.level + passed_ms * (self.per_ms - self.load_per_ms);
        // Others stop at empty, and a debt of ours is not paid while they take all.
        let least = self.level.min(0.0);
        self.level = level.clamp(least, self.size);
        self.at = Some(before.max(now));
    }

    fn take(&mut self, cost: f64, leaves_share: f64, now: UnixMillis) -> Taken {
        self.settle(now);
        let before = self.level;
        let needed = cost + leaves_share * self.size;
        self.level = (before - cost).max(-self.size * DEBT_MAX).min(before);
        if before >= needed {
            return Taken::Enough {
                used: 1.0 - self.level / self.size,
            };
        }
        let wait_ms = ((needed - self.level) / self.per_ms).ceil();
        // A quota of nothing never refills; the cast saturates then.
        Taken::Short {
            wait_ms: wait_ms as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::limits::ResourceUnits;

    const WRITE: Demand = Demand {
        family: Family::Directory,
        cost: Cost {
            units: 1,
            writes: 1,
        },
        priority: Priority::Normal,
    };
    const READ: Demand = Demand {
        cost: Cost {
            units: 1,
            writes: 0,
        },
        ..WRITE
    };
    const RISK: Demand = Demand {
        family: Family::IdentityProtection,
        ..WRITE
    };

    /// One write a second.
    fn quota(writes: u32) -> Option<Quota> {
        Some(Quota {
            amount: writes,
            window_ms: u64::from(writes) * 1_000,
        })
    }

    fn throttle(writes: u32) -> Throttle {
        let limits = Limits {
            writes: quota(writes),
            ..Limits::off()
        };
        Throttle::new(&limits, 10, 0.0)
    }

    fn tenant(writes: u32) -> Throttle {
        let limits = Limits {
            resource_units: ResourceUnits::Off,
            tenant_writes: quota(writes),
            ..Limits::off()
        };
        Throttle::new(&limits, 10, 0.0)
    }

    fn admitted(throttle: &mut Throttle, demand: Demand, at: i64) -> bool {
        matches!(
            throttle.admit(demand, UnixMillis(at)),
            Admission::Admitted { .. }
        )
    }

    #[test]
    fn the_bucket_empties_refills_and_makes_refused_requests_pay() {
        let mut throttle = throttle(10);
        assert!((0..10).all(|_| admitted(&mut throttle, WRITE, 0)));
        // The refused write takes one as well, so it is two seconds until there is one again.
        let refused = throttle.admit(WRITE, UnixMillis(0));
        assert_eq!(
            refused,
            Admission::Throttled(Throttled {
                scope: Scope::AppInTenant,
                limit: Limit::Write,
                wait_ms: Some(2_000)
            })
        );
        assert!(admitted(&mut throttle, READ, 0), "reads cost no writes");
        assert!(admitted(&mut throttle, WRITE, 2_000) && !admitted(&mut throttle, WRITE, 2_000));
    }

    #[test]
    fn debt_is_bounded() {
        let mut throttle = throttle(100);
        for _ in 0..1_000 {
            throttle.admit(WRITE, UnixMillis(0));
        }
        assert!(!admitted(&mut throttle, WRITE, 0));
        assert!(admitted(&mut throttle, WRITE, 11_000));
    }

    #[test]
    fn a_warning_comes_above_four_fifths() {
        let mut throttle = throttle(10);
        let warned = (0..10)
            .map(|_| throttle.admit(WRITE, UnixMillis(0)))
            .collect::<Vec<_>>();
        assert_eq!(
            warned[7],
            Admission::Admitted {
                warning_share: None
            }
        );
        assert!(
            matches!(warned[8], Admission::Admitted { warning_share: Some(share) } if (0.89..0.91).contains(&share))
        );
    }

    #[test]
    fn the_tenants_limit_is_told_by_its_own_name_and_the_apps_comes_first() {
        let limits = Limits {
            writes: quota(5),
            tenant_writes: quota(5),
            ..Limits::off()
        };
        let scope_of = |mut throttle: Throttle| match throttle.admit(WRITE, UnixMillis(0)) {
            Admission::Throttled(refusal) => Some((refusal.scope, refusal.limit)),
            Admission::Admitted { .. } => None,
        };
        let mut both = Throttle::new(&limits, 10, 0.0);
        assert_eq!((0..5).filter(|_| admitted(&mut both, WRITE, 0)).count(), 4);
        assert_eq!(scope_of(both), Some((Scope::AppInTenant, Limit::Write)));
        let mut tenant = tenant(5);
        while admitted(&mut tenant, WRITE, 0) {}
        assert_eq!(scope_of(tenant), Some((Scope::Tenant, Limit::Write)));
    }

    #[test]
    fn another_app_takes_its_part_and_never_more_than_there_is() {
        let mut throttle = tenant(100);
        throttle.load(0.5, UnixMillis(0));
        while admitted(&mut throttle, WRITE, 0) {}
        // 99 were paid for, and two are left to others; half of what refills is ours.
        assert!(!admitted(&mut throttle, WRITE, 3_000));
        throttle.load(7.0, UnixMillis(8_000));
        assert!(!admitted(&mut throttle, WRITE, 3_600_000));
        throttle.load(0.0, UnixMillis(3_600_000));
        assert!(admitted(&mut throttle, WRITE, 3_600_000 + 10_000));
    }

    #[test]
    fn low_priority_is_shed_first_and_high_last() {
        let taken = |priority| {
            let mut throttle = tenant(100);
            let demand = Demand { priority, ..WRITE };
            (0..100)
                .filter(|_| admitted(&mut throttle, demand, 0))
                .count()
        };
        assert_eq!(taken(Priority::Low), 95);
        assert_eq!(taken(Priority::Normal), 98);
        assert_eq!(taken(Priority::High), 100);
    }

    #[test]
    fn identity_protection_takes_one_a_second_of_any_verb_and_says_no_more() {
        let mut throttle = Throttle::new(&Limits::default(), 10, 0.0);
        assert!(admitted(&mut throttle, RISK, 0));
        assert_eq!(
            throttle.admit(RISK, UnixMillis(0)),
            Admission::Throttled(Throttled {
                scope: Scope::Tenant,
                limit: Limit::ReadWrite,
                wait_ms: None
            })
        );
        assert!(admitted(&mut throttle, WRITE, 0), "the directory goes on");
        assert!(admitted(&mut throttle, RISK, 2_000));
    }
}
