//! What a client may see at a moment: the true state, or, while a write is still replicating, what was there
//! before it. Which of the two a request meets is a coin thrown for the request and the object.

use super::chance::Identity;
use super::clock::UnixMillis;
use super::directory::Slot;
use super::query::{Address, Filter, Options};
use super::upn;
use super::user::{User, UserId, UserKey};
use super::world::World;

/// The two collections of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collection {
    /// `/users`.
    Live,
    /// `/directory/deletedItems`.
    Deleted,
}

impl Collection {
    fn holds(self, user: &User) -> bool {
        match self {
            Self::Live => user.is_live(),
            Self::Deleted => !user.is_live(),
        }
    }
}

/// A part of a listing.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) users: Vec<&'a User>,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<Slot>,
}

/// Where a listing has to look.
enum Candidates {
    /// Only here, in order.
    Few(Vec<Slot>),
    /// Everywhere.
    All,
}

/// One request's eyes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) world: &'a World,
    pub(super) now: UnixMillis,
    pub(super) identity: &'a Identity,
}

impl<'a> Reader<'a> {
    pub(super) fn live(&self, key: &UserKey) -> Option<&'a User> {
        match key {
            UserKey::Id(id) => {
                self.in_collection(self.world.directory.slot_of(*id)?, Collection::Live)
            }
            UserKey::Upn(name) => self.live_by_upn(name),
        }
    }

    pub(super) fn deleted(&self, id: UserId) -> Option<&'a User> {
        self.in_collection(self.world.directory.slot_of(id)?, Collection::Deleted)
    }

    /// A page of a collection; objects keep their order from page to page.
    pub(super) fn page(&self, collection: Collection, options: &Options) -> Page<'a> {
        let mut found = self.matching(collection, options.filter.as_ref(), options.from);
        let users: Vec<_> = found
            .by_ref()
            .take(options.page_size())
            .map(|(_, user)| user)
            .collect();
        Page {
            users,
            next: found.next().map(|(slot, _)| slot),
        }
    }

    /// How many objects a listing has over all its pages.
    pub(super) fn count(&self, collection: Collection, filter: Option<&Filter>) -> usize {
        self.matching(collection, filter, 0).count()
    }

    fn matching<'f>(
        &self,
        collection: Collection,
        filter: Option<&'f Filter>,
        from: Slot,
    ) -> Box<dyn Iterator<Item = (Slot, &'a User)> + 'f>
    where
        'a: 'f,
    {
        let slots: Box<dyn Iterator<Item = Slot>> = match self.candidates(collection, filter) {
            Candidates::Few(slots) => Box::new(slots.into_iter().filter(move |slot| *slot >= from)),
            Candidates::All => Box::new(from..self.world.directory.slots()),
        };
        let reader = *self;
        Box::new(slots.filter_map(move |slot| {
            let user = reader.in_collection(slot, collection)?;
            filter
                .is_none_or(|filter| filter.matches(user))
                .then_some((slot, user))
        }))
    }

    fn candidates(&self, collection: Collection, filter: Option<&Filter>) -> Candidates {
        let directory = &self.world.directory;
        let indexed: Option<Vec<Slot>> = match (filter, collection) {
            (Some(Filter::Id(ids)), _) => {
                Some(ids.iter().filter_map(|id| directory.slot_of(*id)).collect())
            }
            (Some(Filter::Upn(names)), Collection::Live) => Some(
                names
                    .iter()
                    .filter_map(|name| directory.live_by_upn(name))
                    .collect(),
            ),
            (Some(Filter::Upn(names)), Collection::Deleted) => Some(
                names
                    .iter()
                    .filter_map(|name| directory.slot_of(mangled_id(name)?))
                    .collect(),
            ),
            (Some(Filter::Anchor(anchors)), Collection::Live) => Some(
                anchors
                    .iter()
                    .filter_map(|anchor| directory.holder_of_anchor(anchor))
                    .collect(),
            ),
            (Some(Filter::Anchor(anchors)), Collection::Deleted) => Some(
                anchors
                    .iter()
                    .flat_map(|anchor| directory.deleted_with_anchor(anchor))
                    .collect(),
            ),
            (Some(Filter::Mail(mails)), Collection::Live) => Some(
                mails
                    .iter()
                    .filter_map(|mail| directory.holder_of_address(mail))
                    .collect(),
            ),
            (Some(Filter::Mail(mails)), Collection::Deleted) => Some(
                mails
                    .iter()
                    .flat_map(|mail| directory.deleted_with_mail(mail))
                    .collect(),
            ),
            (Some(Filter::Ends(Address::Upn, tail)), Collection::Deleted) => {
                Some(directory.deleted_with_tail(tail))
            }
            (Some(Filter::Starts(..) | Filter::Ends(..)) | None, _) => None,
        };
        match indexed {
            Some(mut slots) => {
                // The indices know the present only; an object with a past may still match by it.
                slots.extend(self.world.lag.slots());
                slots.sort_unstable();
                slots.dedup();
                Candidates::Few(slots)
            }
            None => Candidates::All,
        }
    }

    fn live_by_upn(&self, name: &str) -> Option<&'a User> {
        let present = self.world.directory.live_by_upn(name);
        let slots = present.into_iter().chain(self.world.lag.slots());
        let mut users = slots.filter_map(|slot| self.in_collection(slot, Collection::Live));
        users.find(|user| upn::same(&user.upn, name))
    }

    fn in_collection(&self, slot: Slot, collection: Collection) -> Option<&'a User> {
        self.visible(slot).filter(|user| collection.holds(user))
    }

    fn visible(&self, slot: Slot) -> Option<&'a User> {
        match self.world.lag.past(slot, self.now) {
            Some(past) if self.identity.coin(slot) => past,
            Some(_) | None => self.world.directory.get(slot),
        }
    }
}

/// The id before a deleted user's shown UPN.
fn mangled_id(shown_upn: &str) -> Option<UserId> {
    UserId::parse_simple(shown_upn.get(..32)?)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
