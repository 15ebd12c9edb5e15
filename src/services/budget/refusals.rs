//! Tells refusals that come of a limit from those that come by chance.
//!
//! A service under load answers some requests with 429 whatever their rate. To slow down for those helps nobody, and at a few
//! in a hundred it would cost most of a budget. A limit that is passed refuses a large share of what is sent, from that moment
//! on. So this is a sequential test (CUSUM): each answer is weighed by how much likelier it is if a limit refuses than at the
//! share that is usual with this service; when the sum of the weights is too high to be chance more than once in ten
//! minutes, it is a limit. What is usual is learnt while the rate is not growing: a growing one meets the limit in the end.
//!
//! Pure: knows neither time nor rate.

/// The share of refusals that is taken for usual until more is known, and by how many answers.
const USUAL_AT_FIRST: Tally = Tally { answers: 60.0, refused: 1.8 };
/// No service is trusted to refuse less than this by chance: one refusal would tell too much.
const USUAL_MIN: f64 = 0.004;
/// By so much more are refused when a limit is passed: the least that is worth a stop.
const ABOVE_USUAL: f64 = 0.12;
/// What is usual may change, so only so many answers count.
const ANSWERS_MAX: f64 = 600.0;
/// How rarely chance may look like a limit.
const BY_CHANCE_EVERY_S: f64 = 600.0;
/// At slow rates too, no two refusals are enough.
const SCORE_MIN: f64 = 4.0;

/// Answers, and how many of them were refusals.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    answers: f64,
    refused: f64,
}

/// The test, and what it has learnt.
#[derive(Debug)]
pub(super) struct Refusals {
    usual: Tally,
    /// Since the sum was nothing; becomes usual when it is nothing again.
    open: Tally,
    score: f64,
}

impl Refusals {
    pub(super) fn new() -> Refusals {
        Refusals { usual: USUAL_AT_FIRST, open: Tally::default(), score: 0.0 }
    }

    /// A request was taken.
    pub(super) fn taken(&mut self, is_growing: bool) {
        let usual = self.usual_share();
        self.score += ((1.0 - usual - ABOVE_USUAL) / (1.0 - usual)).ln();
        self.open.answers += 1.0;
        if self.score <= 0.0 {
            if !is_growing {
                let answers = self.usual.answers + self.open.answers;
                let kept = (ANSWERS_MAX / answers).min(1.0);
                let refused = (self.usual.refused + self.open.refused) * kept;
                self.usual = Tally { answers: answers * kept, refused };
            }
            self.forget();
        }
    }

    /// A request was refused, at so many a second. Answers whether that makes too many for chance.
    pub(super) fn refused(&mut self, full_rate: f64) -> bool {
        let usual = self.usual_share();
        self.score += ((usual + ABOVE_USUAL) / usual).ln();
        self.open.answers += 1.0;
        self.open.refused += 1.0;
        self.score >= (full_rate * BY_CHANCE_EVERY_S).ln().max(SCORE_MIN)
    }

    /// Counts anew: what was answered before says nothing about what comes.
    pub(super) fn forget(&mut self) {
        self.score = 0.0;
        self.open = Tally::default();
    }

    fn usual_share(&self) -> f64 {
        (self.usual.refused / self.usual.answers).max(USUAL_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    /// So many answers at this share of refusals; how often that looked like a limit.
    fn alarms(test: &mut Refusals, share: f64, answers: u32) -> u32 {
        let mut dice = ChaCha8Rng::seed_from_u64(1);
        let mut alarms = 0;
        for _ in 0..answers {
            if dice.random::<f64>() >= share {
                test.taken(false);
            } else if test.refused(20.0) {
                alarms += 1;
                test.forget();
            }
        }
        alarms
    }

    #[test]
    fn chance_is_no_limit() {
        for share in [0.002, 0.02, 0.05] {
            let alarms = alarms(&mut Refusals::new(), share, 20 * 3_600);
            assert!(alarms <= 8, "{share}: {alarms} an hour");
        }
    }

    #[test]
    fn a_limit_is_seen_within_a_second_also_by_a_service_that_refuses_by_chance() {
        for usual in [0.0, 0.05] {
            let mut test = Refusals::new();
            alarms(&mut test, usual, 2_000);
            test.forget();
            let mut refused = 0;
            loop {
                test.taken(false);
                refused += 1;
                if test.refused(20.0) {
                    break;
                }
            }
            assert!(refused <= 10, "{usual}: {refused}");
        }
    }

    #[test]
    fn what_a_growing_rate_meets_is_not_taken_for_usual() {
        let mut test = Refusals::new();
        for _ in 0..100 {
            test.refused(20.0);
            (0..40).for_each(|_| test.taken(true));
        }
        assert!(test.usual_share() < 0.031);
    }
}
