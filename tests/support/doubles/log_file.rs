//! A disk in memory, for tests that must see what a disk does at its worst: after a power cut it holds any part of what was
//! not synced, and it fails at a chosen call. It is no place to keep anything.
//!
//! What the model knows of disks and file systems: a sector is written whole or not at all, and sectors arrive in any
//! order; the length of a file arrives by itself, before or after the data that it is for; where data did not arrive there
//! are zeros, or whatever lay on the disk at that place before; a file that was cut may be as long again as it was.
//! What it does not know: bytes that rot, and barriers that lie.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutover::journal::log_file::LogFile;

/// Bytes that a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// Bytes in memory that know which of them would survive a power cut. A clone is a second handle on the same bytes.
#[derive(Debug, Clone, Default)]
pub struct MemoryLogFile {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Clone, Default)]
struct Disk {
    /// The file as programs see it.
    written: Vec<u8>,
    /// What lies on the disk. Behind the durable length it belongs to no file, but is not gone.
    platter: Vec<u8>,
    durable_len: usize,
    /// What was done since the last sync, in order.
    pending: Vec<Change>,
    syncs: u64,
    // Writing calls until one fails.
    calls_until_failure: Option<u32>,
    // Bytes that can still be written; none means no end of them.
    free_bytes: Option<usize>,
    // Bytes to be given up when there are no free ones.
    reserve_bytes: usize,
}

#[derive(Debug, Clone)]
enum Change {
    Wrote { at: usize, bytes: Vec<u8> },
    Cut { len: usize },
}

impl MemoryLogFile {
    /// A medium that holds these bytes already, all of them durable.
    #[must_use]
    pub fn holding(bytes: Vec<u8>) -> MemoryLogFile {
        let disk = Disk { durable_len: bytes.len(), platter: bytes.clone(), written: bytes, ..Disk::default() };
        MemoryLogFile::of(disk)
    }

    fn of(disk: Disk) -> MemoryLogFile {
        MemoryLogFile { disk: Arc::new(Mutex::new(disk)) }
    }

    /// Another disk with the same past, on which something else may happen.
    #[must_use]
    pub fn fork(&self) -> MemoryLogFile {
        MemoryLogFile::of(self.disk().clone())
    }

    /// A power cut after which the first `kept_bytes_max` bytes of what was not synced happen to have reached the disk:
    /// 0 is the worst case that the promise of [`LogFile::sync`] allows.
    pub fn cut_power(&self, kept_bytes_max: usize) {
        let mut disk = self.disk();
        let durable = disk.durable_len;
        let kept_until = durable.saturating_add(kept_bytes_max).min(disk.written.len());
        if kept_until > durable {
            let kept = disk.written[durable..kept_until].to_vec();
            disk.lay(durable, &kept);
        }
        disk.come_back(kept_until.max(durable));
    }

    /// A power cut after which any part of what was not synced has reached the disk. `choose(n)` decides by a number below
    /// `n`: a random one, or each in turn. One that always says 0 leaves exactly what was durable.
    pub fn cut_power_by(&self, mut choose: impl FnMut(usize) -> usize) {
        let mut disk = self.disk();
        let lengths = disk.possible_lengths();
        let len = lengths[choose(lengths.len())];
        for sector in disk.doubtful_sectors() {
            let contents = disk.possible_contents(sector);
            disk.lay(sector * SECTOR_BYTES, &contents[choose(contents.len())]);
        }
        disk.come_back(len);
    }

    /// Makes one call of `append` or `sync` fail after `calls` more that succeed; of a failed append, half is written, and
    /// what a failed sync was for does not reach the disk unless it is written again. The calls after it succeed, as the
    /// kernel's do.
    pub fn fail_after(&self, calls: u32) {
        self.disk().calls_until_failure = Some(calls);
    }

    /// A disk with so many bytes free, and so many more kept back as a reserve. An append that does not fit writes as much
    /// as does.
    pub fn limit_room(&self, free_bytes: usize, reserve_bytes: usize) {
        let mut disk = self.disk();
        disk.free_bytes = Some(free_bytes);
        disk.reserve_bytes = reserve_bytes;
    }

