//! Any bytes as a reply of a target and of its sign-in service.
#![no_main]

#[path = "../../tests/promises/foreign/reply.rs"]
mod reply;

use libfuzzer_sys::fuzz_target;
use reply::Wire;

/// In the seeds, so that the fuzzer knows it.
const SECRET: &str = "Zq8~hush.hush";

fuzz_target!(|bytes: &[u8]| {
    if let Some(wire) = wire(bytes) {
        reply::check(&wire, SECRET);
    }
});

/// Cuts bytes up: status, time, header values one a line up to an empty one, body.
fn wire(bytes: &[u8]) -> Option<Wire> {
    let (status, rest) = bytes.split_first_chunk::<2>()?;
    let (now, mut rest) = rest.split_first_chunk::<4>()?;
    let mut headers = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (value, behind) = (&rest[..end], &rest[end + 1..]);
        rest = behind;
        if value.is_empty() {
            break;
        }
        headers.push(value.to_vec());
    }
    Some(Wire {
        status: 100 + u16::from_le_bytes(*status) % 500,
        headers,
        body: rest.to_vec(),
        now_s: u32::from_le_bytes(*now),
    })
}
