//! Any bytes as a log; and logs that were written whole, then harmed. The first byte says which.
#![no_main]

#[path = "../../tests/support/doubles/mod.rs"]
mod doubles;
#[path = "../../tests/promises/foreign/log_bytes.rs"]
mod log_bytes;

use libfuzzer_sys::fuzz_target;
use log_bytes::Harm;

fuzz_target!(|bytes: &[u8]| {
    match bytes {
        [0, log @ ..] => drop(log_bytes::check(log)),
        [kind, at_1, at_2, count, rest @ ..] => {
            let (at, count) = (
                usize::from(u16::from_le_bytes([*at_1, *at_2])),
                usize::from(*count),
            );
            let harm = match kind % 4 {
                0 => Harm::Cut { at },
                1 => Harm::Change {
                    at,
                    by: *bytes.last().unwrap_or(&1),
                },
                2 => Harm::Drop { at, count },
                _ => Harm::Repeat { at, count },
            };
            log_bytes::check_harmed(&groups(rest), harm);
        }
        _ => {}
    }
});

/// A line of the bytes is a group, a word of it a record.
fn groups(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let records = |line: &[u8]| {
        line.split(|byte| *byte == b' ')
            .map(<[u8]>::to_vec)
            .collect()
    };
    bytes.split(|byte| *byte == b'\n').map(records).collect()
}
