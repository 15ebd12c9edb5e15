//! What in the text of a cell cannot be seen.

/// Whether a cell holds nothing that could be seen: a mark in the middle of a file, or the one that ended files under
/// DOS, is no value.
pub fn is_blank(cell: &str) -> bool {
    cell.chars().all(|c| c.is_whitespace() || is_invisible(c))
}

/// Characters that a spreadsheet shows as nothing: controls, zero-width characters, direction marks, soft hyphen.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}
