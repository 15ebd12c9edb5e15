//! How one record lies on the disk, as pure functions of bytes.
//!
//! ```text
//! length u32 LE | crc32c u32 LE | group u64 LE, top bit: last of its group | chain hash, 32 bytes | payload
//! ```
//!
//! Two checks stand in every frame because they answer two questions. The CRC (over everything but itself) says whether
//! these bytes are the ones that were written, cheaply and without knowing any other frame. The chain hash,
//! `SHA-256(previous hash || payload)`, says whether this record follows that one: somebody who edits, removes or reorders
//! records and mends the CRCs still breaks the chain at that place. It is no signature: who rewrites the whole log can
//! compute a new chain.
//!
//! What a bad frame means (torn or damaged) is decided in `scan`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 48;

/// The longest payload, in bytes (16 MiB): far over any record, and small enough that a damaged length field cannot make
/// a reader ask for gigabytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

const LAST_OF_GROUP: u64 = 1 << 63;
const HASH_BYTES: usize = 32;

/// One link of the hash chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChainHash([u8; HASH_BYTES]);

impl ChainHash {
    /// The link before the first record, made from something that names this log, such as the bytes of the run's id.
    #[must_use]
    pub fn genesis(name: &[u8]) -> ChainHash {
        ChainHash(Sha256::digest(name).into())
    }

    /// The link after this one.
    #[must_use]
    pub fn followed_by(&self, payload: &[u8]) -> ChainHash {
        let hash = Sha256::new()
            .chain_update(self.0)
            .chain_update(payload)
            .finalize();
        ChainHash(hash.into())
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

/// Not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a head is 64 hexadecimal digits, as `cutover journal verify` prints it")]
pub struct NoChainHash;

impl FromStr for ChainHash {
    type Err = NoChainHash;

    fn from_str(text: &str) -> Result<ChainHash, NoChainHash> {
        if text.len() != 2 * HASH_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoChainHash);
        }
        let mut bytes = [0; HASH_BYTES];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[2 * at..2 * at + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NoChainHash)?;
        }
        Ok(ChainHash(bytes))
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where in its group a frame stands. A group is what one barrier made durable, and counts whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// More frames of the same group follow.
    Within,
    /// The group ends here.
    Last,
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload that follow, at most [`PAYLOAD_BYTES_MAX`].
    pub payload_bytes: usize,
    /// The number of the group, from 1 on.
    pub group: u64,
    /// Where in that group.
    pub place: Place,
    /// The chain up to and with this record.
    pub hash: ChainHash,
    crc: u32,
}

impl Header {
    /// Reads a header; `None` if its length cannot be that of a frame. Only [`Header::vouches_for`] tells whether the
    /// rest is true.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let (group, rest) = rest.split_first_chunk::<8>()?;
        let (hash, _) = rest.split_first_chunk::<HASH_BYTES>()?;
        let payload_bytes = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        if payload_bytes > PAYLOAD_BYTES_MAX {
            return None;
        }
        let group = u64::from_le_bytes(*group);
        Some(Header {
            payload_bytes,
            group: group & !LAST_OF_GROUP,
            place: if group & LAST_OF_GROUP == 0 {
                Place::Within
            } else {
                Place::Last
            },
            hash: ChainHash(*hash),
            crc: u32::from_le_bytes(*crc),
        })
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes
    }

    /// The checksum over the rest of the header and the payload.
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// Whether the checksum fits this header and this payload.
    #[must_use]
    pub fn vouches_for(&self, payload: &[u8]) -> bool {
        payload.len() == self.payload_bytes
            && self.crc == crc_of(self.group, self.place, &self.hash, payload)
    }
}

/// The checksum that the frame of such a record has.
#[must_use]
pub fn crc_of(group: u64, place: Place, hash: &ChainHash, payload: &[u8]) -> u32 {
    let (length, group) = (length_field(payload.len()), group_field(group, place));
    checksum(&length, &group, hash, payload)
}

/// A payload over [`PAYLOAD_BYTES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a record of {bytes} bytes is over the log's limit of {PAYLOAD_BYTES_MAX} bytes; nothing was written"
)]
pub struct RecordTooLong {
    /// Its length in bytes.
    pub bytes: usize,
}

/// Bytes of the frame that a payload will need.
///
/// # Errors
/// [`RecordTooLong`].
pub fn frame_bytes(payload: &[u8]) -> Result<usize, RecordTooLong> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(RecordTooLong {
            bytes: payload.len(),
        });
    }
    Ok(HEADER_BYTES + payload.len())
}

