//! cutover
#![forbid(unsafe_code)]
