//! A CSV file of any bytes: refused as a whole, or read to rows and findings that have their places inside the file.

use cutover::batch::{Finding, Input, InputError, Layout, Row, Visit};
use cutover::values::Severity;
use std::io::Write as _;
use std::ops::ControlFlow;

/// Everything a second pass shows.
#[derive(Debug, PartialEq)]
struct Read {
    rows: Vec<(Row, Vec<Finding>)>,
    clashes: Vec<Finding>,
}

/// Reads the bytes as a batch for a layout, twice.
pub fn check(bytes: &[u8], layout: &Layout) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let input = match cutover::batch::open(file.path(), layout) {
        Ok(input) => input,
        Err(error) => return is_about_the_file(&error, lines_max(bytes)),
    };
    let lines = lines_max(bytes);
    input.findings.iter().for_each(|finding| {
        assert_eq!(finding.row, None);
        assert!(finding.line.is_none_or(|line| (1..=lines).contains(&line)));
    });
    match read(&input, layout) {
        Ok(found) => {
            stands_in_the_file(&found, &input, lines, bytes.len());
            assert_eq!(read(&input, layout).unwrap(), found);
        }
        Err(error) => is_about_the_file(&error, lines),
    }
}

fn read(input: &Input, layout: &Layout) -> Result<Read, InputError> {
    let (mut rows, mut clashes) = (Vec::new(), Vec::new());
    let mut keep = |visit| {
        match visit {
            Visit::Row { row, findings } => rows.push((row, findings)),
            Visit::Clash(finding) => clashes.push(finding),
        }
        ControlFlow::<()>::Continue(())
    };
    let ended = input.rows(layout, &mut |_, _| {}, &mut keep)?;
    assert_eq!(ended, ControlFlow::Continue(rows.len() as u64));
    Ok(Read { rows, clashes })
}

fn stands_in_the_file(found: &Read, input: &Input, lines: u64, bytes: usize) {
    let mut last_line = 0;
    for (number, (row, findings)) in (1..).zip(&found.rows) {
        assert_eq!(row.number, number);
        assert!(row.line > last_line && row.line <= lines, "{row:?}");
        last_line = row.line;
        assert_eq!(row.faulty, findings.iter().any(Finding::is_error));
        for finding in findings {
            assert_eq!(finding.row, Some(number));
            assert!(finding.line.is_some_and(|at| (row.line..=lines).contains(&at)));
        }
        let is_ragged = row.cells.len() != input.header.len();
        assert!(!is_ragged || row.faulty, "{row:?}");
    }
    for clash in &found.clashes {
        assert_eq!(clash.severity, Severity::Error);
        let row = clash.row.and_then(|row| found.rows.get(row as usize - 1));
        assert_eq!(row.map(|(row, _)| row.line), clash.line);
    }
    // No letter of any of the encodings takes more than three bytes for one in the file.
    let cells = found.rows.iter().flat_map(|(row, _)| &row.cells);
    assert!(cells.map(String::len).sum::<usize>() <= 3 * bytes);
}

/// A line end has one of these bytes in every encoding.
fn lines_max(bytes: &[u8]) -> u64 {
    1 + bytes.iter().filter(|byte| b"\r\n".contains(byte)).count() as u64
}

fn is_about_the_file(error: &InputError, lines: u64) {
    match error {
        InputError::Empty { .. } | InputError::Binary { .. } => {}
        InputError::NotText(_, line) | InputError::OpenQuote(_, line) | InputError::RecordTooLong(_, line, _) => {
            assert!((1..=lines).contains(line), "{error}");
        }
        InputError::Open { .. }
        | InputError::Read { .. }
        | InputError::Changed { .. }
        | InputError::Temporary { .. } => panic!("{error:?}"),
    }
}
