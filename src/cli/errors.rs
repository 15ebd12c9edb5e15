//! The codes with which a command can end early, `error[CODE]`, and what `cutover explain` tells of each.
//!
//! The rooms below name their errors themselves (`journal::no_run`, printed as `journal-no-run`); a test holds this table to
//! all of them. What ends a row has its table in the room that makes it.

use super::exit::Exit;
use crate::core::ProblemKind;

/// Nothing can have been changed by what ends before a run begins.
const NOTHING: &str = "nothing was written to any target";
/// A run may have been under way.
const JOURNALLED: &str =
    "the journal has everything that was done; nothing was sent without a stored intent";
const BY_HAND: &str = "no; give the same command again once the cause is fixed";

const fn before(code: &'static str, meaning: &'static str, advice: &'static str) -> ProblemKind {
    ProblemKind {
        code,
        meaning,
        changed: NOTHING,
        again: BY_HAND,
        advice,
    }
}

const fn at_work(code: &'static str, meaning: &'static str, advice: &'static str) -> ProblemKind {
    ProblemKind {
        code,
        meaning,
        changed: JOURNALLED,
        again: BY_HAND,
        advice,
    }
}

/// The command line, or something that it names.
pub(super) const USAGE: ProblemKind = before(
    "usage",
    "The command line, or something that it names, cannot be used as it is.",
    "change what the message names; `--help` behind a command shows its options",
);
/// Stopped on request.
pub(super) const STOPPED: ProblemKind = at_work(
    "stopped",
    "The command was stopped on request before it was through.",
    "continue with `cutover resume`, or give the same command again",
);
/// A fault from outside.
pub(super) const FAULT: ProblemKind = at_work(
    "fault",
    "The target, the network, or this machine failed for longer than the command waits.",
    "fix what the message names, then `cutover resume`, or give the same command again",
);
/// A fault of the program.
pub(super) const INTERNAL: ProblemKind = at_work(
    "internal",
    "A fault of cutover itself.",
    "please report it, with the log; then `cutover resume`",
);
/// The system gives no more threads or files.
pub(super) const SYSTEM_LIMIT: ProblemKind = before(
    "system-limit",
    "The system does not give the program the threads or open files that it needs.",
    "raise the limit for this account: `ulimit -u` or systemd's TasksMax for threads, `ulimit -n` for files; then give the same command again",
);
/// No such job.
pub(super) const UNKNOWN_JOB: ProblemKind = before(
    "unknown-job",
    "There is neither a shipped job nor a file of that name.",
    "`cutover jobs` lists the shipped jobs; a file needs its path",
);
/// A job file cannot be used.
pub(super) const JOB_FILE: ProblemKind = before(
    "job-file",
    "The job file cannot be read, or has mistakes.",
    "`cutover jobs lint FILE` shows every mistake with its line",
);
/// A parameter cannot be used.
pub(super) const PARAMETER: ProblemKind = before(
    "parameter",
    "A `--set NAME=VALUE` does not fit the job.",
    "`cutover jobs show JOB` has the parameters under [params], with their values",
);
/// The file of rows cannot be used as a whole.
pub(super) const INPUT_UNUSABLE: ProblemKind = before(
    "input-unusable",
    "The file as a whole cannot be used for this job, such as when a column is missing.",
    "`cutover check JOB FILE` shows everything that is wrong with it",
);
/// No target.
pub(super) const NO_TARGET: ProblemKind = before(
    "no-target",
    "The command needs a target, and none was named.",
    "`--target FILE` names a connection file, `--target sim` the simulated tenant; CUTOVER_TARGET does the same",
);
/// The sign-in was refused.
pub(super) const SIGN_IN: ProblemKind = before(
    "sign-in",
    "The service refuses the sign-in.",
    "fix what the message names in the connection file or the app registration; `cutover doctor` tries it",
);
/// Nobody agreed to a new run.
pub(super) const NOT_AGREED: ProblemKind = before(
    "not-agreed",
    "A new run asks before it changes a tenant, and there is no terminal to ask on.",
    "add --yes once you have looked at the target, or start the run on a terminal",
);
/// The checks before a run found something.
pub(super) const PREFLIGHT: ProblemKind = before(
    "preflight",
    "The checks before a run found something without which it must not begin.",
    "fix each line of the message; `cutover doctor` shows every check",
);
/// Not the run that was begun.
pub(super) const RUN_DIFFERS: ProblemKind = before(
    "run-differs",
    "A run is unfinished, and this command line is not the one that it was begun with.",
    "`cutover resume RUN` continues it as it was begun",
);
/// People of the file are half way in another run.
pub(super) const HALF_WAY: ProblemKind = before(
    "half-way",
    "People of the file were changed by an unfinished run of this journal and are neither at the goal nor back, or cannot be taken \
     over from it.",
    "`cutover resume RUN` brings them to their end; `--adopt-run RUN` begins anew with how they were before",
);
/// Nobody to steer.
pub(super) const NO_LIVE_RUN: ProblemKind = before(
    "no-live-run",
    "The command steers a live process, and none works on a run of this journal.",
    "`cutover status` shows where the newest run stands; `--journal` names another journal",
);
/// A live process is in the way or refuses.
pub(super) const LIVE_PROCESS: ProblemKind = before(
    "live-process",
    "A process works on this journal and did not do what was asked of it.",
    "`cutover status` shows how its run stands; try again in a moment",
);
/// Nothing to explain.
pub(super) const UNKNOWN_CODE: ProblemKind = before(
    "unknown-code",
    "No code of that name is known.",
    "`cutover explain` without a code lists all of them",
);

