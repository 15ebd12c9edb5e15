//! Who goes first when more want to send than may.
//!
//! Depth first: people who cannot sign in at this moment come before everybody else, and a new row begins only when
//! no row under way wants anything. So few people are exposed, and none of them for long.

/// How urgent a request is; the smaller value goes first, and arrival decides among equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Undoes steps of a row that failed half way.
    Compensate,
    /// Belongs to a row whose person cannot work right now.
    Exposed,
    /// The last read of a row that has all its changes.
    Verify,
    /// Belongs to a row that was begun but exposes nobody.
    Started,
    /// Begins a row.
    New,
}

#[cfg(test)]
mod tests {
    use super::Priority;

    #[test]
    fn the_most_urgent_sorts_first() {
        let mut all = [Priority::New, Priority::Verify, Priority::Compensate, Priority::Started, Priority::Exposed];
        all.sort();
        assert_eq!(all, [Priority::Compensate, Priority::Exposed, Priority::Verify, Priority::Started, Priority::New]);
    }
}
