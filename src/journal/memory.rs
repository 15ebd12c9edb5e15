//! A medium in memory, for tests that must see what a disk does at its worst: it loses what was not synced, and fails at a
//! chosen call. It is no place to keep anything.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::medium::Medium;

/// Bytes in memory that know which of them would survive a power cut. A clone is a second handle on the same bytes.
#[derive(Debug, Clone, Default)]
pub struct MemoryMedium {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    written: Vec<u8>,
    durable: Vec<u8>,
    // Everything before this index is the same in both, so a sync copies only what is new.
    same_until: usize,
    syncs: u64,
    // Writing calls until one fails.
    calls_until_failure: Option<u32>,
    // Bytes that can still be written; none means no end of them.
    free_bytes: Option<usize>,
    // Bytes to be given up when there are no free ones.
    reserve_bytes: usize,
}

impl MemoryMedium {
    /// A medium that holds these bytes already, all of them durable.
    #[must_use]
    pub fn holding(bytes: Vec<u8>) -> MemoryMedium {
        let disk = Disk {
            durable: bytes.clone(),
            same_until: bytes.len(),
            written: bytes,
            ..Disk::default()
        };
        MemoryMedium {
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    /// A power cut after which the first `kept_bytes_max` bytes of what was not synced happen to have reached the disk:
    /// 0 is the worst case that the promise of [`Medium::sync`] allows.
    pub fn cut_power(&self, kept_bytes_max: usize) {
        let mut disk = self.disk();
        let kept_until = disk
            .durable
            .len()
            .saturating_add(kept_bytes_max)
            .min(disk.written.len());
        let mut survived = disk.durable.clone();
        if kept_until > survived.len() {
            survived.extend_from_slice(&disk.written[disk.durable.len()..kept_until]);
        }
        disk.same_until = survived.len();
        disk.written.clone_from(&survived);
        disk.durable = survived;
    }

    /// Makes one call of `append` or `sync` fail after `calls` more that succeed; of a failed append, half is written. The
    /// calls after it succeed again, as the kernel's do.
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
        if calls == 0 {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
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

impl Medium for MemoryMedium {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        let result = disk.may_fail();
        let wanted = if result.is_ok() {
            bytes.len()
        } else {
            bytes.len() / 2
        };
        let written = disk.take_room(wanted);
        disk.written.extend_from_slice(&bytes[..written]);
        if written < wanted {
            return Err(io::ErrorKind::StorageFull.into());
        }
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut guard = self.disk();
        let disk = &mut *guard;
        disk.may_fail()?;
        disk.durable.truncate(disk.same_until);
        disk.durable
            .extend_from_slice(&disk.written[disk.same_until..]);
        disk.same_until = disk.written.len();
        disk.syncs += 1;
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().written.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let disk = self.disk();
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(disk.written.len());
        let count = buf.len().min(disk.written.len() - start);
        buf[..count].copy_from_slice(&disk.written[start..start + count]);
        Ok(count)
    }

    fn rewrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        disk.written[start..start + bytes.len()].copy_from_slice(bytes);
        disk.same_until = disk.same_until.min(start);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.disk();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let cut = disk.written.len().saturating_sub(len);
        disk.free_bytes = disk.free_bytes.map(|free| free + cut);
        disk.written.truncate(len);
        disk.same_until = disk.same_until.min(len);
        Ok(())
    }

    fn give_up_reserve(&mut self) -> io::Result<bool> {
        let mut disk = self.disk();
        let reserve = std::mem::take(&mut disk.reserve_bytes);
        disk.free_bytes = disk.free_bytes.map(|free| free + reserve);
        Ok(reserve > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::medium::tests::keeps_the_contract;

    #[test]
    fn memory_keeps_the_contract() {
        keeps_the_contract(MemoryMedium::default());
    }

    #[test]
    fn one_call_fails_and_the_next_succeeds() {
        let mut medium = MemoryMedium::default();
        medium.fail_after(1);
        medium.append(b"good").unwrap();
        assert!(medium.append(b"half").is_err());
        assert_eq!(medium.bytes(), b"goodha");
        medium.fail_after(0);
        assert!(medium.sync().is_err());
        medium.sync().unwrap();
        medium.append(b"!").unwrap();
        medium.cut_power(0);
        assert_eq!(medium.bytes(), b"goodha");
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_has_a_reserve_once() {
        let mut medium = MemoryMedium::default();
        medium.limit_room(3, 2);
        assert!(medium.append(b"abcd").is_err());
        assert_eq!(medium.bytes(), b"abc");
        medium.truncate(1).unwrap();
        medium.append(b"BC").unwrap();
        assert!(medium.give_up_reserve().unwrap());
        medium.append(b"DE").unwrap();
        assert!(!medium.give_up_reserve().unwrap());
        assert!(medium.append(b"F").is_err());
        assert_eq!(medium.bytes(), b"aBCDE");
    }

    #[test]
    fn a_power_cut_loses_what_was_not_synced() {
        let mut medium = MemoryMedium::default();
        medium.append(b"safe").unwrap();
        medium.sync().unwrap();
        medium.append(b"lost").unwrap();
        let handle = medium.clone();
        handle.cut_power(0);
        assert_eq!(medium.bytes(), b"safe");

        medium.append(b"half").unwrap();
        handle.cut_power(2);
        assert_eq!(medium.bytes(), b"safeha");
    }

    #[test]
    fn a_power_cut_brings_back_what_was_cut_off_without_a_sync() {
        let mut medium = MemoryMedium::holding(b"abcdef".to_vec());
        medium.truncate(2).unwrap();
        medium.append(b"X").unwrap();
        medium.cut_power(0);
        assert_eq!(medium.bytes(), b"abcdef");
        medium.truncate(2).unwrap();
        medium.append(b"X").unwrap();
        medium.sync().unwrap();
        medium.cut_power(0);
        assert_eq!(medium.bytes(), b"abX");
    }
}
