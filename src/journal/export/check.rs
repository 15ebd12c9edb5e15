//! Checking an export without the journal that it came from.

use super::line::{Claim, Ending, FORMAT, Line, Opening, Writable};
use crate::journal::entry::Entry;
use crate::journal::error_run::JournalError;
use crate::journal::frame::{ChainHash, PAYLOAD_BYTES_MAX, Place, crc_of};
use crate::journal::open::genesis;
use crate::journal::scan::{Head, Position};
use crate::journal::verify::{Audit, Finding, Kind, Link, Noted, Scratch, Verdict, describe_bytes};
use serde_json::Value;
use std::io::{self, BufRead, Read};

/// The longest line that is read, in bytes (256 MiB): far over the longest record in base64 and in words.
const LINE_BYTES_MAX: u64 = 16 * PAYLOAD_BYTES_MAX as u64;

/// Why an export cannot be checked at all.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum UnusableExport {
    /// It cannot be read.
    #[error("the export cannot be read")]
    #[diagnostic(code(export::read), help("check the path and the disk"))]
    Read(#[from] io::Error),
    /// It is none.
    #[error("this is no export of a run: its first line does not say so")]
    #[diagnostic(
        code(export::foreign),
        help("`cutover journal export RUN --output FILE` writes one")
    )]
    Foreign,
    /// Another version wrote it.
    #[error("this export has format {found}; this version of cutover checks format {FORMAT}")]
    #[diagnostic(
        code(export::format),
        help("check it with the version of cutover that wrote it")
    )]
    Format {
        /// The format found.
        found: u64,
    },
    /// There is no room for the fold.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
}

/// Checks an export: the chain from the name of the run to its head, that every line says what its payload says, and that
/// the rows can have gone this way. `noted` is a head that was noted elsewhere and must be in the chain.
///
/// # Errors
/// [`UnusableExport`]; what is wrong with it is in the verdict.
pub fn check(
    export: &mut dyn BufRead,
    noted: Option<ChainHash>,
    scratch: Scratch,
) -> Result<Verdict, UnusableExport> {
    let mut lines = Lines {
        export,
        number: 0,
        line: Vec::new(),
    };
    let opening = opening(&mut lines)?;
    let start = genesis(opening.run);
    let mut check = Check {
        audit: Audit::new(opening.run, scratch)?,
        noted: noted.map(Noted::new),
        verdict: Verdict::new(opening.run, start.hash),
        head: start,
        within: false,
        folding: true,
    };
    if lines.line != opening.bytes()? {
        check.find(
            &lines,
            Kind::Edited,
            "the first line is not as it is written",
        );
    }
    while lines.next()? {
        match check.line(&lines)? {
            Next::GoOn => {}
            Next::Ended => {
                if lines.next()? {
                    check.find(&lines, Kind::Inserted, "something follows the last line");
                }
                return Ok(check.verdict());
            }
            Next::Broken => return Ok(check.verdict()),
        }
    }
    check.find(&lines, Kind::Cut, "the export ends before its last line");
    Ok(check.verdict())
}

fn opening(lines: &mut Lines<'_>) -> Result<Opening, UnusableExport> {
    lines.next()?;
    let value: Value = serde_json::from_slice(&lines.line).map_err(|_| UnusableExport::Foreign)?;
    let found = value["cutover_export"].as_u64();
    let found = found.ok_or(UnusableExport::Foreign)?;
    if found != u64::from(FORMAT) {
        return Err(UnusableExport::Format { found });
    }
    serde_json::from_value(value).map_err(|_| UnusableExport::Foreign)
}

/// The lines of an export, one at a time, each with its end.
struct Lines<'e> {
    export: &'e mut dyn BufRead,
    number: u64,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// Whether there was one more.
    fn next(&mut self) -> io::Result<bool> {
        self.line.clear();
        let mut limited = (&mut *self.export).take(LINE_BYTES_MAX);
        let count = limited.read_until(b'\n', &mut self.line)?;
        self.number += 1;
        Ok(count > 0)
    }
}

/// Whether there is sense in reading on.
enum Next {
    GoOn,
    Ended,
    Broken,
}

/// One export being checked.
struct Check {
    audit: Audit,
    noted: Option<Noted>,
    verdict: Verdict,
    head: Head,
    /// The group of the last record goes on.
    within: bool,
    /// The records still make sense.
    folding: bool,
}

impl Check {
    fn find(&mut self, lines: &Lines<'_>, kind: Kind, message: impl Into<String>) {
        let mut finding = Finding::at(&self.head, kind, message);
        finding.line = Some(lines.number);
        self.verdict.find(finding);
    }

    fn verdict(mut self) -> Verdict {
        self.verdict.proven(&self.head);
        if let Some(noted) = &self.noted {
            noted.tell(&mut self.verdict);
        }
        self.verdict
    }

    fn line(&mut self, lines: &Lines<'_>) -> Result<Next, UnusableExport> {
        if let Ok(claim) = serde_json::from_slice::<Claim>(&lines.line) {
            return self.record(lines, &claim);
        }
        if serde_json::from_slice::<Ending>(&lines.line).is_ok() {
            return self.ending(lines);
        }
        self.find(lines, Kind::Damaged, "this line is none of an export");
        Ok(Next::Broken)
    }

