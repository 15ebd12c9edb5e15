//! Physical lines, whatever ends them: CRLF, LF or the old CR. The csv crate counts line feeds alone.

/// Counts line ends of all three kinds.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineCounter {
    ended: u64,
    after_cr: bool,
}

impl LineCounter {
    /// The line of the next byte, from 1.
    pub fn line(&self) -> u64 {
        self.ended + 1
    }

    /// Counts one byte.
    pub fn pass(&mut self, byte: u8) {
        self.ended += u64::from(byte == b'\r' || (byte == b'\n' && !self.after_cr));
        self.after_cr = byte == b'\r';
    }

    /// Counts a piece of text at once.
    pub fn pass_all(&mut self, text: &[u8]) {
        let count = |end: u8| text.iter().filter(|byte| **byte == end).count();
        let (feeds, returns) = (count(b'\n'), count(b'\r'));
        let pairs = match returns {
            0 => 0,
            _ => text.windows(2).filter(|pair| *pair == b"\r\n").count(),
        };
        let begun_before = self.after_cr && text.first() == Some(&b'\n');
        self.ended += (feeds + returns - pairs - usize::from(begun_before)) as u64;
        if let Some(last) = text.last() {
            self.after_cr = *last == b'\r';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_count_like_bytes(text in "[a\r\n]{0,12}", cut in 0_usize..12) {
            let mut bytes = LineCounter::default();
            text.bytes().for_each(|byte| bytes.pass(byte));
            let mut pieces = LineCounter::default();
            let (head, tail) = text.split_at(cut.min(text.len()));
            pieces.pass_all(head.as_bytes());
            pieces.pass_all(tail.as_bytes());
            prop_assert_eq!((bytes.line(), bytes.after_cr), (pieces.line(), pieces.after_cr));
        }
    }
}
