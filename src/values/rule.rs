//! The rules of the lint. The comment above each is what `cutover explain` says about it, its message how to fix the file.

use serde::Serialize;
use strum::{EnumMessage as _, IntoEnumIterator as _};

/// The rule behind a finding: IdFix's name where IdFix has the rule, else one of ours in the same style.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    strum::AsRefStr,
    strum::Display,
    strum::EnumIter,
    strum::EnumMessage,
)]
pub enum Rule {
    /// The cell is empty, and the job needs a value there.
    #[strum(message = "fill the cell, or take the row out")]
    Blank,
    /// The value is not a name, an @ and a domain.
    #[strum(message = "write it as name@domain")]
    Format,
    /// A character stands there that may not: in a UPN only letters without accents, digits and ' . - _ ! # ^ ~ may, and no white
    /// space may be around it.
    #[strum(message = "replace the character; the finding suggests a value where there is one to suggest")]
    Character,
    /// The part before the @ is malformed, or there is more than one @.
    #[strum(message = "correct the part before the @; it may not be empty and not end with a period")]
    LocalPart,
    /// The part after the @ is no domain.
    #[strum(
        message = "write a domain that is verified in the tenant, as the Entra admin center shows it under Domain names"
    )]
    DomainPart,
    /// The value, or one of its parts, is too long: a UPN has at most 64 characters before the @, 48 after it and 113 in all.
    #[strum(message = "shorten it")]
    Length,
    /// The domain ends in something that is no top-level domain of the Internet, such as .local; a tenant cannot have it verified.
    #[strum(message = "write the domain that the person has in the tenant; if it is right as it is, leave it")]
    TopLevelDomain,
    /// Two rows have the same value where each needs its own.
    #[strum(message = "decide which row is right, and correct or take out the other")]
    Duplicate,
    /// No heading of the file belongs to a column that the job needs.
    #[strum(message = "name the column as the job does; `cutover jobs show JOB` has the names, under [columns]")]
    MissingColumn,
    /// Two headings of the file belong to the same column of the job.
    #[strum(message = "rename or remove one of the two columns")]
    DuplicateColumn,
    /// A heading looks like a column of the job, and its values are not read.
    #[strum(message = "rename the heading to the one that the finding suggests, or take the column out")]
    UnreadColumn,
    /// The row has more or fewer cells than the header.
    #[strum(message = "put a value that has the delimiter in it into quotation marks, or add the missing cells")]
    Ragged,
    /// The line is no row of data: a header that comes again, a count that a database client writes, a rule of dashes.
    #[strum(message = "take the line out; nothing is done for it")]
    NoRow,
    /// The file as a whole cannot be read as CSV.
    #[strum(message = "read the finding; export the file again as CSV UTF-8")]
    Unreadable,
    /// The bytes are not what the file's encoding allows.
    #[strum(message = "save the file as CSV UTF-8")]
    Encoding,
    /// The file has a header and no rows.
    #[strum(message = "export it again, with rows")]
    Empty,
    /// The value is not the text of a GUID, or it is all zeros.
    #[strum(
        message = "write the objectGUID as AD shows it, such as 9c5923e9-de52-33ea-88de-7ebc8633b9cc; `cutover immutable-id VALUE` converts"
    )]
    Guid,
    /// The value is not an ImmutableID as Entra ID expects it: 24 characters of base64 that end with ==.
    #[strum(message = "copy it whole, or let the job make it from object_guid; `cutover immutable-id VALUE` converts")]
    ImmutableId,
    /// A rule that the job declares, by its name there; the job's file says the rest.
    #[serde(untagged)]
    #[strum(transparent)]
    Job(String),
}

impl Rule {
    /// Every rule that a file can break whatever the job is.
    pub fn all() -> impl Iterator<Item = Rule> {
        Rule::iter().filter(|rule| rule.advice().is_some())
    }

    /// What breaks it.
    #[must_use]
    pub fn meaning(&self) -> String {
        self.get_documentation().unwrap_or_default().trim_end().replace('\n', " ")
    }

    /// How to fix the file; None for a job's own rule.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        self.get_message()
    }

    /// The name that `check --json` prints.
    #[must_use]
    pub fn name(&self) -> &str {
        self.as_ref()
    }
}