    fn ending(&mut self, lines: &Lines<'_>) -> Result<Next, UnusableExport> {
        if self.within {
            let text = "the export ends in the middle of a group of records";
            self.find(lines, Kind::Removed, text);
        } else if lines.line != Ending::of(&self.head).bytes()? {
            let text = format!(
                "the last line does not fit what is before it, {} records with head {}: records were removed, or it was \
                 edited",
                self.head.records, self.head.hash
            );
            self.find(lines, Kind::Removed, text);
        }
        Ok(Next::Ended)
    }

    fn record(&mut self, lines: &Lines<'_>, claim: &Claim) -> Result<Next, UnusableExport> {
        let Some(payload) = claim.payload() else {
            self.find(lines, Kind::Damaged, "its payload is no base64");
            return Ok(Next::Broken);
        };
        let before = self.head;
        let hash = before.hash.followed_by(&payload);
        if let Some((kind, what)) = self.misfit(claim, &hash, &payload) {
            let name = describe_bytes(&payload, self.audit.steps());
            self.find(lines, kind, format!("{name}: {what}"));
            return Ok(Next::Broken);
        }
        self.must_read_so(lines, claim.place(), &payload)?;
        if self.folding {
            self.fold(lines, &payload)?;
        }
        let next = before.after_frame(hash, payload.len());
        self.head = match claim.place() {
            Place::Within => next,
            Place::Last => next.after_group(),
        };
        self.within = claim.place() == Place::Within;
        if let Some(noted) = &mut self.noted {
            noted.see(self.head.records, &hash);
        }
        Ok(Next::GoOn)
    }

    /// Why a record is not the one that must come next.
    fn misfit(&self, claim: &Claim, hash: &ChainHash, payload: &[u8]) -> Option<(Kind, String)> {
        let before = &self.head;
        let due = before.records + 1;
        let number = claim.record;
        if claim.hash != hash.to_string() {
            return Some(if number > due {
                let what = format!("it is record {number}, but {due} is due: lines were removed");
                (Kind::Removed, what)
            } else if number == before.records {
                (Kind::Repeated, "it is the line before once more".into())
            } else if number < due {
                let what = format!("it is record {number}, but {due} is due: lines change places");
                (Kind::Reordered, what)
            } else {
                let what = "it does not follow the line before it: it or that one was edited, or lines between them were \
                            removed";
                (Kind::Edited, what.into())
            });
        }
        if number != due {
            let what = format!("it says that it is record {number}, but it is record {due}");
            return Some((Kind::Edited, what));
        }
        if claim.group != before.group + 1 {
            let (is, due) = (claim.group, before.group + 1);
            let what = format!("it says that it belongs to group {is}, but group {due} is due");
            return Some((Kind::Edited, what));
        }
        if claim.crc != format!("{:08x}", crc_of(claim.group, claim.place(), hash, payload)) {
            let what = "its checksum does not fit its group, `last` and payload";
            return Some((Kind::Edited, what.into()));
        }
        let too_long = payload.len() > PAYLOAD_BYTES_MAX;
        too_long.then(|| (Kind::Edited, "it is longer than any record".into()))
    }

    /// The line must be the one that would be written for its payload.
    fn must_read_so(
        &mut self,
        lines: &Lines<'_>,
        place: Place,
        payload: &[u8],
    ) -> Result<(), UnusableExport> {
        let Ok(entry) = Entry::decode(payload) else {
            // The fold says so.
            return Ok(());
        };
        let expected = Line::of(&self.head, place, payload, &entry).bytes()?;
        if lines.line == expected {
            return Ok(());
        }
        let name = describe_bytes(payload, self.audit.steps());
        let what = match differing(&expected, &lines.line).as_slice() {
            [] => "is not written as an export writes it".to_owned(),
            fields => format!(
                "says in {} what its payload does not say",
                fields.join(", ")
            ),
        };
        self.find(lines, Kind::Edited, format!("{name}: the line {what}"));
        Ok(())
    }

    fn fold(&mut self, lines: &Lines<'_>, payload: &[u8]) -> Result<(), UnusableExport> {
        let link = Link {
            before: self.head,
            // Fits: a longer payload is a misfit.
            position: Position {
                offset: self.head.offset,
                payload_bytes: payload.len() as u32,
            },
            payload,
        };
        if let Some(mut finding) = self.audit.take(&link)? {
            finding.line = Some(lines.number);
            self.verdict.find(finding);
            self.folding = false;
        }
        Ok(())
    }
}

/// The fields of a line that are not as expected.
fn differing(expected: &[u8], found: &[u8]) -> Vec<String> {
    let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let (expected, found) = (value(expected), value(found));
    let fields = |value: &Value| -> Vec<String> {
        let keys = value
            .as_object()
            .into_iter()
            .flat_map(|object| object.keys());
        keys.map(|key| format!("`{key}`")).collect()
    };
    let mut all = fields(&expected);
    let more = fields(&found);
    all.extend(
        more.into_iter()
            .filter(|key| !all.contains(key))
            .collect::<Vec<_>>(),
    );
    all.retain(|key| expected.get(key.trim_matches('`')) != found.get(key.trim_matches('`')));
    all
}
