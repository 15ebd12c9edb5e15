//! Any bytes as a reply of a target and of its sign-in service.
#![no_main]

#[path = "../../tests/foreign/reply.rs"]
mod reply;

use libfuzzer_sys::fuzz_target;
use reply::Wire;

/// In the seeds, so that the fuzzer knows it.
const SECRET: &str = "Zq8~hush.hush";

fuzz_target!(|bytes: &[u8]| {
    if let Some(wire) = Wire::from_bytes(bytes) {
        reply::check(&wire, SECRET);
    }
});
