//! The search for values that two rows have and only one may have.
//!
//! The first search remembers a short hash of each value, and no more: sorted, they show which values may stand in two
//! rows. Only if there are any, the file is read again, and these values are remembered with 128 bits of their SHA-256 and their
//! places; a chance collision among ten million rows has a probability of 10^-25. Both sort on disk when memory does not
//! suffice. All rows of a clash are reported, since none of them can be trusted, and in the order of the file. Values of one row
//! never clash with each other.

use super::column::{Column, Layout};
use super::external_sort::Sorter;
use crate::values::CellKind;
use sha2::{Digest as _, Sha256};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;

/// How many other lines a clash names. A person looks at the first few; a column full of one value has them all.
pub const OTHER_LINES_MAX: usize = 3;

/// Where a value stands: its row, its line and the index of its column.
type CellPlace = [u64; 3];

/// A row whose value another row has too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The row, from 1.
    pub row: u64,
    /// Its line in the file.
    pub line: u64,
    /// Index of the layout's column in which the value stands.
    pub column: usize,
    /// Lines of the other rows that have the value, the first few of them.
    pub other_lines: Vec<u64>,
    /// Whether there are more than those.
    pub more: bool,
}

impl Clash {
    /// The lines for a message: `line 9`, or `lines 9, 12, 40 and more`.
    pub fn describe_others(&self) -> String {
        let lines: Vec<String> = self.other_lines.iter().map(u64::to_string).collect();
        let plural = if lines.len() == 1 { "" } else { "s" };
        let more = if self.more { " and more" } else { "" };
        format!("line{plural} {}{more}", lines.join(", "))
    }
}

/// The values of a row that must be unique.
struct Unique {
    /// For each column of the layout, what kind it is and which group its values belong to.
    columns: Vec<(CellKind, Option<usize>)>,
    key: String,
}

impl Unique {
    fn new(layout: &Layout) -> Unique {
        let columns = &layout.columns;
        let group_of = |column: &Column| {
            let name = column.unique.as_ref()?;
            columns.iter().position(|other| other.unique.as_ref() == Some(name))
        };
        Unique { columns: columns.iter().map(|column| (column.kind, group_of(column))).collect(), key: String::new() }
    }

    /// Shows each value that must be unique as it is compared, with its column and its group.
    fn each(
        &mut self,
        values: &[Option<String>],
        mut show: impl FnMut(usize, usize, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        for (column, (value, (kind, group))) in values.iter().zip(&self.columns).enumerate() {
            let (Some(value), Some(group)) = (value, group) else {
                continue;
            };
            self.key.clear();
            kind.write_unique_key(value, &mut self.key);
            show(column, *group, &self.key)?;
        }
        Ok(())
    }
}

/// A hash that is quick and good enough for a first search.
fn short_hash(group: usize, key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (group, key).hash(&mut hasher);
    hasher.finish()
}

fn hash(group: usize, key: &str) -> [u64; 2] {
    let digest = Sha256::new().chain_update((group as u64).to_be_bytes()).chain_update(key).finalize();
    let (words, _) = digest.as_chunks();
    [u64::from_be_bytes(words[0]), u64::from_be_bytes(words[1])]
}

/// The first search, over every value: which of them may stand in two rows. It keeps no places, since nearly no value does.
pub struct Duplicates {
    unique: Unique,
    hashes: Sorter<1>,
    held_bytes_max: usize,
}

impl Duplicates {
    /// A search over the unique groups of a layout that holds so many bytes in memory, twice at most.
    pub fn new(layout: &Layout, held_bytes_max: usize) -> Duplicates {
        Duplicates { unique: Unique::new(layout), hashes: Sorter::new(held_bytes_max), held_bytes_max }
    }

