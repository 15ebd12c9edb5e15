//! How much a service under load may shed this program's requests before those of others.

/// The value of `x-ms-throttle-priority`. It raises no limit; it only says who is throttled first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ThrottlePriority {
    /// First to be shed: right for a batch, which can wait while people work.
    #[default]
    Low,
    /// As everybody who does not say.
    Normal,
    /// Last to be shed.
    High,
}

impl ThrottlePriority {
    /// All of them.
    pub const ALL: [ThrottlePriority; 3] = [ThrottlePriority::Low, ThrottlePriority::Normal, ThrottlePriority::High];

    /// Its name in connection files and in the header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ThrottlePriority::Low => "low",
            ThrottlePriority::Normal => "normal",
            ThrottlePriority::High => "high",
        }
    }
}
