//! `cutover immutable-id`: convert between GUID, hex and ImmutableID.

use super::exit::{Exit, Failure};
use crate::batch::interpret;
use crate::progress::say_result;

pub(super) fn main(value: &str) -> Result<Exit, Failure> {
    let anchor = interpret(value).map_err(Failure::unusable)?;
    say_result(format_args!("GUID         {}", anchor.guid));
    say_result(format_args!("hex          {}", anchor.hex));
    say_result(format_args!("ImmutableID  {}", anchor.immutable_id));
    for note in &anchor.notes {
        eprintln!("note: {note}");
    }
    Ok(Exit::Good)
}
