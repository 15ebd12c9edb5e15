//! Cells that a spreadsheet would run as a formula (OWASP's page on CSV injection): reports put an apostrophe before them, and
//! anchors taken from a report are read without it.

use std::borrow::Cow;

/// What a formula begins with, in Excel or after it has taken white space away; East Asian editions take the wide signs, too.
const SIGNS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// The cell as no spreadsheet runs it.
#[must_use]
pub fn defused(cell: &str) -> Cow<'_, str> {
    if cell.starts_with(SIGNS) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

/// The cell as it was before [`defused`], for values that never begin with an apostrophe themselves.
pub fn undefused(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(bare) if bare.starts_with(SIGNS) => bare,
        Some(_) | None => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn formulas_are_defused_and_nothing_else_is_touched() {
        for formula in ["=1+1", "+49", "-2", "@SUM", "\tx", "\rx", "\n=1", "＝1", "＋1", "－1", "＠x"] {
            assert_eq!(defused(formula), format!("'{formula}"));
            assert_eq!(undefused(&defused(formula)), formula);
        }
        for plain in ["", "ann@contoso.com", "a=b", "'quoted", "'"] {
            assert_eq!(defused(plain), plain);
            assert_eq!(undefused(plain), plain);
        }
    }

    proptest! {
        #[test]
        fn what_begins_with_no_apostrophe_is_read_back(cell in "[^'].{0,9}") {
            let written = defused(&cell);
            prop_assert_eq!(undefused(&written), cell.as_str());
        }
    }
}
