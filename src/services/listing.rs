//! A listing of several pages, kept from going on for ever.
//!
//! The service names the next page, and some have named the same one again and again, or pages without anything new. So a
//! listing has a bound in pages and in items, and ends at once when it is led in a circle. Pure.

use super::class::Class;
use super::reply::Fault;
use serde_json::Value;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// The code of a listing that does not end.
pub(super) const ENDLESS: &str = "endless-listing";

/// Most pages. A service that gives a hundred items a page gives a hundred thousand.
const PAGES_MAX: usize = 1_000;
/// Most items, which all are held in memory.
const ITEMS_MAX: usize = 200_000;
/// Most pages in a row that bring nothing new. A filter may leave some empty.
const IDLE_PAGES_MAX: usize = 30;

/// What was listed so far.
#[derive(Debug, Default)]
pub struct Listing {
    items: Vec<Value>,
    pages: usize,
    /// Pages since the last one that brought something new.
    idle: usize,
    /// Marks of the pages that were named, and of the items.
    seen: HashSet<u64>,
}

impl Listing {
    /// Takes a page in. Answers the address of the next one.
    ///
    /// # Errors
    /// The listing does not end.
    pub fn take(&mut self, items: Vec<Value>, next: Option<String>) -> Result<Option<String>, Fault> {
        let is_idle = items.iter().filter(|item| self.seen.insert(mark_of(item))).count() == 0;
        self.pages += 1;
        self.idle = if is_idle { self.idle + 1 } else { 0 };
        self.items.extend(items);
        let Some(next) = next else {
            return Ok(None);
        };
        let why = if !self.seen.insert(mark(&("page", &next))) {
            "it leads back to a page that was read before".to_owned()
        } else if self.idle >= IDLE_PAGES_MAX {
            format!("the last {IDLE_PAGES_MAX} pages brought nothing new")
        } else if self.pages >= PAGES_MAX || self.items.len() >= ITEMS_MAX {
            format!("{} pages with {} items, and there are more", self.pages, self.items.len())
        } else {
            return Ok(Some(next));
        };
        Err(Fault::new(Class::Rejected, ENDLESS, format!("the listing has no end: {why}")))
    }

    /// All items.
    pub fn into_items(self) -> Vec<Value> {
        self.items
    }
}

/// An item is known by its id, or by all of it.
fn mark_of(item: &Value) -> u64 {
    match item.get("id").and_then(Value::as_str) {
        Some(id) => mark(&("item", id)),
        None => mark(&("item", item.to_string())),
    }
}

fn mark(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(items: &[usize], next: Option<usize>) -> (Vec<Value>, Option<String>) {
        let item = |item: &usize| json!({"id": item.to_string()});
        let next = next.map(|next| format!("/users?$skiptoken={next}"));
        (items.iter().map(item).collect(), next)
    }

    /// How many pages are read of a service that always names another one.
    fn pages_read(items: impl Fn(usize) -> Vec<usize>, next: impl Fn(usize) -> usize) -> usize {
        let mut listing = Listing::default();
        let mut pages = 0;
        loop {
            pages += 1;
            let (items, next) = page(&items(pages), Some(next(pages)));
            if let Err(fault) = listing.take(items, next) {
                assert_eq!(fault.code, "endless-listing");
                return pages;
            }
        }
    }

    #[test]
    fn it_ends_where_it_is_led_in_a_circle_or_on_and_on() {
        let always_new = |page: usize| page;
        assert_eq!(pages_read(|_| vec![], |_| 1), 2);
        assert_eq!(pages_read(|page| vec![page], |page| page % 3), 4);
        assert_eq!(pages_read(|_| vec![], always_new), IDLE_PAGES_MAX);
        assert_eq!(pages_read(|_| vec![7], always_new), IDLE_PAGES_MAX + 1);
        assert_eq!(pages_read(|page| vec![page], always_new), PAGES_MAX);
        let many = |page: usize| (page * 1_000..(page + 1) * 1_000).collect();
        assert_eq!(pages_read(many, always_new), ITEMS_MAX / 1_000);
    }

    #[test]
    fn pages_that_a_filter_left_empty_are_passed_over() {
        let mut listing = Listing::default();
        for number in 0..100 {
            let items = if number % 20 == 0 { vec![number] } else { vec![] };
            let (items, next) = page(&items, Some(number));
            assert!(listing.take(items, next).unwrap().is_some());
        }
        let (items, next) = page(&[100], None);
        assert_eq!(listing.take(items, next).unwrap(), None);
        assert_eq!(listing.into_items().len(), 6);
    }
}
