//! What a client may see at a moment: the true state, or, while a write is still replicating, what was there
//! before it. Which of the two a request meets is a coin thrown for the request and the object.

use std::borrow::Cow;

use super::document::parse_id;
use super::odata::{Comparison, FilterClause};
use super::schema::ValueForm;
use super::user;
use super::{ApiVersion, Collection, Document, Identity, Rows, SimTime, Slot, Tenant};

/// One request's eyes, and what it looks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReplicaView<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) now: SimTime,
    pub(super) identity: &'a Identity,
    pub(super) version: ApiVersion,
    /// The key in the request's path.
    pub(super) key: &'a str,
}

impl<'a> ReplicaView<'a> {
    /// The live user whom the key names, by id or UPN.
    pub(super) fn live(self) -> Option<Cow<'a, Document>> {
        if let Some(id) = parse_id(self.key) {
            return self.seen(self.tenant.users.slot_of(id)?, Collection::Live);
        }
        let slots = self.tenant.users.live_by_upn(self.key).into_iter().chain(self.tenant.replica.slots());
        let mut users = slots.filter_map(|slot| self.seen(slot, Collection::Live));
        users.find(|user| user::upn(user).eq_ignore_ascii_case(self.key))
    }

    /// The deleted user with the id that is the key.
    pub(super) fn deleted(self) -> Option<Cow<'a, Document>> {
        self.seen(self.tenant.users.slot_of(parse_id(self.key)?)?, Collection::Deleted)
    }

    /// What a collection shows from a place on; objects keep their order from page to page.
    pub(super) fn rows(self, collection: Collection, filter: Option<&'a FilterClause>, from: Slot) -> Rows<'a> {
        let slots: Box<dyn Iterator<Item = Slot>> = match filter.and_then(|filter| self.candidates(collection, filter))
        {
            Some(slots) => Box::new(slots.into_iter().filter(move |slot| *slot >= from)),
            None => Box::new(from..self.tenant.users.slots()),
        };
        Box::new(slots.filter_map(move |slot| {
            let user = self.seen(slot, collection)?;
            filter.is_none_or(|filter| filter.matches(&user)).then_some((slot, user))
        }))
    }

    /// Where alone a filter can find something, in order; None means everywhere.
    fn candidates(&self, collection: Collection, filter: &FilterClause) -> Option<Vec<Slot>> {
        let store = &self.tenant.users;
        let mut slots: Vec<Slot> = match &filter.comparison {
            Comparison::In(ids) if filter.property.form == ValueForm::Guid => {
                ids.iter().filter_map(|id| store.slot_of(parse_id(id)?)).collect()
            }
            Comparison::In(values) => {
                let keys = values.iter().filter_map(|value| filter.index_key(value));
                keys.flat_map(|key| store.with(collection, key)).collect()
            }
            Comparison::Ends(tail) if filter.property.form == ValueForm::Upn && collection == Collection::Deleted => {
                store.deleted_with_tail(tail).collect()
            }
            Comparison::Starts(_) | Comparison::Ends(_) => return None,
        };
        // The indices know the present only; an object with a past may still match by it.
        slots.extend(self.tenant.replica.slots());
        slots.sort_unstable();
        slots.dedup();
        Some(slots)
    }

    fn seen(&self, slot: Slot, collection: Collection) -> Option<Cow<'a, Document>> {
        let user = match self.tenant.replica.past(slot, self.now) {
            Some(past) if self.identity.coin(slot) => past,
            Some(_) | None => self.tenant.users.get(slot),
        };
        user.filter(|user| Collection::of(user) == collection).map(Cow::Borrowed)
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
