//! Throttling as Microsoft describes it for identity and access: every request costs resource units, every write
//! counts a second time against a write quota, each from a token bucket that refills steadily. Pure: the moment is
//! an argument. The numbers come from Microsoft's page on throttling limits.

use super::clock::UnixMillis;

/// A refused request is paid for too, but a bucket goes no further below empty than this share of its size, so a
/// client that hammers is late and not lost for ever.
const DEBT_MAX: f64 = 0.1;
/// Replies carry `x-ms-throttle-limit-percentage` above this share of a limit.
const WARNING_SHARE: f64 = 0.8;

/// An amount per time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How much; also the most that can be taken at once.
    pub amount: u32,
    /// In how many milliseconds it grows back from nothing.
    pub window_ms: u64,
}

/// What the resource units of all requests are measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceUnits {
    /// The published limit for the tenant's number of users: 3,500, 5,000 or 8,000 per 10 s.
    ByTenantSize,
    /// A limit of one's own.
    Fixed(Quota),
    /// Nothing.
    Off,
}

/// How a throttled reply tells when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// Seconds with decimals, as in the documented sample `2.128`.
    Decimal,
    /// Whole seconds.
    Whole,
    /// An HTTP date.
    Date,
    /// Not at all, as some services behave.
    Omitted,
}

/// The service's limits for one app in one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Against the resource units of all requests.
    pub resource_units: ResourceUnits,
    /// Against the number of writes; none switches it off.
    pub writes: Option<Quota>,
    /// The form of `Retry-After`.
    pub retry_after: RetryAfter,
}

impl Default for Limits {
    /// The published limits: resource units by tenant size, 3,000 writes per 150 s.
    fn default() -> Self {
        Self {
            resource_units: ResourceUnits::ByTenantSize,
            writes: Some(Quota {
                amount: 3_000,
                window_ms: 150_000,
            }),
            retry_after: RetryAfter::Decimal,
        }
    }
}

impl Limits {
    /// No limits at all.
    #[must_use]
    pub fn off() -> Self {
        Self {
            resource_units: ResourceUnits::Off,
            writes: None,
            retry_after: RetryAfter::Decimal,
        }
    }

    fn units_quota(&self, users: usize) -> Option<Quota> {
        let amount = match (self.resource_units, users) {
            (ResourceUnits::Off, _) => return None,
            (ResourceUnits::Fixed(quota), _) => return Some(quota),
            (ResourceUnits::ByTenantSize, 0..50) => 3_500,
            (ResourceUnits::ByTenantSize, 50..=500) => 5_000,
            (ResourceUnits::ByTenantSize, _) => 8_000,
        };
        Some(Quota {
            amount,
            window_ms: 10_000,
        })
    }
}

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) units: u32,
    pub(super) writes: u32,
}

/// Which limit was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// The write quota.
    Write,
    /// The resource units.
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

/// The answer to a request for admission.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Admission {
    /// Go on; the share of the fuller limit when it is worth a warning.
    Admitted { warning_share: Option<f64> },
    /// Come back later.
    Throttled { limit: Limit, wait_ms: u64 },
}

/// The buckets of one app in one tenant.
#[derive(Debug)]
pub(super) struct Throttle {
    units: Option<Bucket>,
    writes: Option<Bucket>,
}

impl Throttle {
    pub(super) fn new(limits: &Limits, users: usize, now: UnixMillis) -> Self {
        let bucket = |quota| Bucket::full(quota, now);
        Self {
            units: limits.units_quota(users).map(bucket),
            writes: limits.writes.map(bucket),
        }
    }

    /// Takes a request's cost from every bucket, also when one of them refuses it.
    pub(super) fn admit(&mut self, cost: Cost, now: UnixMillis) -> Admission {
        let writes = take(&mut self.writes, cost.writes, now);
        let units = take(&mut self.units, cost.units, now);
        match (writes, units) {
            (Taken::Short { wait_ms }, Taken::Short { wait_ms: other }) => Admission::Throttled {
                limit: Limit::Write,
                wait_ms: wait_ms.max(other),
            },
            (Taken::Short { wait_ms }, Taken::Enough { .. }) => Admission::Throttled {
                limit: Limit::Write,
                wait_ms,
            },
            (Taken::Enough { .. }, Taken::Short { wait_ms }) => Admission::Throttled {
                limit: Limit::ReadWrite,
                wait_ms,
            },
            (Taken::Enough { used: one }, Taken::Enough { used: other }) => {
                let share = one.max(other);
                Admission::Admitted {
                    warning_share: (share > WARNING_SHARE).then_some(share),
                }
            }
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

fn take(bucket: &mut Option<Bucket>, cost: u32, now: UnixMillis) -> Taken {
    match bucket {
        Some(bucket) if cost > 0 => bucket.take(f64::from(cost), now),
        Some(_) | None => Taken::Enough { used: 0.0 },
    }
}

#[derive(Debug)]
struct Bucket {
    size: f64,
    per_ms: f64,
    level: f64,
    at: UnixMillis,
}

impl Bucket {
    fn full(quota: Quota, now: UnixMillis) -> Self {
        let size = f64::from(quota.amount);
        // A window of nothing would refill infinitely fast; one millisecond is as good and finite.
        let window_ms = quota.window_ms.max(1) as f64;
        Self {
            size,
            per_ms: size / window_ms,
            level: size,
            at: now,
        }
    }

    fn take(&mut self, cost: f64, now: UnixMillis) -> Taken {
        let passed_ms = now.ms_since(self.at) as f64;
        let level = (self.level + passed_ms * self.per_ms).min(self.size);
        self.at = self.at.max(now);
        self.level = (level - cost).max(-self.size * DEBT_MAX);
        if level >= cost {
            return Taken::Enough {
                used: 1.0 - self.level / self.size,
            };
        }
        let wait_ms = ((cost - self.level) / self.per_ms).ceil();
        // A quota of nothing never refills; the cast saturates then.
        Taken::Short {
            wait_ms: wait_ms as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Cost = Cost {
        units: 1,
        writes: 1,
    };
    const READ: Cost = Cost {
        units: 1,
        writes: 0,
    };

    fn throttle(writes: u32) -> Throttle {
        let quota = Quota {
            amount: writes,
            window_ms: u64::from(writes) * 1_000,
        };
        let limits = Limits {
            resource_units: ResourceUnits::Off,
            writes: Some(quota),
            ..Limits::default()
        };
        Throttle::new(&limits, 10, UnixMillis(0))
    }

    fn admitted(throttle: &mut Throttle, cost: Cost, at: i64) -> bool {
        matches!(
            throttle.admit(cost, UnixMillis(at)),
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
            Admission::Throttled {
                limit: Limit::Write,
                wait_ms: 2_000
            }
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
    fn resource_units_follow_the_tenants_size() {
        let limits = Limits::default();
        let amounts =
            [49, 50, 500, 501].map(|users| limits.units_quota(users).map(|quota| quota.amount));
        assert_eq!(
            amounts,
            [Some(3_500), Some(5_000), Some(5_000), Some(8_000)]
        );
        assert_eq!(Limits::off().units_quota(1), None);
    }
}
