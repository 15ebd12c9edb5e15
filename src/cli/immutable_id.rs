//! `cutover immutable-id`: convert between GUID, hex and ImmutableID.

use super::exit::{Exit, Failure};
use crate::batch::interpret;

pub(super) fn main(value: &str) -> Result<Exit, Failure> {
    let anchor = interpret(value).map_err(Failure::unusable)?;
    println!("GUID         {}", anchor.guid);
    println!("hex          {}", anchor.hex);
    println!("ImmutableID  {}", anchor.immutable_id);
    for note in &anchor.notes {
        eprintln!("note: {note}");
    }
    Ok(Exit::Good)
}
