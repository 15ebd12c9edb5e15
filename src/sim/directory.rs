//! All users of the tenant with the indices that make look-ups quick: by id, by address, by ImmutableID, by role, and for
//! deleted users by the end of their shown UPN, by mail and by ImmutableID. It stores whatever it is given; the rules stand in
//! `world`. Texts are indexed by fingerprints of 16 bytes, since a second copy of every UPN would cost more memory
//! than the users.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use super::chance;
use super::user::{Role, User, UserId};

/// Where a user stands; a purged user's place stays empty, so the order of a listing never changes.
pub(super) type Slot = u32;

/// 16 bytes in place of a text. Two of a thousand million texts share one with a chance of about 10^-21.
type Fingerprint = [u8; 16];

#[derive(Debug, Default)]
pub(super) struct Directory {
    slots: Vec<Option<User>>,
    by_id: HashMap<UserId, Slot>,
    /// UPNs and mail addresses of live users: one name space, as a new UPN may not be another user's address.
    by_address: HashMap<Fingerprint, Slot>,
    /// ImmutableIDs of live users.
    by_anchor: HashMap<Fingerprint, Slot>,
    /// Shown UPNs of deleted users, lower case and backwards, so that "ends with" is a range.
    deleted_by_tail: BTreeSet<(Box<[u8]>, Slot)>,
    deleted_by_mail: BTreeSet<(Fingerprint, Slot)>,
    deleted_by_anchor: BTreeSet<(Fingerprint, Slot)>,
    /// Live users who hold a directory role or may activate one.
    privileged: BTreeSet<Slot>,
}

impl Directory {
    pub(super) fn with_capacity(users: usize) -> Self {
        Self {
            slots: Vec::with_capacity(users),
            by_id: HashMap::with_capacity(users),
            by_address: HashMap::with_capacity(users),
            by_anchor: HashMap::with_capacity(users),
            ..Self::default()
        }
    }