/// Adds one frame to `out` and answers the chain's new link.
///
/// # Errors
/// [`RecordTooLong`]; `out` is unchanged then.
pub fn encode(
    out: &mut Vec<u8>,
    previous: &ChainHash,
    group: u64,
    place: Place,
    payload: &[u8],
) -> Result<ChainHash, RecordTooLong> {
    frame_bytes(payload)?;
    let hash = previous.followed_by(payload);
    let length = length_field(payload.len());
    let group = group_field(group, place);
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(&length, &group, &hash, payload).to_le_bytes());
    out.extend_from_slice(&group);
    out.extend_from_slice(hash.as_bytes());
    out.extend_from_slice(payload);
    Ok(hash)
}

/// `frame_bytes` has refused what is near `u32::MAX`; a longer payload would only fail its checksum.
fn length_field(payload_bytes: usize) -> [u8; 4] {
    u32::try_from(payload_bytes)
        .unwrap_or(u32::MAX)
        .to_le_bytes()
}

fn group_field(group: u64, place: Place) -> [u8; 8] {
    let marked = match place {
        Place::Within => group,
        Place::Last => group | LAST_OF_GROUP,
    };
    marked.to_le_bytes()
}

fn checksum(length: &[u8; 4], group: &[u8; 8], hash: &ChainHash, payload: &[u8]) -> u32 {
    let mut header = [0; 44];
    header[..4].copy_from_slice(length);
    header[4..12].copy_from_slice(group);
    header[12..].copy_from_slice(hash.as_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&header), payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Place> {
        prop_oneof![Just(Place::Within), Just(Place::Last)]
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_back(
            payload in proptest::collection::vec(any::<u8>(), 0..300),
            group in 1..LAST_OF_GROUP,
            place in place(),
        ) {
            let genesis = ChainHash::genesis(b"test");
            let mut out = b"before".to_vec();
            let hash = encode(&mut out, &genesis, group, place, &payload).unwrap();
            let header = Header::parse(&out[6..]).unwrap();
            prop_assert_eq!(header.frame_bytes(), out.len() - 6);
            prop_assert_eq!((header.group, header.place, header.hash), (group, place, hash));
            prop_assert!(header.vouches_for(&out[6 + HEADER_BYTES..]));
            prop_assert_eq!(hash, genesis.followed_by(&payload));
        }

        #[test]
        fn no_changed_bit_goes_unseen(
            payload in proptest::collection::vec(any::<u8>(), 0..60),
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let mut out = Vec::new();
            encode(&mut out, &ChainHash::genesis(b"test"), 7, Place::Last, &payload).unwrap();
            let at = at.index(out.len());
            out[at] ^= 1 << bit;
            let vouched = Header::parse(&out).is_some_and(|header| header.vouches_for(&out[HEADER_BYTES..]));
            prop_assert!(!vouched);
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(header) = Header::parse(&bytes) {
                prop_assert!(header.payload_bytes <= PAYLOAD_BYTES_MAX);
                let _either_way = header.vouches_for(&bytes);
            }
        }
    }

    #[test]
    fn the_layout_does_not_change_by_accident() {
        let mut out = Vec::new();
        let hash = encode(
            &mut out,
            &ChainHash::genesis(b"run"),
            258,
            Place::Last,
            b"hi",
        )
        .unwrap();
        assert_eq!(out[..4], [2, 0, 0, 0]);
        assert_eq!(out[8..16], [2, 1, 0, 0, 0, 0, 0, 0x80]);
        assert_eq!(out[16..48], hash.as_bytes()[..]);
        assert_eq!(&out[48..], b"hi");
        // SHA-256(SHA-256("run") || "hi"), computed with coreutils.
        assert_eq!(
            hash.to_string(),
            "7148f63c83f809a8fc1163dd628a8a6134b42cc27fe61f031058dcdf9d5fe4db"
        );
    }

    #[test]
    fn zeros_are_no_frame() {
        let zeros = [0; HEADER_BYTES];
        assert!(!Header::parse(&zeros).unwrap().vouches_for(&[]));
    }

    #[test]
    fn a_record_over_the_limit_is_refused_and_leaves_no_trace() {
        let mut out = Vec::new();
        let too_long = vec![0; PAYLOAD_BYTES_MAX + 1];
        let refused = encode(
            &mut out,
            &ChainHash::genesis(b"test"),
            1,
            Place::Last,
            &too_long,
        );
        assert_eq!(
            refused,
            Err(RecordTooLong {
                bytes: PAYLOAD_BYTES_MAX + 1
            })
        );
        assert!(out.is_empty());
    }
}
