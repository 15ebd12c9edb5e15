//! `cutover immutable-id`: convert between GUID, hex and ImmutableID.

use super::exit::{Exit, Failure};
use crate::batch::interpret;
use crate::progress::say_result;

/// Octets with blanks between them come as so many words.
pub(super) fn main(words: &[String]) -> Result<Exit, Failure> {
    let anchor = interpret(&words.join(" ")).map_err(Failure::unusable)?;
    say_result(format_args!("GUID         {}", anchor.guid));
    say_result(format_args!("hex          {}", anchor.hex));
    say_result(format_args!("ImmutableID  {}", anchor.immutable_id));
    for note in &anchor.notes {
        eprintln!("note: {note}");
    }
    Ok(Exit::Good)
}
