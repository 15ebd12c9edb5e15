//! `cutover immutable-id`: convert between GUID, hex and ImmutableID.

use super::{Exit, Failure};
use crate::progress::{print_text, warn};
use crate::values::{ImmutableId, interpret};

/// Octets with blanks between them come as so many words.
pub(super) fn main(words: &[String]) -> Result<Exit, Failure> {
    let value = words.join(" ");
    let anchor = interpret(&value).map_err(|error| Failure::from(error).about(&format!("`{value}`")))?;
    print_text(format_args!("GUID         {}\n", anchor.guid));
    print_text(format_args!("hex          {}\n", anchor.guid.hex()));
    print_text(format_args!("ImmutableID  {}\n", ImmutableId::from(anchor.guid)));
    for note in &anchor.notes {
        warn(note);
    }
    Ok(Exit::Good)
}