    /// Remembers the values of a row, one per column of the layout.
    ///
    /// # Errors
    /// When a temporary file cannot be written.
    pub fn note(&mut self, values: &[Option<String>]) -> io::Result<()> {
        let mut of_row = Vec::new();
        self.unique.each(values, |_, group, key| {
            let hash = short_hash(group, key);
            if of_row.contains(&hash) {
                return Ok(());
            }
            of_row.push(hash);
            self.hashes.push([hash])
        })
    }

    /// The values that may stand in several rows; None where surely none does.
    ///
    /// # Errors
    /// When a temporary file cannot be written or read.
    pub fn finish(self) -> io::Result<Option<Suspects>> {
        let mut found = Vec::new();
        let mut last = None;
        for hash in self.hashes.finish()? {
            let [hash] = hash?;
            if last == Some(hash) && found.last() != Some(&hash) {
                found.push(hash);
            }
            last = Some(hash);
        }
        let is_too_many = size_of_val(found.as_slice()) > self.held_bytes_max;
        Ok((!found.is_empty()).then(|| Suspects {
            unique: self.unique,
            hashes: (!is_too_many).then_some(found),
            entries: Sorter::new(self.held_bytes_max),
            held_bytes_max: self.held_bytes_max,
        }))
    }
}

/// The second search, over the values that the first one has left: in which rows they stand.
pub struct Suspects {
    unique: Unique,
    /// Sorted; None where there are so many that every value is looked at.
    hashes: Option<Vec<u64>>,
    /// The two words of a hash, then the place.
    entries: Sorter<5>,
    held_bytes_max: usize,
}

impl Suspects {
    /// Remembers where the suspects among the values of a row stand.
    ///
    /// # Errors
    /// When a temporary file cannot be written.
    pub fn note(&mut self, row: u64, line: u64, values: &[Option<String>]) -> io::Result<()> {
        self.unique.each(values, |column, group, key| {
            let is_suspect = |hashes: &Vec<_>| hashes.binary_search(&short_hash(group, key)).is_ok();
            if !self.hashes.as_ref().is_none_or(is_suspect) {
                return Ok(());
            }
            let [high, low] = hash(group, key);
            self.entries.push([high, low, row, line, column as u64])
        })
    }

    /// Every row of every clash, in the order of rows.
    ///
    /// # Errors
    /// When a temporary file cannot be written or read.
    pub fn finish(self) -> io::Result<impl Iterator<Item = io::Result<Clash>>> {
        let mut clashes = Sorter::new(self.held_bytes_max);
        let mut same = SameValue::default();
        for entry in self.entries.finish()? {
            let [high, low, row, line, column] = entry?;
            if [high, low] != same.hash {
                same.tell(&mut clashes)?;
                same = SameValue { hash: [high, low], ..SameValue::default() };
            }
            same.add([row, line, column], &mut clashes)?;
        }
        same.tell(&mut clashes)?;
        let clash = |[row, line, column, more, others @ ..]: [u64; CLASH_WORDS]| {
            let other_lines = others.into_iter().filter(|line| *line != 0).collect();
            Clash { row, line, column: column as usize, other_lines, more: more != 0 }
        };
        Ok(clashes.finish()?.map(move |words| words.map(clash)))
    }
}

/// The place of a value, whether there are more other lines than are named, and these lines; zeros fill the rest.
const CLASH_WORDS: usize = 4 + OTHER_LINES_MAX;

/// The rows that have one value, as they come in the order of rows. Holds the first few only: once there are more
/// than a message names, each further row can be told at once.
#[derive(Default)]
struct SameValue {
    hash: [u64; 2],
    first: Vec<CellPlace>,
    last_row: u64,
    more: bool,
}

impl SameValue {
    fn add(&mut self, place: CellPlace, clashes: &mut Sorter<CLASH_WORDS>) -> io::Result<()> {
        if place[0] == self.last_row {
            return Ok(());
        }
        self.last_row = place[0];
        if self.first.len() <= OTHER_LINES_MAX {
            self.first.push(place);
            return Ok(());
        }
        self.more = true;
        clashes.push(self.clash_of(place))
    }

