//! A disk that does what disks may do: it forgets what was not synced, sector by sector and by chance, keeps a length
//! without its data, and after a sync that failed holds the lost bytes in its cache as if they were safe.

use super::world::World;
use crate::doubles::MemoryStore;
use cutover::journal::log_file::LogFile;
use cutover::journal::storage::Storage;
use cutover::journal::store::{Batch, Entries, Store, StoreError};
use cutover::journal::{JournalError, RunId};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What a drive writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// Where a process can die while it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskEdge {
    BeforeAppend,
    HalfAppended,
    BeforeSync,
    AfterSync,
    BeforeCheckpoint,
}

/// One file: what reads see, and what is on the platter.
#[derive(Debug, Default)]
pub struct Platter {
    cache: Vec<u8>,
    safe: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Platter {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        if self.cache.len() < at + bytes.len() {
            self.cache.resize(at + bytes.len(), 0);
        }
        self.cache[at..at + bytes.len()].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(at / SECTOR..=(at + bytes.len() - 1) / SECTOR);
        }
    }

    fn sync(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        self.safe.resize(self.cache.len(), 0);
        for sector in dirty {
            self.write_back(sector);
        }
    }

    /// The kernel tells once that pages could not be written, and then takes them for clean.
    fn forget_dirty(&mut self) {
        self.dirty.clear();
    }

    fn write_back(&mut self, sector: usize) {
        let from = sector * SECTOR;
        let to = (from + SECTOR).min(self.cache.len()).min(self.safe.len());
        if from < to {
            self.safe[from..to].copy_from_slice(&self.cache[from..to]);
        }
    }

    /// The power fails. Any of the sectors that were not synced may have been written, and so may the length.
    pub fn cut_power(&mut self, dice: &mut ChaCha8Rng) {
        let (shorter, longer) = (self.safe.len().min(self.cache.len()), self.safe.len().max(self.cache.len()));
        let len = match dice.random_range(0..3) {
            0 => self.safe.len(),
            1 => self.cache.len(),
            _ => dice.random_range(shorter..=longer),
        };
        self.safe.resize(len, 0);
        for sector in std::mem::take(&mut self.dirty) {
            if dice.random::<bool>() {
                self.write_back(sector);
            }
        }
        self.cache.clone_from(&self.safe);
    }

    /// The bytes that a process sees.
    pub fn there(&self) -> &[u8] {
        &self.cache
    }

    /// The bytes that would be there after a power cut at its worst.
    pub fn safe(&self) -> &[u8] {
        &self.safe
    }
}

type File = Arc<Mutex<Platter>>;

/// The logs of a simulated journal.
pub struct SimDisk {
    world: Arc<World>,
    files: Mutex<BTreeMap<RunId, File>>,
}

impl SimDisk {
    pub fn new(world: &Arc<World>) -> Arc<SimDisk> {
        Arc::new(SimDisk { world: Arc::clone(world), files: Mutex::default() })
    }

    pub fn file(&self, run: RunId) -> Option<File> {
        self.files.lock().unwrap().get(&run).cloned()
    }

    /// The bytes of all logs, as a process sees them.
    pub fn logs(&self) -> Vec<Vec<u8>> {
        let files = self.files.lock().unwrap();
        files.values().map(|file| file.lock().unwrap().there().to_vec()).collect()
    }

    pub fn cut_power(&self, dice: &mut ChaCha8Rng) {
        for file in self.files.lock().unwrap().values() {
            file.lock().unwrap().cut_power(dice);
        }
    }

    fn must_live(&self, run: RunId) -> Result<(), JournalError> {
        if self.world.is_dead() {
            return Err(self.failed(run, dead()));
        }
        Ok(())
    }

    fn medium(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError> {
        let missing = || self.failed(run, io::ErrorKind::NotFound.into());
        let file = self.file(run).ok_or_else(missing)?;
        Ok(Box::new(SimMedium { world: Arc::clone(&self.world), file, reserve: true }))
    }
}

impl Storage for SimDisk {
    fn logs(&self) -> Result<Vec<RunId>, JournalError> {
        Ok(self.files.lock().unwrap().keys().copied().collect())
    }

    fn create(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError> {
        self.must_live(run)?;
        self.files.lock().unwrap().insert(run, Arc::new(Mutex::default()));
        self.medium(run)
    }

    fn open(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError> {
        self.medium(run)
    }

    fn open_to_read(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError> {
        self.medium(run)
    }

    fn remove(&self, run: RunId) -> Result<(), JournalError> {
        self.must_live(run)?;
        self.files.lock().unwrap().remove(&run);
        Ok(())
    }

    fn failed(&self, run: RunId, source: io::Error) -> JournalError {
        JournalError::File { what: "log", path: PathBuf::from(run.to_string()), source }
    }
}

struct SimMedium {
    world: Arc<World>,
    file: File,
    /// Something is kept back for a full disk.
    reserve: bool,
}

/// What a dead process hears; nobody listens any more.
fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl LogFile for SimMedium {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.world.lives_past(DiskEdge::BeforeAppend.into()) {
            return Err(dead());
        }
        let mut file = self.file.lock().unwrap();
        let end = file.cache.len();
        let half = bytes.len() / 2;
        file.write(end, &bytes[..half]);
        if !self.world.lives_past(DiskEdge::HalfAppended.into()) {
            return Err(dead());
        }
        if self.world.disk_fails() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write(end + half, &bytes[half..]);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if !self.world.lives_past(DiskEdge::BeforeSync.into()) {
            return Err(dead());
        }
        let mut file = self.file.lock().unwrap();
        if self.world.disk_fails() {
            file.forget_dirty();
            return Err(io::Error::other("input/output error"));
        }
        file.sync();
        if !self.world.lives_past(DiskEdge::AfterSync.into()) {
            return Err(dead());
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.lock().unwrap().cache.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let file = self.file.lock().unwrap();
        let start = usize::try_from(offset).unwrap().min(file.cache.len());
        let count = buf.len().min(file.cache.len() - start);
        buf[..count].copy_from_slice(&file.cache[start..start + count]);
        Ok(count)
    }

    fn rewrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.world.is_dead() {
            return Err(dead());
        }
        let mut file = self.file.lock().unwrap();
        file.write(usize::try_from(offset).unwrap(), bytes);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        if self.world.is_dead() {
            return Err(dead());
        }
        let mut file = self.file.lock().unwrap();
        let len = usize::try_from(len).unwrap();
        file.cache.truncate(len);
        file.dirty.retain(|sector| sector * SECTOR < len);
        Ok(())
    }

    fn give_up_reserve(&mut self) -> io::Result<bool> {
        Ok(std::mem::take(&mut self.reserve))
    }
}

/// The checkpoint of a simulated journal: a dead process writes nothing to it.
#[derive(Clone)]
pub struct SimStore {
    pub memory: MemoryStore,
    pub world: Arc<World>,
}

impl Store for SimStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.get(key)
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Entries<'_> {
        self.memory.scan_prefix(prefix)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        if self.world.lives_past(DiskEdge::BeforeCheckpoint.into()) { self.memory.apply(batch) } else { Ok(()) }
    }

    fn flush(&self) -> Result<(), StoreError> {
        if self.world.is_dead() { Ok(()) } else { self.memory.flush() }
    }
}