    /// One more than the highest slot in use.
    pub(super) fn slots(&self) -> Slot {
        Slot::try_from(self.slots.len()).unwrap_or(Slot::MAX)
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&User> {
        self.slots.get(usize_of(slot))?.as_ref()
    }

    pub(super) fn slot_of(&self, id: UserId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn by_id(&self, id: UserId) -> Option<&User> {
        self.get(self.slot_of(id)?)
    }

    /// The live user with this UPN.
    pub(super) fn live_by_upn(&self, upn: &str) -> Option<Slot> {
        let slot = self.holder_of_address(upn)?;
        let user = self.get(slot)?;
        user.upn.eq_ignore_ascii_case(upn).then_some(slot)
    }

    /// The live user whose UPN or mail address this is.
    pub(super) fn holder_of_address(&self, address: &str) -> Option<Slot> {
        self.by_address.get(&address_print(address)).copied()
    }

    /// The live user with exactly this ImmutableID.
    pub(super) fn holder_of_anchor(&self, anchor: &str) -> Option<Slot> {
        self.by_anchor.get(&anchor_print(anchor)).copied()
    }

    /// Deleted users whose shown UPN ends with the text, whatever its case.
    pub(super) fn deleted_with_tail(&self, tail: &str) -> Vec<Slot> {
        let wanted = backwards(tail);
        let from = Bound::Included((wanted.clone(), 0));
        let range = self.deleted_by_tail.range((from, Bound::Unbounded));
        range
            .take_while(|(text, _)| text.starts_with(&wanted))
            .map(|(_, slot)| *slot)
            .collect()
    }

    pub(super) fn deleted_with_mail(&self, mail: &str) -> Vec<Slot> {
        slots_of(&self.deleted_by_mail, address_print(mail))
    }

    /// Deleted users with exactly this ImmutableID.
    pub(super) fn deleted_with_anchor(&self, anchor: &str) -> Vec<Slot> {
        slots_of(&self.deleted_by_anchor, anchor_print(anchor))
    }

    /// Live users who hold a directory role or may activate one, in order.
    pub(super) fn privileged(&self) -> impl Iterator<Item = &User> {
        self.privileged.iter().filter_map(|slot| self.get(*slot))
    }

    /// Whether nobody live but `but` holds one of the user's addresses or its ImmutableID. Always true of a
    /// deleted user, who holds nothing.
    pub(super) fn has_room_for(&self, user: &User, but: Option<Slot>) -> bool {
        let free = |holder: Option<Slot>| holder.is_none() || holder == but;
        !user.is_live()
            || addresses(user).all(|address| free(self.holder_of_address(address)))
                && user
                    .immutable_id
                    .as_deref()
                    .is_none_or(|anchor| free(self.holder_of_anchor(anchor)))
    }

    /// Puts a user in, in place of the one with the same id; gives the slot and what stood there.
    pub(super) fn put(&mut self, user: User) -> (Slot, Option<User>) {
        let id = user.id;
        let slot = self.slot_of(id).unwrap_or_else(|| self.slots());
        let before = self.take(slot);
        if slot == self.slots() {
            self.slots.push(None);
        }
        self.by_id.insert(id, slot);
        self.index(slot, &user);
        self.slots[usize_of(slot)] = Some(user);
        (slot, before)
    }

    /// Removes a user for good.
    pub(super) fn purge(&mut self, id: UserId) -> Option<(Slot, User)> {
        let slot = self.by_id.remove(&id)?;
        self.take(slot).map(|user| (slot, user))
    }

    fn take(&mut self, slot: Slot) -> Option<User> {
        let user = self.slots.get_mut(usize_of(slot))?.take()?;
        self.unindex(slot, &user);
        Some(user)
    }

    fn index(&mut self, slot: Slot, user: &User) {
        if user.is_live() {
            for address in addresses(user) {
                self.by_address.insert(address_print(address), slot);
            }
            if let Some(anchor) = &user.immutable_id {
                self.by_anchor.insert(anchor_print(anchor), slot);
            }
            if user.role != Role::Ordinary {
                self.privileged.insert(slot);
            }
        } else {
            self.deleted_by_tail
                .insert((backwards(&user.shown_upn()), slot));
            if let Some(mail) = user.mail_address() {
                self.deleted_by_mail.insert((address_print(mail), slot));
            }
            if let Some(anchor) = &user.immutable_id {
                self.deleted_by_anchor.insert((anchor_print(anchor), slot));
            }
        }
    }

    fn unindex(&mut self, slot: Slot, user: &User) {
        if user.is_live() {
            for address in addresses(user) {
                remove_own(&mut self.by_address, address_print(address), slot);
            }
            if let Some(anchor) = &user.immutable_id {
                remove_own(&mut self.by_anchor, anchor_print(anchor), slot);
            }
            self.privileged.remove(&slot);
        } else {
            self.deleted_by_tail
                .remove(&(backwards(&user.shown_upn()), slot));
            if let Some(mail) = user.mail_address() {
                self.deleted_by_mail.remove(&(address_print(mail), slot));
            }
            if let Some(anchor) = &user.immutable_id {
                self.deleted_by_anchor.remove(&(anchor_print(anchor), slot));
            }
        }
    }
}

fn slots_of(index: &BTreeSet<(Fingerprint, Slot)>, print: Fingerprint) -> Vec<Slot> {
    index
        .range((print, 0)..=(print, Slot::MAX))
        .map(|(_, slot)| *slot)
        .collect()
}

/// Removes an entry unless it is another user's by now: a state file that was compacted gives users back in
/// another order than they changed in, so for a moment two of them can claim one text.
fn remove_own(index: &mut HashMap<Fingerprint, Slot>, print: Fingerprint, slot: Slot) {
    if index.get(&print) == Some(&slot) {
        index.remove(&print);
    }
}

/// The addresses that a live user keeps from others.
fn addresses(user: &User) -> impl Iterator<Item = &str> {
    let mail = user
        .mail_address()
        .filter(|mail| !mail.eq_ignore_ascii_case(&user.upn));
    std::iter::once(&*user.upn).chain(mail)
}

fn address_print(address: &str) -> Fingerprint {
    chance::first_half(&chance::digest(0, "address", &address.to_ascii_lowercase()))
}

fn anchor_print(anchor: &str) -> Fingerprint {
    chance::first_half(&chance::digest(0, "anchor", anchor))
}

fn backwards(text: &str) -> Box<[u8]> {
    text.bytes()
        .rev()
        .map(|byte| byte.to_ascii_lowercase())
        .collect()
}

fn usize_of(slot: Slot) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::clock::UnixMillis;

    fn user(n: u8, upn: &str, anchor: Option<&str>) -> User {
        User::new(UserId::from_octets([n; 16]), upn, anchor)
    }

    #[test]
    fn a_moved_user_is_found_by_the_new_name_and_keeps_the_old_address() {
        let mut directory = Directory::default();
        let mut anna = user(1, "anna@contoso.com", Some("A=="));
        directory.put(anna.clone());
        anna.move_to("tmp@contoso.com");
        let (slot, before) = directory.put(anna);
        assert_eq!(before.map(|user| user.upn), Some("anna@contoso.com".into()));
        assert_eq!(directory.live_by_upn("TMP@contoso.com"), Some(slot));
        assert_eq!(directory.live_by_upn("anna@contoso.com"), None);
        assert_eq!(directory.holder_of_address("anna@contoso.com"), Some(slot));
        assert_eq!(
            directory.holder_of_anchor("a=="),
            None,
            "anchors are case-sensitive"
        );
    }

    #[test]
    fn deleted_users_are_found_by_tail_and_mail_and_hold_nothing() {
        let mut directory = Directory::default();
        let mut anna = user(1, "anna@contoso.com", Some("A=="));
        anna.deleted_at = Some(UnixMillis(0));
        let (slot, _) = directory.put(anna.clone());
        assert_eq!(directory.deleted_with_tail("NNA@contoso.com"), [slot]);
        assert_eq!(directory.deleted_with_tail(&anna.shown_upn()), [slot]);
        assert_eq!(directory.deleted_with_mail("Anna@contoso.com"), [slot]);
        assert_eq!(directory.deleted_with_anchor("A=="), [slot]);
        assert!(directory.deleted_with_anchor("a==").is_empty());
        assert!(directory.has_room_for(&user(2, "anna@contoso.com", Some("A==")), None));
        assert!(directory.purge(anna.id).is_some());
        assert!(
            directory.deleted_with_tail("contoso.com").is_empty() && directory.get(slot).is_none()
        );
        assert!(directory.deleted_with_anchor("A==").is_empty());
    }

    #[test]
    fn only_live_users_with_a_role_are_privileged() {
        let mut directory = Directory::default();
        let roles = [Role::Ordinary, Role::Administrator, Role::Eligible];
        for (n, role) in (1..).zip(roles) {
            let user = user(n, &format!("user{n}@contoso.com"), None);
            directory.put(User { role, ..user });
        }
        let found = |directory: &Directory| -> Vec<String> {
            let users = directory.privileged();
            users.map(|user| user.upn.to_string()).collect()
        };
        assert_eq!(
            found(&directory),
            ["user2@contoso.com", "user3@contoso.com"]
        );
        let second = directory.by_id(UserId::from_octets([2; 16])).unwrap();
        let deleted = User {
            deleted_at: Some(UnixMillis(0)),
            ..second.clone()
        };
        directory.put(deleted);
        assert_eq!(found(&directory), ["user3@contoso.com"]);
    }

    #[test]
    fn a_late_claim_is_not_lost_when_its_former_holder_comes_after() {
        let mut directory = Directory::default();
        directory.put(user(1, "x@contoso.com", None));
        let (second, _) = directory.put(user(2, "x@contoso.com", None));
        directory.put(user(1, "y@contoso.com", None));
        assert_eq!(directory.live_by_upn("x@contoso.com"), Some(second));
    }
}