/// All of them: those above, then those of the rooms.
pub(super) const ERRORS: &[ProblemKind] = &[
    USAGE,
    STOPPED,
    FAULT,
    INTERNAL,
    SYSTEM_LIMIT,
    UNKNOWN_JOB,
    JOB_FILE,
    PARAMETER,
    INPUT_UNUSABLE,
    NO_TARGET,
    SIGN_IN,
    NOT_AGREED,
    PREFLIGHT,
    RUN_DIFFERS,
    HALF_WAY,
    NO_LIVE_RUN,
    LIVE_PROCESS,
    UNKNOWN_CODE,
    before(
        "input-open",
        "The file cannot be opened.",
        "check the path, and whether this account may read the file",
    ),
    before(
        "input-read",
        "Reading the file failed before its end.",
        "copy the file to a local disk and try again",
    ),
    before(
        "input-empty",
        "The file has no header and no rows.",
        "the first line must name the columns; check that the export succeeded",
    ),
    before(
        "input-binary",
        "The file is of another kind than CSV.",
        "open it with the program it belongs to and save it as \"CSV UTF-8\"",
    ),
    before(
        "input-not-text",
        "The file has a NUL character, which no text has.",
        "it is damaged or of another kind; export it again as CSV",
    ),
    before(
        "input-open-quote",
        "A quote is opened and never closed, so the rows after it cannot be told apart.",
        "close the quote, or double it where it belongs to the text",
    ),
    before(
        "input-record",
        "One record is longer than any row can be.",
        "check whether the line ends are missing, or the file is not CSV",
    ),
    before(
        "input-changed",
        "The file was changed while it was being read.",
        "wait until the export is finished, then start again",
    ),
    before(
        "input-temporary",
        "A temporary file cannot be used; finding duplicates needs one.",
        "free some space there, or set TMPDIR to another folder",
    ),
    before(
        "batch-plan-unreadable",
        "The plan cannot be read.",
        "check the path of --plan; `cutover plan` writes it as plan.csv",
    ),
    before(
        "batch-plan-column",
        "The plan lacks a column that it was written with.",
        "use the file as `cutover plan` wrote it",
    ),
    before(
        "batch-plan-line",
        "A line of the plan is not as it was written.",
        "use the file as `cutover plan` wrote it; whole lines may be taken out",
    ),
    before(
        "batch-plan-other",
        "The plan was made for another file, job, parameter or target.",
        "plan anew with the same job, file, --set and --target as the run",
    ),
    before(
        "anchor-blank",
        "There is no value to convert.",
        "give a GUID, 32 hexadecimal digits or an ImmutableID",
    ),
    before(
        "anchor-absent",
        "The value is a word for nothing, or for yes and no.",
        "leave the cell empty, or take the value from the directory",
    ),
    before(
        "anchor-cut",
        "Only a part of the value is there: dots stand for the rest of it.",
        "export it to a file (Export-Csv) and do not copy it from a table on the screen",
    ),
    before(
        "anchor-number",
        "A spreadsheet took the value for a number or a date, and this is what is left of it.",
        "export the column again and open it as text",
    ),
    before(
        "anchor-sign",
        "The value has a sign that no anchor has: an invisible or full-width one, a quote, a blank.",
        "use the ImmutableID that the message names, or export the value again",
    ),
    before(
        "anchor-order",
        "32 hexadecimal digits may be a GUID's text or its octets, and nothing tells which these are.",
        "write the GUID with its dashes, as the directory shows it",
    ),
    before(
        "anchor-spreadsheet",
        "A spreadsheet took the value for a formula, and this is what is left of it.",
        "export the column again and open it as text",
    ),
    before(
        "anchor-type-name",
        "The value is the name of a PowerShell type.",
        "export it again with [Convert]::ToBase64String($_.ObjectGUID.ToByteArray())",
    ),
    before(
        "anchor-nil",
        "The value is the GUID of only zeros, which belongs to nobody.",
        "export the attribute again: it was empty",
    ),
    before(
        "anchor-encoded-text",
        "The value is base64 of the GUID's text instead of its 16 octets.",
        "use the ImmutableID that the message names",
    ),
    before(
        "anchor-url-safe",
        "The value uses base64's alphabet for URLs, which Entra ID refuses.",
        "use the ImmutableID that the message names",
    ),
    before(
        "anchor-padding",
        "The value has lost the == at its end.",
        "use the ImmutableID that the message names",
    ),
    before(
        "anchor-case",
        "The value has letters of one case only, and in base64 the case counts.",
        "export it again without changing its case",
    ),
    before(
        "anchor-octets",
        "The value is base64 of more or fewer than the 16 octets of a GUID.",
        "check whether it was cut, or is another attribute",
    ),
    before(
        "anchor-unreadable",
        "The value is neither a GUID nor 32 hexadecimal digits nor an ImmutableID.",
        "a GUID is like 9c5923e9-de52-33ea-88de-7ebc8633b9cc, an ImmutableID like 6SNZnFLe6jOI3n68hjO5zA==",
    ),
    before(
        "target-connection-unreadable",
        "The connection file is not there, may not be read, or is not UTF-8.",
        "check the path of --target, and who may read the file",
    ),
    before(
        "target-connection-mistakes",
        "The connection file can be read but not used.",
        "each mistake in the message says what to write instead",
    ),
    before(
        "target-client",
        "The HTTPS client cannot be set up.",
        "check that this machine has its certificate authorities installed, and its proxy settings",
    ),
    before(
        "journal-in-use",
        "Another process works on the journal.",
        "`cutover status` shows what it does; wait for it, stop it, or name another journal with --journal",
    ),
    before(
        "journal-in-use-unnamed",
        "Another process has the journal and has not said who it is; it may just be starting.",
        "try again in a second",
    ),
    before(
        "journal-lock",
        "The journal's lock cannot be used.",
        "check that the folder is there, is yours, and can be written",
    ),
    before(
        "journal-not-allowed",
        "This user may not look into the journal.",
        "give the command as the user whom the message names: there may be a run in it, so do not begin another one of the same people",
    ),
    before(
        "journal-no-run",
        "There is no run in this journal.",
        "begin one with `cutover run`, or name the journal with --journal",
    ),
    before(
        "journal-unknown-run",
        "No run of this journal begins like that.",
        "`cutover runs` lists them",
    ),
    before(
        "journal-taken-over",
        "Another run has taken over the people who were half way in this one, and goes on with them.",
        "`cutover resume` of the run that the message names; what the old run had not begun can be run anew",
    ),
    before(
        "journal-ambiguous-run",
        "Several runs of this journal begin like that.",
        "write more of the run's name",
    ),
    at_work(
        "journal-log-read",
        "The disk failed while a run's log was read.",
        "look at the disk and at the system's log, then try again",
    ),
    at_work(
        "journal-log-write",
        "The disk failed or was full while a run's log was written, so the run stopped.",
        "free disk space or fix the disk, then `cutover resume`",
    ),
    at_work(
        "journal-log-cut",
        "A torn end of a run's log could not be cut off.",
        "free disk space or fix the disk, then try again; the records before it are there",
    ),
    at_work(
        "journal-log-damaged",
        "A committed record of a run's log is not what was written.",
        "run nothing on this journal: copy its folder away, and put a backup in its place",
    ),
    at_work(
        "journal-log-record",
        "The checkpoint points at a record that is not in the log.",
        "move the folder `checkpoint` out of the journal: it is built again from the log",
    ),
    at_work(
        "journal-log-shortened",
        "A run's log ends before a record that was committed.",
        "put the whole folder of the journal back from a backup",
    ),
    at_work(
        "journal-log-elsewhere",
        "The checkpoint and a run's log are not of the same journal.",
        "put the whole folder of the journal back from a backup",
    ),
    at_work(
        "journal-log-not-empty",
        "A new log was to be made where one is already.",
        "give the same command again; if it stays, please report it",
    ),
    at_work(
        "journal-log-gone",
        "The checkpoint knows a run whose log is not in the journal.",
        "put the file back from a backup, into the folder `runs`",
    ),
    at_work(
        "journal-record-too-long",
        "A record is longer than the log takes.",
        "please report it, with the job; the log goes on without it",
    ),
    at_work(
        "journal-group-too-long",
        "Records that belong together are longer than the log takes.",
        "please report it, with the job; the log goes on without them",
    ),
    at_work(
        "journal-record",
        "A record was written by another version of cutover.",
        "use the version that wrote it",
    ),
    at_work(
        "journal-impossible",
        "The journal says of a row what cannot have happened.",
        "it was edited, or written by another version: `cutover journal verify` names the record",
    ),
    at_work(
        "journal-writer-stopped",
        "The part that writes the journal has stopped.",
        "`cutover resume`; rows in doubt are read again first",
    ),
    at_work(
        "journal-checkpoint",
        "The checkpoint failed; the log is not affected.",
        "give the same command again: the checkpoint is then built again from the log",
    ),
    at_work(
        "journal-checkpoint-panicked",
        "The checkpoint is damaged; the log is not affected.",
        "give the same command again: the checkpoint is then built again from the log",
    ),
    at_work(
        "journal-checkpoint-in-use",
        "Another program has the checkpoint open.",
        "end that program; two must never work on one journal",
    ),
    at_work(
        "journal-checkpoint-directory",
        "The checkpoint's folder cannot be used; the log is not affected.",
        "move it away: it is built again from the log",
    ),
    at_work(
        "journal-file",
        "A file or folder of the journal cannot be used.",
        "check the disk's space and the rights on the path in the message",
    ),
    at_work(
        "journal-no-room",
        "The disk with the journal is full.",
        "free some space on it, then give the same command again",
    ),
    at_work(
        "journal-export",
        "The export cannot be written; the journal is not affected.",
        "free disk space or name another file with --output",
    ),
    before(
        "export-read",
        "The export cannot be read.",
        "check the path and the disk",
    ),
    before(
        "export-foreign",
        "The file is no export of a run.",
        "`cutover journal export RUN --output FILE` writes one",
    ),
    at_work(
        "report-write",
        "The report cannot be written.",
        "free disk space or name another folder, then `cutover report`: everything is in the journal",
    ),
    before(
        "sim-listen",
        "The simulated tenant cannot listen there.",
        "choose another port, or 0 for any free one",
    ),
    before(
        "sim-faults",
        "The shares of simulated faults do not fit together.",
        "each is from 0 to 1, and their sum is at most 1",
    ),
    before(
        "sim-state",
        "The simulated tenant's state cannot be read or written.",
        "check that the folder is writable and the disk is not full",
    ),
    before(
        "sim-state-in-use",
        "Another process uses the simulated tenant's state.",
        "stop the other simulator, or choose another folder",
    ),
    before(
        "sim-other-tenant",
        "The folder holds the state of another simulated tenant.",
        "use the seed and the people it was made with, or choose another folder",
    ),
    before(
        "sim-state-unreadable",
        "The simulated tenant's state cannot be understood.",
        "delete the folder to begin with a fresh tenant",
    ),
    before(
        "sim-build",
        "The simulated tenant could not be built.",
        "this is a fault of cutover; please report it",
    ),
];

