//! The rules of the lint, each with its name and its page: one table, so that a rule cannot be without.

use std::fmt;

use serde::{Serialize, Serializer};

/// The rule behind a finding: IdFix's name where IdFix has the rule, else one of ours in the same style.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A required value is absent.
    Blank,
    /// The value is not `name@domain`.
    Format,
    /// A character that may not stand there, outer white space included.
    Character,
    /// The part before the @ is malformed, or there is more than one @.
    LocalPart,
    /// The part after the @ is malformed.
    DomainPart,
    /// The value, or one of its parts, is too long.
    Length,
    /// The last label of the domain is not a known top-level domain.
    TopLevelDomain,
    /// Two rows have the same value where it must be unique.
    Duplicate,
    /// No heading belongs to a column of the job.
    MissingColumn,
    /// Two headings belong to the same column of the job.
    DuplicateColumn,
    /// A heading that looks like a column of the job is not read.
    UnreadColumn,
    /// The row has more or fewer cells than the header.
    Ragged,
    /// The line is no row of data.
    NoRow,
    /// The file as a whole cannot be read.
    Unreadable,
    /// The bytes are not what the file's encoding allows.
    Encoding,
    /// The file has a header and no rows.
    Empty,
    /// The value is not the text of a GUID.
    Guid,
    /// The value is not an ImmutableID as Entra ID expects it.
    ImmutableId,
    /// A rule that the job declares, by its name there.
    Job(String),
}

/// What is told of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RulePage {
    /// The name that `check --json` prints.
    pub name: &'static str,
    /// What breaks it.
    pub meaning: &'static str,
    /// How to fix the file.
    pub advice: &'static str,
}

const fn page(name: &'static str, meaning: &'static str, advice: &'static str) -> RulePage {
    RulePage { name, meaning, advice }
}

const BLANK: RulePage =
    page("Blank", "The cell is empty, and the job needs a value there.", "fill the cell, or take the row out");
const FORMAT: RulePage = page("Format", "The value is not a name, an @ and a domain.", "write it as name@domain");
const CHARACTER: RulePage = page(
    "Character",
    "A character stands there that may not: in a UPN only letters without accents, digits and ' . - _ ! # ^ ~ may, and no white \
     space may be around it.",
    "replace the character; the finding suggests a value where there is one to suggest",
);
const LOCAL_PART: RulePage = page(
    "LocalPart",
    "The part before the @ is malformed, or there is more than one @.",
    "correct the part before the @; it may not be empty and not end with a period",
);
const DOMAIN_PART: RulePage = page(
    "DomainPart",
    "The part after the @ is no domain.",
    "write a domain that is verified in the tenant, as the Entra admin center shows it under Domain names",
);
const LENGTH: RulePage = page(
    "Length",
    "The value, or one of its parts, is too long: a UPN has at most 64 characters before the @, 48 after it and 113 in all.",
    "shorten it",
);
const TOP_LEVEL_DOMAIN: RulePage = page(
    "TopLevelDomain",
    "The domain ends in something that is no top-level domain of the Internet, such as .local; a tenant cannot have it verified.",
    "write the domain that the person has in the tenant; if it is right as it is, leave it",
);
const DUPLICATE: RulePage = page(
    "Duplicate",
    "Two rows have the same value where each needs its own.",
    "decide which row is right, and correct or take out the other",
);
const MISSING_COLUMN: RulePage = page(
    "MissingColumn",
    "No heading of the file belongs to a column that the job needs.",
    "name the column as the job does; `cutover jobs show JOB` has the names, under [columns]",
);
const DUPLICATE_COLUMN: RulePage = page(
    "DuplicateColumn",
    "Two headings of the file belong to the same column of the job.",
    "rename or remove one of the two columns",
);
const UNREAD_COLUMN: RulePage = page(
    "UnreadColumn",
    "A heading looks like a column of the job, and its values are not read.",
    "rename the heading to the one that the finding suggests, or take the column out",
);
const RAGGED: RulePage = page(
    "Ragged",
    "The row has more or fewer cells than the header.",
    "put a value that has the delimiter in it into quotation marks, or add the missing cells",
);
const NO_ROW: RulePage = page(
    "NoRow",
    "The line is no row of data: a header that comes again, a count that a database client writes, a rule of dashes.",
    "take the line out; nothing is done for it",
);
const UNREADABLE: RulePage = page(
    "Unreadable",
    "The file as a whole cannot be read as CSV.",
    "read the finding; export the file again as CSV UTF-8",
);
const ENCODING: RulePage =
    page("Encoding", "The bytes are not what the file's encoding allows.", "save the file as CSV UTF-8");
const EMPTY: RulePage = page("Empty", "The file has a header and no rows.", "export it again, with rows");
const GUID: RulePage = page(
    "Guid",
    "The value is not the text of a GUID, or it is all zeros.",
    "write the objectGUID as AD shows it, such as 9c5923e9-de52-33ea-88de-7ebc8633b9cc; `cutover immutable-id VALUE` converts",
);
const IMMUTABLE_ID: RulePage = page(
    "ImmutableId",
    "The value is not an ImmutableID as Entra ID expects it: 24 characters of base64 that end with ==.",
    "copy it whole, or let the job make it from object_guid; `cutover immutable-id VALUE` converts",
);

impl Rule {
    /// Every rule that a file can break whatever the job is.
    pub const ALL: [Rule; 18] = [
        Rule::Blank,
        Rule::Format,
        Rule::Character,
        Rule::LocalPart,
        Rule::DomainPart,
        Rule::Length,
        Rule::TopLevelDomain,
        Rule::Duplicate,
        Rule::MissingColumn,
        Rule::DuplicateColumn,
        Rule::UnreadColumn,
        Rule::Ragged,
        Rule::NoRow,
        Rule::Unreadable,
        Rule::Encoding,
        Rule::Empty,
        Rule::Guid,
        Rule::ImmutableId,
    ];

    /// What is told of it.
    ///
    /// # Errors
    /// The name of a job's own rule, of which only the job can tell.
    pub fn page(&self) -> Result<&'static RulePage, &str> {
        Ok(match self {
            Rule::Blank => &BLANK,
            Rule::Format => &FORMAT,
            Rule::Character => &CHARACTER,
            Rule::LocalPart => &LOCAL_PART,
            Rule::DomainPart => &DOMAIN_PART,
            Rule::Length => &LENGTH,
            Rule::TopLevelDomain => &TOP_LEVEL_DOMAIN,
            Rule::Duplicate => &DUPLICATE,
            Rule::MissingColumn => &MISSING_COLUMN,
            Rule::DuplicateColumn => &DUPLICATE_COLUMN,
            Rule::UnreadColumn => &UNREAD_COLUMN,
            Rule::Ragged => &RAGGED,
            Rule::NoRow => &NO_ROW,
            Rule::Unreadable => &UNREADABLE,
            Rule::Encoding => &ENCODING,
            Rule::Empty => &EMPTY,
            Rule::Guid => &GUID,
            Rule::ImmutableId => &IMMUTABLE_ID,
            Rule::Job(name) => return Err(name),
        })
    }

    /// The name that `check --json` prints.
    #[must_use]
    pub fn name(&self) -> &str {
        self.page().map_or_else(|name| name, |page| page.name)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
