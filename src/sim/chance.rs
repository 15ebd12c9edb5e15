//! Where every decision of the simulated tenant comes from: one seed and the identity of what is decided about.
//! A person's situation hangs on the seed and the UPN, a request's luck on the seed, its method, its path and how
//! often that was asked before. So a run with the same seed meets the same troubles, whatever the order in which
//! rows travel.

use std::sync::atomic::{AtomicU32, Ordering};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// Requests are counted per method and path in this many counters. Paths that fall on one counter share its
/// sequence, which costs them only their independence from each other's order; a table for every path would grow
/// with the number of users.
const COUNTERS: usize = 1 << 16;

/// 32 bytes that depend on the seed, on what is decided (`label`) and about whom (`text`).
pub(super) fn digest(seed: u64, label: &str, text: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(label.as_bytes());
    hash.update([0]);
    hash.update(text.as_bytes());
    hash.finalize().into()
}

/// The first 16 bytes of a digest.
pub(super) fn first_half(digest: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|i| digest[i])
}

/// The last 16 bytes of a digest.
pub(super) fn second_half(digest: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|i| digest[i + 16])
}

/// The first 8 bytes of a digest as a number.
pub(super) fn number(digest: &[u8; 32]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| digest[i]))
}

/// An id made of drawn octets.
pub(super) fn uuid(octets: [u8; 16]) -> uuid::Uuid {
    uuid::Builder::from_random_bytes(octets).into_uuid()
}

/// An id that depends on the seed, on what is decided and about whom.
pub(super) fn id(seed: u64, label: &str, text: &str) -> uuid::Uuid {
    uuid(first_half(&digest(seed, label, text)))
}

/// What makes one request different from every other one; the source of its id and of its luck.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity([u8; 32]);

impl Identity {
    #[cfg(test)]
    pub(super) fn for_test(n: u8) -> Self {
        Self(digest(u64::from(n), "test", ""))
    }

    /// The generator for this request's decisions; always the same sequence for the same request.
    pub(super) fn dice(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.0)
    }

    /// The id that the service gives to the request.
    pub(super) fn request_id(&self) -> uuid::Uuid {
        uuid(first_half(&self.0))
    }

    /// 32 hexadecimal digits nobody can guess from the request.
    pub(super) fn secret_text(&self) -> String {
        let half = second_half(&self.0);
        uuid::Uuid::from_bytes(half).simple().to_string()
    }

    /// A fair coin for one of the things this request looks at. It is thrown for every object of a listing, so it
    /// mixes integers (the finisher of splitmix64) instead of starting a generator each time.
    pub(super) fn coin(&self, thing: u32) -> bool {
        let mut mixed = number(&self.0) ^ u64::from(thing).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) & 1 == 1
    }
}

/// Gives every request its identity.
#[derive(Debug)]
pub(super) struct Sequencer {
    seed: u64,
    counters: Box<[AtomicU32]>,
}

impl Sequencer {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, counters: (0..COUNTERS).map(|_| AtomicU32::new(0)).collect() }
    }

    pub(super) fn next(&self, method: &str, path: &str) -> Identity {
        let place = digest(self.seed, method, path);
        let index = usize::from(u16::from_le_bytes([place[30], place[31]]));
        let nth = self.counters[index].fetch_add(1, Ordering::Relaxed);
        let mut hash = Sha256::new();
        hash.update(place);
        hash.update(nth.to_le_bytes());
        Identity(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_repeat_with_the_seed_and_differ_within_a_sequence() {
        let (one, other) = (Sequencer::new(7), Sequencer::new(7));
        let first = one.next("GET", "/v1.0/users/a");
        assert_eq!(first.request_id(), other.next("GET", "/v1.0/users/a").request_id());
        assert_ne!(first.request_id(), one.next("GET", "/v1.0/users/a").request_id());
        assert_ne!(first.request_id(), Sequencer::new(8).next("GET", "/v1.0/users/a").request_id());
    }

    #[test]
    fn one_paths_sequence_does_not_depend_on_other_paths() {
        let (alone, busy) = (Sequencer::new(7), Sequencer::new(7));
        busy.next("GET", "/v1.0/users/b");
        busy.next("PATCH", "/v1.0/users/a");
        let expected = alone.next("GET", "/v1.0/users/a").request_id();
        assert_eq!(busy.next("GET", "/v1.0/users/a").request_id(), expected);
    }

    #[test]
    fn the_coin_is_fair_enough() {
        let identity = Identity::for_test(1);
        let heads = (0..10_000).filter(|&thing| identity.coin(thing)).count();
        assert!((4_700..5_300).contains(&heads), "{heads} heads in 10,000");
    }
}