    /// Tells the rows that were held back until it was known how many there are.
    fn tell(&self, clashes: &mut Sorter<CLASH_WORDS>) -> io::Result<()> {
        if self.first.len() < 2 {
            return Ok(());
        }
        self.first.iter().try_for_each(|place| clashes.push(self.clash_of(*place)))
    }

    fn clash_of(&self, place: CellPlace) -> [u64; CLASH_WORDS] {
        let mut clash = [0; CLASH_WORDS];
        clash[..3].copy_from_slice(&place);
        clash[3] = u64::from(self.more);
        let others = self.first.iter().filter(|other| **other != place);
        clash[4..].iter_mut().zip(others).for_each(|(slot, [_, line, _])| *slot = *line);
        clash
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn layout() -> Layout {
        let column = |name: &str, group: &str| Column {
            name: name.into(),
            kind: CellKind::Text,
            aliases: vec![],
            required: false,
            unique: Some(group.into()),
        };
        Layout { columns: vec![column("a", "X"), column("b", "X"), column("c", "Y")], key: 0 }
    }

    fn clashes(rows: &[[Option<u8>; 3]], held_bytes_max: usize) -> Vec<Clash> {
        let value = |cell: Option<u8>| cell.map(|cell| cell.to_string());
        let rows = rows.iter().map(|cells| cells.map(value));
        let mut duplicates = Duplicates::new(&layout(), held_bytes_max);
        rows.clone().for_each(|values| duplicates.note(&values).unwrap());
        let Some(mut suspects) = duplicates.finish().unwrap() else {
            return Vec::new();
        };
        for (row, values) in (1..).zip(rows) {
            suspects.note(row, row + 1, &values).unwrap();
        }
        let clashes = suspects.finish().unwrap();
        clashes.collect::<io::Result<_>>().unwrap()
    }

    #[test]
    fn both_rows_of_a_clash_are_told_across_columns_of_a_group() {
        let found = clashes(&[[Some(1), None, Some(2)], [None, Some(1), Some(1)]], 1 << 20);
        let expected = [
            Clash { row: 1, line: 2, column: 0, other_lines: vec![3], more: false },
            Clash { row: 2, line: 3, column: 1, other_lines: vec![2], more: false },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn values_of_one_row_do_not_clash() {
        assert_eq!(clashes(&[[Some(1), Some(1), Some(1)]], 1 << 20), []);
    }

    #[test]
    fn many_rows_name_the_first_few_others() {
        let found = clashes(&[[Some(1), None, None]; 6], 0);
        assert_eq!(found.len(), 6);
        assert_eq!((&found[0].other_lines, found[0].more), (&vec![3, 4, 5], true));
        assert_eq!((&found[5].other_lines, found[5].more), (&vec![2, 3, 4], true));
        assert_eq!(found[5].describe_others(), "lines 2, 3, 4 and more");
        let four = clashes(&[[Some(1), None, None]; 4], 0);
        assert_eq!((&four[3].other_lines, four[3].more), (&vec![2, 3, 4], false));
    }

    proptest! {
        #[test]
        fn the_search_on_disk_finds_what_a_map_finds(
            rows: Vec<[Option<u8>; 3]>,
            few in proptest::collection::vec(proptest::array::uniform3(proptest::option::of(0u8..5)), 0..20),
            held_bytes_max in 0usize..200,
        ) {
            let rows = [rows, few].concat();
            let mut holders: BTreeMap<(bool, u8), BTreeSet<u64>> = BTreeMap::new();
            for (row, cells) in (1..).zip(&rows) {
                for (column, cell) in cells.iter().enumerate() {
                    if let Some(cell) = cell {
                        holders.entry((column == 2, *cell)).or_default().insert(row);
                    }
                }
            }
            let mut expected: Vec<u64> =
                holders.values().filter(|rows| rows.len() > 1).flatten().copied().collect();
            expected.sort_unstable();
            let found: Vec<u64> = clashes(&rows, held_bytes_max).iter().map(|clash| clash.row).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
