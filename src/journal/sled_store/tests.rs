//! What the checkpoint keeps, and what it does with a database that it cannot trust.

use std::fs;

use super::super::store::Entry;
use super::*;
use proptest::prelude::*;
use tempfile::TempDir;

fn open(dir: &TempDir) -> SledStore {
    let (store, set_aside) = SledStore::open(dir.path()).unwrap();
    assert_eq!(set_aside, None);
    store
}

fn put(store: &SledStore, key: impl Into<Vec<u8>>, value: &[u8]) {
    let mut batch = Batch::default();
    batch.insert(key.into(), Some(value.into()));
    store.apply(batch).unwrap();
}

fn db(store: &SledStore) -> &sled::Db {
    store.db.as_ref().unwrap()
}

fn keys(entries: impl Iterator<Item = Result<Entry, StoreError>>) -> Vec<Vec<u8>> {
    entries.map(|entry| entry.unwrap().0).collect()
}

/// A journal whose checkpoint holds one key and is closed.
fn closed_with(key: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(&open(&dir), key, b"value");
    dir
}

/// Opens what must be set aside; the fresh one is empty, works, and opens again.
fn set_aside_from(dir: &TempDir) -> SetAside {
    let (store, set_aside) = SledStore::open(dir.path()).unwrap();
    assert_eq!(keys(store.scan_prefix(b"")).len(), 0);
    put(&store, b"new", b"1");
    drop(store);
    assert_eq!(open(dir).get(b"new").unwrap(), Some(b"1".to_vec()));
    set_aside.unwrap()
}

#[test]
fn what_was_applied_is_there_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut batch = Batch::default();
    batch.insert(b"a".into(), Some(b"1".into()));
    batch.insert(b"b".into(), Some(b"2".into()));
    batch.insert(b"a".into(), None);
    store.apply(batch).unwrap();
    store.flush().unwrap();
    drop(store);
    let store = open(&dir);
    assert_eq!(store.get(b"a").unwrap(), None);
    assert_eq!(store.get(b"b").unwrap(), Some(b"2".to_vec()));
}

#[test]
fn entries_come_in_the_order_of_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for row in [3u32, 1, 256, 2] {
        put(&store, [b"row", row.to_be_bytes().as_slice()].concat(), b"");
    }
    put(&store, b"run", b"");
    let rows: Vec<u8> = keys(store.scan_prefix(b"row")).iter().map(|key| key[6]).collect();
    assert_eq!(rows, [1, 2, 3, 0]);
}

#[test]
fn of_several_changes_of_a_key_the_last_one_counts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut batch = Batch::default();
    for number in 0..1000u32 {
        batch.insert(number.to_be_bytes().into(), Some(b"value".into()));
        batch.insert(b"position".into(), Some(number.to_be_bytes().into()));
    }
    store.apply(batch).unwrap();
    assert_eq!(keys(store.scan_prefix(b"")).len(), 1001);
    assert_eq!(store.get(b"position").unwrap(), Some(999u32.to_be_bytes().to_vec()));
}

#[test]
fn a_database_that_does_not_open_is_set_aside() {
    let dir = closed_with(b"old");
    for number in 1..3 {
        fs::write(dir.path().join(DIRECTORY).join("conf"), "no configuration of sled's").unwrap();
        let SetAside { why, moved_to } = set_aside_from(&dir);
        assert!(matches!(why, Why::WouldNotOpen(_)), "{why:?}");
        assert_eq!(moved_to, dir.path().join(format!("checkpoint.damaged-{number}")));
        assert!(moved_to.join("conf").exists());
    }
}

#[test]
fn a_format_that_is_not_ours_is_set_aside() {
    let other = |format: u32| postcard::to_stdvec(&(format, Sum::default())).unwrap();
    for format in [other(FORMAT + 1), other(FORMAT - 1), vec![0; 16], vec![0xff]] {
        let dir = closed_with(b"old");
        let store = open(&dir);
        db(&store).insert(SUM_KEY, format).unwrap();
        drop(store);
        let set_aside = set_aside_from(&dir);
        assert_eq!(set_aside.why, Why::OtherFormat);
        assert!(set_aside.to_string().contains("checkpoint.damaged-1"), "{set_aside}");
    }
}

