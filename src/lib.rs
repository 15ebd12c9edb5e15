//! cutover
#![forbid(unsafe_code)]
pub mod machine;
