//! A store of documents with the indices that make look-ups quick: by id, by address, by ImmutableID, by directory role, and
//! for deleted users by the end of their UPN. It stores whatever it is given; the rules are elsewhere. Texts are indexed by
//! fingerprints of 16 bytes, since a second copy of every UPN would cost much memory.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use uuid::Uuid;

use super::chance;
use super::document::{Document, text};
use super::user::{self, Collection, DirectoryRole};

/// Where a document stands; a purged one's place stays empty, so the order of a listing never changes.
pub(super) type Slot = u32;

/// 16 bytes in place of a text. Two of a thousand million texts share one with a chance of about 10^-21.
type Fingerprint = [u8; 16];

/// A text that a look-up compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexKey<'a> {
    /// A UPN or a mail address, in any case: one name space, as a new UPN may not be another user's address.
    Address(&'a str),
    /// An ImmutableID, to the letter.
    Anchor(&'a str),
}

impl<'a> IndexKey<'a> {
    pub(super) fn text(self) -> &'a str {
        match self {
            Self::Address(text) | Self::Anchor(text) => text,
        }
    }
}

fn fingerprint(collection: Collection, key: IndexKey<'_>) -> Fingerprint {
    let digest = match key {
        IndexKey::Address(address) => chance::digest(0, "address", &address.to_ascii_lowercase()),
        IndexKey::Anchor(anchor) => chance::digest(0, "anchor", anchor),
    };
    let mut print = chance::first_half(&digest);
    print[0] = (print[0] & 0xfe) | u8::from(collection == Collection::Live);
    print
}

#[derive(Debug, Default)]
pub(super) struct DocumentStore {
    slots: Vec<Option<Document>>,
    by_id: HashMap<Uuid, Slot>,
    index: BTreeSet<(Fingerprint, Slot)>,
    /// UPNs of deleted users, lower case and backwards, so that "ends with" is a range.
    deleted_by_tail: BTreeSet<(Box<[u8]>, Slot)>,
    /// Live users who hold a directory role or may activate one.
    privileged: BTreeSet<Slot>,
}

impl DocumentStore {
    pub(super) fn with_capacity(documents: usize) -> Self {
        Self { slots: Vec::with_capacity(documents), by_id: HashMap::with_capacity(documents), ..Self::default() }
    }