/// What a failure without a code of its own is.
pub(super) fn of_exit(exit: Exit) -> &'static ProblemKind {
    match exit {
        Exit::Good | Exit::Findings | Exit::Unusable => &USAGE,
        Exit::Requested => &STOPPED,
        Exit::Fault | Exit::Stranded => &FAULT,
        Exit::Program => &INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn codes_in(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                codes_in(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let parts = text.split("code(").skip(1);
                let codes = parts.filter_map(|part| part.split_once(')'));
                let codes = codes.filter(|(code, _)| {
                    code.contains("::")
                        && code
                            .chars()
                            .all(|c| c.is_ascii_lowercase() || "_:".contains(c))
                });
                found.extend(codes.map(|(code, _)| super::super::exit::code_of_room(code)));
            }
        }
    }

    /// Every code of a diagnostic in the source has a page, and no page is of a code that nobody prints.
    #[test]
    fn every_code_that_a_room_gives_has_a_page_and_no_page_is_left_over() {
        let mut found = BTreeSet::new();
        codes_in(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut found,
        );
        assert!(found.contains("journal-no-run"), "{found:?}");
        let pages: BTreeSet<String> = ERRORS.iter().map(|kind| kind.code.to_owned()).collect();
        assert_eq!(pages.len(), ERRORS.len(), "two pages of one code");
        let missing: Vec<_> = found.difference(&pages).collect();
        assert!(missing.is_empty(), "without a page: {missing:?}");
        let of_rooms = pages.iter().filter(|code| {
            [
                "input-", "batch-", "anchor-", "target-", "journal-", "export-", "report-", "sim-",
            ]
            .iter()
            .any(|room| code.starts_with(room))
        });
        let stale: Vec<_> = of_rooms
            .filter(|code| !found.contains(*code) && *code != INPUT_UNUSABLE.code)
            .collect();
        assert!(stale.is_empty(), "nobody prints {stale:?}");
    }
}