#[test]
fn a_database_that_knows_no_sum_is_set_aside_unless_it_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    drop(config(&dir.path().join(DIRECTORY)).open().unwrap());
    let store = open(&dir);
    put(&store, b"old", b"1");
    db(&store).remove(SUM_KEY).unwrap();
    drop(store);
    assert_eq!(set_aside_from(&dir).why, Why::OtherFormat);
}

/// What sled does not notice: an entry that is not there, is there again, or is as it was before.
#[test]
fn an_entry_that_is_not_as_it_was_written_sets_the_database_aside() {
    let removed = |db: &sled::Db| drop(db.remove(b"old").unwrap());
    let changed = |db: &sled::Db| drop(db.insert(b"old", b"earlier").unwrap());
    let added = |db: &sled::Db| drop(db.insert(b"gone", b"value").unwrap());
    let added_to_the_rows = |db: &sled::Db| drop(db.insert(b"sown", b"value").unwrap());
    type Damage<'d> = &'d dyn Fn(&sled::Db);
    let cases: [Damage<'_>; 4] = [&removed, &changed, &added, &added_to_the_rows];
    for damage in cases {
        let dir = closed_with(b"old");
        let store = open(&dir);
        damage(db(&store));
        drop(store);
        let why = set_aside_from(&dir).why;
        assert!(matches!(why, Why::NotWhole { .. }), "{why:?}");
    }
    let dir = closed_with(b"old");
    let store = open(&dir);
    db(&store).clear().unwrap();
    drop(store);
    // As good as new: everything is in the log.
    assert_eq!(keys(open(&dir).scan_prefix(b"")).len(), 0);
}

#[test]
fn the_sum_stands_for_what_is_there_after_every_kind_of_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut batch = Batch::default();
    for number in 0..300u32 {
        batch.insert((number % 200).to_be_bytes().into(), Some(number.to_be_bytes().into()));
    }
    batch.insert(b"twice".into(), Some(b"1".into()));
    batch.insert(b"twice".into(), None);
    batch.insert(b"never there".into(), None);
    batch.insert(b"twice".into(), Some(b"2".into()));
    store.apply(batch).unwrap();
    drop(store);
    let store = open(&dir);
    put(&store, b"twice", b"3");
    assert_eq!(keys(store.scan_prefix(b"")).len(), 201);
    drop(store);
    open(&dir);
}

#[test]
fn a_panic_is_an_error_with_its_message() {
    let path = Path::new("somewhere");
    let fixed = guarded::<()>(path, || panic!("at the disco")).unwrap_err();
    assert!(fixed.source.to_string().contains("it is damaged (at the disco)"), "{fixed}");
    let number = 7;
    let built = guarded::<()>(path, || panic!("{number} times")).unwrap_err();
    assert!(built.source.to_string().contains("(7 times)"), "{built}");
}

#[cfg(unix)]
#[test]
fn a_fault_of_the_system_sets_nothing_aside() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::PermissionDenied] {
        assert!(is_of_the_system(&kind.into()));
    }
    assert!(!is_of_the_system(&io::ErrorKind::UnexpectedEof.into()));
    assert!(!is_of_the_system(&in_words(sled::Error::ReportableBug(String::new()))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever happened to the file: it opens or is set aside, and reading never panics.
    #[test]
    fn damage_never_gets_through(at in any::<prop::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 1..64)) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let mut batch = Batch::default();
        for number in 0..500u32 {
            batch.insert(number.to_be_bytes().into(), Some(vec![7; 100]));
        }
        store.apply(batch).unwrap();
        drop(store);
        let path = dir.path().join(DIRECTORY).join("db");
        let mut content = fs::read(&path).unwrap();
        let at = at.index(content.len() - bytes.len());
        content[at..at + bytes.len()].copy_from_slice(&bytes);
        fs::write(&path, content).unwrap();

        let (store, set_aside) = SledStore::open(dir.path()).unwrap();
        let read = store.scan_prefix(b"").take(1000).take_while(Result::is_ok).count();
        prop_assert!(read <= 500);
        prop_assert!(set_aside.is_none() || read == 0);
    }
}