    /// One more than the highest slot in use.
    pub(super) fn slots(&self) -> Slot {
        Slot::try_from(self.slots.len()).unwrap_or(Slot::MAX)
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Document> {
        self.slots.get(usize_of(slot))?.as_ref()
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = &Document> {
        self.slots.iter().flatten()
    }

    pub(super) fn slot_of(&self, id: Uuid) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn by_id(&self, id: Uuid) -> Option<&Document> {
        self.get(self.slot_of(id)?)
    }

    /// Those with this address or ImmutableID, in order.
    pub(super) fn with(&self, collection: Collection, key: IndexKey<'_>) -> impl Iterator<Item = Slot> + use<'_> {
        let print = fingerprint(collection, key);
        self.index.range((print, 0)..=(print, Slot::MAX)).map(|(_, slot)| *slot)
    }

    /// The live user with this UPN.
    pub(super) fn live_by_upn(&self, upn: &str) -> Option<Slot> {
        let mut found = self.with(Collection::Live, IndexKey::Address(upn));
        found.find(|slot| {
            let own = self.get(*slot).and_then(|user| text(user, "userPrincipalName"));
            own.is_some_and(|own| own.eq_ignore_ascii_case(upn))
        })
    }

    /// Deleted users whose UPN ends with the text, whatever its case.
    pub(super) fn deleted_with_tail(&self, tail: &str) -> impl Iterator<Item = Slot> + use<'_> {
        let wanted = backwards(tail);
        let range = self.deleted_by_tail.range((Bound::Included((wanted.clone(), 0)), Bound::Unbounded));
        range.take_while(move |(text, _)| text.starts_with(&wanted)).map(|(_, slot)| *slot)
    }

    /// Live users who hold a directory role or may activate one, in order.
    pub(super) fn privileged(&self) -> impl Iterator<Item = &Document> {
        self.privileged.iter().filter_map(|slot| self.get(*slot))
    }

    /// The live user who keeps one of these from others, unless it is `own`.
    pub(super) fn holder(&self, key: IndexKey<'_>, own: Option<Slot>) -> Option<Slot> {
        self.with(Collection::Live, key).find(|slot| Some(*slot) != own)
    }

    /// Whether nobody live holds one of the user's addresses or its ImmutableID. Always true of a deleted user.
    pub(super) fn has_room_for(&self, user: &Document) -> bool {
        Collection::of(user) == Collection::Deleted || keys(user).all(|(_, key)| self.holder(key, None).is_none())
    }

    /// Puts a document in, in place of the one with the same id; gives the slot and what was there.
    pub(super) fn put(&mut self, document: Document) -> (Slot, Option<Document>) {
        let id = user::id(&document);
        let slot = self.slot_of(id).unwrap_or_else(|| self.slots());
        let before = self.take(slot);
        if slot == self.slots() {
            self.slots.push(None);
        }
        self.by_id.insert(id, slot);
        self.index(slot, &document);
        self.slots[usize_of(slot)] = Some(document);
        (slot, before)
    }

    /// Removes a document for good.
    pub(super) fn purge(&mut self, id: Uuid) -> Option<(Slot, Document)> {
        let slot = self.by_id.remove(&id)?;
        self.take(slot).map(|document| (slot, document))
    }

    fn take(&mut self, slot: Slot) -> Option<Document> {
        let document = self.slots.get_mut(usize_of(slot))?.take()?;
        let collection = Collection::of(&document);
        for (_, key) in keys(&document) {
            self.index.remove(&(fingerprint(collection, key), slot));
        }
        self.privileged.remove(&slot);
        self.deleted_by_tail.remove(&(backwards(user::upn(&document)), slot));
        Some(document)
    }

    fn index(&mut self, slot: Slot, document: &Document) {
        let collection = Collection::of(document);
        for (_, key) in keys(document) {
            self.index.insert((fingerprint(collection, key), slot));
        }
        if collection == Collection::Deleted {
            self.deleted_by_tail.insert((backwards(user::upn(document)), slot));
        } else if user::role(document) != DirectoryRole::Ordinary {
            self.privileged.insert(slot);
        }
    }
}

/// What a live user keeps from others, by property.
pub(super) fn keys(user: &Document) -> impl Iterator<Item = (&'static str, IndexKey<'_>)> {
    let indexed: [(_, fn(_) -> _); 3] = [
        ("userPrincipalName", IndexKey::Address),
        ("mail", IndexKey::Address),
        ("onPremisesImmutableId", IndexKey::Anchor),
    ];
    indexed.into_iter().filter_map(|(name, key)| Some((name, key(text(user, name)?))))
}

fn backwards(text: &str) -> Box<[u8]> {
    text.bytes().rev().map(|byte| byte.to_ascii_lowercase()).collect()
}

fn usize_of(slot: Slot) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::clock::SimTime;

    fn user(n: u8, upn: &str, anchor: Option<&str>) -> Document {
        user::document(chance::uuid([n; 16]), upn, anchor)
    }

    fn deleted(store: &DocumentStore, key: IndexKey<'_>) -> Vec<Slot> {
        store.with(Collection::Deleted, key).collect()
    }

    #[test]
    fn a_moved_user_is_found_by_the_new_name_and_keeps_the_old_address() {
        let mut store = DocumentStore::default();
        let mut anna = user(1, "anna@contoso.com", Some("A=="));
        store.put(anna.clone());
        anna.insert("userPrincipalName".into(), "tmp@contoso.com".into());
        let (slot, before) = store.put(anna);
        assert_eq!(before.unwrap()["userPrincipalName"], "anna@contoso.com");
        assert_eq!(store.live_by_upn("TMP@contoso.com"), Some(slot));
        assert_eq!(store.live_by_upn("anna@contoso.com"), None);
        assert_eq!(store.holder(IndexKey::Address("anna@contoso.com"), None), Some(slot));
        assert_eq!(store.holder(IndexKey::Anchor("a=="), None), None, "anchors are case-sensitive");
    }

    #[test]
    fn deleted_users_are_found_by_tail_and_mail_and_hold_nothing() {
        let mut store = DocumentStore::default();
        let anna = user::deleted(&user(1, "anna@contoso.com", Some("A==")), SimTime(0));
        let (slot, _) = store.put(anna.clone());
        let tail = |store: &DocumentStore, tail: &str| store.deleted_with_tail(tail).collect::<Vec<_>>();
        assert_eq!(tail(&store, "NNA@contoso.com"), [slot]);
        assert_eq!(tail(&store, user::upn(&anna)), [slot]);
        assert_eq!(deleted(&store, IndexKey::Address("Anna@contoso.com")), [slot]);
        assert_eq!(deleted(&store, IndexKey::Anchor("A==")), [slot]);
        assert!(deleted(&store, IndexKey::Anchor("a==")).is_empty());
        assert!(store.has_room_for(&user(2, "anna@contoso.com", Some("A=="))));
        assert!(store.purge(user::id(&anna)).is_some());
        assert!(tail(&store, "contoso.com").is_empty() && store.get(slot).is_none());
        assert!(deleted(&store, IndexKey::Anchor("A==")).is_empty());
    }

    #[test]
    fn only_live_users_with_a_role_are_privileged() {
        let mut store = DocumentStore::default();
        let roles = [DirectoryRole::Ordinary, DirectoryRole::Holder, DirectoryRole::Eligible];
        for (n, role) in (1..).zip(roles) {
            let mut user = user(n, &format!("user{n}@contoso.com"), None);
            user::set_role(&mut user, role);
            store.put(user);
        }
        let found = |store: &DocumentStore| -> Vec<String> {
            store.privileged().map(|user| user::upn(user).to_owned()).collect()
        };
        assert_eq!(found(&store), ["user2@contoso.com", "user3@contoso.com"]);
        let second = store.by_id(chance::uuid([2; 16])).unwrap();
        store.put(user::deleted(second, SimTime(0)));
        assert_eq!(found(&store), ["user3@contoso.com"]);
    }

    #[test]
    fn a_late_claim_is_not_lost_when_its_former_holder_comes_after() {
        let mut store = DocumentStore::default();
        store.put(user(1, "x@contoso.com", None));
        let (second, _) = store.put(user(2, "x@contoso.com", None));
        store.put(user(1, "y@contoso.com", None));
        assert_eq!(store.live_by_upn("x@contoso.com"), Some(second));
    }
}