    /// A copy of all bytes, durable or not.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.disk().written.clone()
    }

    /// How many barriers were made.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // Bytes have no state half way that a panicking thread could leave behind.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn may_fail(&mut self) -> io::Result<()> {
        let Some(calls) = self.calls_until_failure else {
            return Ok(());
        };
        self.calls_until_failure = calls.checked_sub(1);
        if calls == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn lay(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.platter.len() < end {
            self.platter.resize(end, 0);
        }
        self.platter[at..end].copy_from_slice(bytes);
    }

    /// The file as the disk has it now, found after the power is back.
    fn come_back(&mut self, len: usize) {
        if self.platter.len() < len {
            self.platter.resize(len, 0);
        }
        self.durable_len = len;
        self.written = self.platter[..len].to_vec();
        self.pending.clear();
    }

    /// Every length that the file may have after a cut: the durable one, and what each change made of it, a long write
    /// sector by sector.
    fn possible_lengths(&self) -> Vec<usize> {
        let mut len = self.durable_len;
        let mut lengths = vec![len];
        for change in &self.pending {
            match change {
                Change::Wrote { at, bytes } => {
                    let end = len.max(at + bytes.len());
                    let first = (len / SECTOR_BYTES + 1) * SECTOR_BYTES;
                    lengths.extend((first..end).step_by(SECTOR_BYTES));
                    len = end;
                }
                Change::Cut { len: shorter } => len = *shorter,
            }
            lengths.push(len);
        }
        let mut seen = std::collections::BTreeSet::new();
        lengths.retain(|len| seen.insert(*len));
        lengths
    }

    fn doubtful_sectors(&self) -> std::ops::Range<usize> {
        let places = self.pending.iter().map(|change| match change {
            Change::Wrote { at, bytes } => (*at, at + bytes.len()),
            Change::Cut { len } => (*len, *len),
        });
        let from = places.clone().map(|(from, _)| from).min();
        let until = places.map(|(_, until)| until).max();
        let until = until.unwrap_or(0).max(self.durable_len);
        match from {
            Some(from) => from / SECTOR_BYTES..until.div_ceil(SECTOR_BYTES),
            None => 0..0,
        }
    }

    /// What a sector may hold after a cut: what lies there, the same with zeros behind the durable end, and what each change
    /// made of it.
    fn possible_contents(&self, sector: usize) -> Vec<[u8; SECTOR_BYTES]> {
        let start = sector * SECTOR_BYTES;
        let mut contents = vec![self.on_platter(start)];
        let mut content = contents[0];
        content[self.durable_len.saturating_sub(start).min(SECTOR_BYTES)..].fill(0);
        let mut add = |content: &[u8; SECTOR_BYTES]| {
            if !contents.contains(content) {
                contents.push(*content);
            }
        };
        add(&content);
        for change in &self.pending {
            match change {
                Change::Wrote { at, bytes } => overlay(&mut content, start, *at, bytes),
                Change::Cut { len } => {
                    content[len.saturating_sub(start).min(SECTOR_BYTES)..].fill(0);
                }
            }
            add(&content);
        }
        contents
    }

    fn on_platter(&self, start: usize) -> [u8; SECTOR_BYTES] {
        let mut content = [0; SECTOR_BYTES];
        let start = start.min(self.platter.len());
        let end = (start + SECTOR_BYTES).min(self.platter.len());
        content[..end - start].copy_from_slice(&self.platter[start..end]);
        content
    }

    /// Everything since the last sync arrives.
    fn settle(&mut self) {
        let end = self.written.len();
        for change in std::mem::take(&mut self.pending) {
            if let Change::Wrote { at, bytes } = change {
                self.lay(at, &bytes);
                if at + bytes.len() == end {
                    // The last sector is written whole, with zeros behind the file's end.
                    self.lay(end, &vec![0; end.next_multiple_of(SECTOR_BYTES) - end]);
                }
            }
        }
        self.durable_len = end;
    }
}

/// Puts the part of `bytes` (which lie from `at` on) that falls into the sector (which lies from `start` on).
fn overlay(content: &mut [u8; SECTOR_BYTES], start: usize, at: usize, bytes: &[u8]) {
    let from = at.max(start);
    let until = (at + bytes.len()).min(start + SECTOR_BYTES);
    if from < until {
        content[from - start..until - start].copy_from_slice(&bytes[from - at..until - at]);
    }
}

impl Disk {
    /// Takes room for bytes as far as there is any; answers for how many.
    fn take_room(&mut self, wanted: usize) -> usize {
        let Some(free) = &mut self.free_bytes else {
            return wanted;
        };
        let taken = wanted.min(*free);
        *free -= taken;
        taken
    }
}

impl LogFile for MemoryLogFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        let result = disk.may_fail();
        let wanted = if result.is_ok() { bytes.len() } else { bytes.len() / 2 };
        let count = disk.take_room(wanted);
        let at = disk.written.len();
        let taken = bytes[..count].to_vec();
        disk.written.extend_from_slice(&taken);
        disk.pending.push(Change::Wrote { at, bytes: taken });
        if count < wanted {
            return Err(io::ErrorKind::StorageFull.into());
        }
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk();
        let result = disk.may_fail();
        if result.is_err() {
            // As Linux does it: these bytes count as written from now on, and no later sync asks for them.
            disk.pending.clear();
            return result;
        }
        disk.settle();
        disk.syncs += 1;
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().written.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let disk = self.disk();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(disk.written.len());
        let count = buf.len().min(disk.written.len() - start);
        buf[..count].copy_from_slice(&disk.written[start..start + count]);
        Ok(count)
    }

    fn rewrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        disk.written[start..start + bytes.len()].copy_from_slice(bytes);
        disk.pending.push(Change::Wrote { at: start, bytes: bytes.to_vec() });
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.disk();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let cut = disk.written.len().saturating_sub(len);
        disk.free_bytes = disk.free_bytes.map(|free| free + cut);
        if cut > 0 {
            disk.written.truncate(len);
            disk.pending.push(Change::Cut { len });
        }
        Ok(())
    }

    fn give_up_reserve(&mut self) -> io::Result<bool> {
        let mut disk = self.disk();
        let reserve = std::mem::take(&mut disk.reserve_bytes);
        disk.free_bytes = disk.free_bytes.map(|free| free + reserve);
        Ok(reserve > 0)
    }
}

/// All ways to choose, one after the other: as a counter whose digits have each a base of their own.
#[derive(Debug, Default)]
pub struct Choices {
    digits: Vec<(usize, usize)>,
    at: usize,
    begun: bool,
}

impl Choices {
    /// The next choice of this way.
    pub fn choose(&mut self, count: usize) -> usize {
        if self.at == self.digits.len() {
            self.digits.push((0, count));
        }
        let (digit, base) = self.digits[self.at];
        assert_eq!(base, count, "the same choices lead to the same question");
        self.at += 1;
        digit
    }

    /// Goes on to the next way; false when there is none.
    pub fn again(&mut self) -> bool {
        self.at = 0;
        if !std::mem::replace(&mut self.begun, true) {
            return true;
        }
        while let Some((digit, base)) = self.digits.pop() {
            if digit + 1 < base {
                self.digits.push((digit + 1, base));
                return true;
            }
        }
        false
    }
}
