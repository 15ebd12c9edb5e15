//! Who lives in the tenant. Each person's situation (right already, deleted, stuck, synced, …) follows from the
//! seed and the UPN, never from the order of a list, so that a shuffled or shortened file meets the same people.

use std::io;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::clock::SimTime;
use super::document::Document;
use super::rules::domains::{DomainKind, Domains, FEDERATED_DEMO_DOMAIN, INITIAL_DOMAIN, MANAGED_DEMO_DOMAIN};
use super::store::DocumentStore;
use super::user::{self, DirectoryRole};
use super::{anchor, chance, names, upn};

/// Percent of a generated population in the federated demonstration domain; the rest is in the managed one.
const GENERATED_FEDERATED_PERCENT: u64 = 60;
/// Deleted users left the tenant up to this many days before it began, inside the 30 days after which a real
/// tenant forgets them for good.
const DELETED_DAYS_MAX: u64 = 25;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Percent of people who may activate a directory role; who holds one is drawn with the situations.
const ELIGIBLE_PERCENT: u64 = 1;
/// Percent of people of the cloud whom an on-premises directory was the master of before.
const FORMERLY_SYNCED_PERCENT: u64 = 30;

/// The people of the simulated tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Population {
    /// Made up from the seed; [`write_csv`] gives the rows that belong to them.
    Generated {
        /// How many.
        users: u64,
    },
    /// The people of a file, each in a situation that follows from the seed and the UPN.
    People(Vec<Person>),
}

/// A person as a batch knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The UPN at home. Whoever has a malformed one does not exist in the tenant.
    pub upn: String,
    /// The UPN to stand at meanwhile; the same local part at the initial domain when it is not given.
    pub temp_upn: Option<String>,
    /// The ImmutableID that the batch wants.
    pub wanted_immutable_id: Option<String>,
}

impl Population {
    /// How many people it has, as far as memory can be reserved for them.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Generated { users } => usize::try_from(*users).unwrap_or(usize::MAX),
            Self::People(people) => people.len(),
        }
    }

    /// The domains that these people need.
    pub(super) fn domains(&self) -> Domains {
        let mut domains = Domains::new();
        match self {
            Self::Generated { .. } => {
                domains.verify(FEDERATED_DEMO_DOMAIN);
                domains.verify(MANAGED_DEMO_DOMAIN);
            }
            Self::People(people) => {
                // Homes first: a domain that is also used for temporary UPNs keeps the kind it has by its name.
                people.iter().filter_map(|one| domain_of(&one.upn)).for_each(|name| domains.verify(name));
                let temporary = people.iter().filter_map(|one| domain_of(one.temp_upn.as_deref()?));
                temporary.for_each(|name| domains.verify_managed(name));
            }
        }
        domains
    }

    /// A short text that tells this population from others.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Generated { users } => format!("generated:{users}"),
            Self::People(people) => {
                let lines: String = people.iter().map(|person| format!("{person:?}\n")).collect();
                let digest = Uuid::from_bytes(chance::first_half(&Sha256::digest(lines).into()));
                format!("people:{}", digest.simple())
            }
        }
    }

    /// Puts everybody into their place; `born` is the moment when the tenant begins.
    pub(super) fn settle(&self, seed: u64, born: SimTime, domains: &Domains) -> DocumentStore {
        let users = DocumentStore::with_capacity(self.len());
        let mut settler = Settler { seed, born, domains, users };
        match self {
            Self::Generated { users } => (0..*users).for_each(|n| settler.settle(&generated(seed, n).0)),
            Self::People(people) => people.iter().for_each(|person| settler.settle(person)),
        }
        settler.users
    }
}

fn domain_of(upn: &str) -> Option<&str> {
    upn::parse(upn).ok().map(|parts| parts.domain)
}

/// Writes the CSV that belongs to a generated population: a header, then `upn,object_guid` for everybody.
///
/// # Errors
/// Those of the writer.
pub fn write_csv(seed: u64, users: u64, out: &mut impl io::Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["upn", "object_guid"])?;
    for n in 0..users {
        let (person, guid) = generated(seed, n);
        csv.write_record([person.upn, guid.to_string()])?;
    }
    csv.flush()
}

/// Person number `n` with the objectGUID of their account on premises.
fn generated(seed: u64, n: u64) -> (Person, Uuid) {
    let local = names::local_part(seed, n);
    let draw = chance::digest(seed, "home", &local.to_ascii_lowercase());
    let federated = chance::number(&draw) % 100 < GENERATED_FEDERATED_PERCENT;
    let domain = if federated { FEDERATED_DEMO_DOMAIN } else { MANAGED_DEMO_DOMAIN };
    let guid = chance::uuid(chance::second_half(&draw));
    let person =
        Person { upn: format!("{local}@{domain}"), temp_upn: None, wanted_immutable_id: Some(anchor::of_guid(guid)) };
    (person, guid)
}

struct Settler<'a> {
    seed: u64,
    born: SimTime,
    domains: &'a Domains,
    users: DocumentStore,
}

impl Settler<'_> {
    fn settle(&mut self, person: &Person) {
        let Ok(parts) = upn::parse(&person.upn) else {
            return;
        };
        let key = person.upn.to_ascii_lowercase();
        let draw = chance::digest(self.seed, "person", &key);
        let substance = chance::digest(self.seed, "account", &key);
        let id = chance::uuid(chance::first_half(&substance));
        if self.users.slot_of(id).is_some() {
            return;
        }
        let old_anchor = anchor::of_octets(chance::second_half(&substance));
        let mut old = user::document(id, &person.upn, Some(&old_anchor));
        self.give_traits(&mut old, parts.domain, &key);
        let temporary = person.temp_upn.clone();
        let temporary = temporary.unwrap_or_else(|| format!("{}@{INITIAL_DOMAIN}", parts.local));
        let wanted = person.wanted_immutable_id.as_deref();
        let wanted = wanted.filter(|wanted| anchor::check(wanted).is_ok());
        let candidates = match (chance::number(&draw) % 100, wanted) {
            // Live with the wanted ImmutableID.
            (0..15, Some(wanted)) => vec![with(&old, "onPremisesImmutableId", json!(wanted)), old],
            // In the recycle bin with an old ImmutableID.
            (15..25, _) => {
                let days = 1 + u64::from(draw[9]) % DELETED_DAYS_MAX;
                // Whether a deleted user keeps it is not documented.
                user::set_role(&mut old, DirectoryRole::Ordinary);
                vec![user::deleted(&old, self.born.minus_ms(days * DAY_MS))]
            }
            // At the temporary UPN without ImmutableID, as an earlier script left them; from federated domains only.
            (25..27, _) if self.can_be_stuck(parts.domain, &temporary) => {
                let mut stuck = with(&old, "userPrincipalName", json!(temporary));
                stuck.remove("onPremisesImmutableId");
                vec![stuck, old]
            }
            // Mastered by an on-premises directory.
            (27..29, _) => {
                user::set_synced(&mut old, true);
                user::link(&mut old, self.seed);
                vec![old]
            }
            // Holding an administrator's role.
            (29, _) => {
                user::set_role(&mut old, DirectoryRole::Holder);
                vec![old]
            }
            // The wanted ImmutableID belongs to somebody else.
            (30, Some(wanted)) => {
                self.first_that_fits([self.holder_of(wanted)]);
                vec![old]
            }
            // Not in the tenant.
            (31, _) => vec![],
            // Live with an old ImmutableID.
            _ => vec![old],
        };
        self.first_that_fits(candidates);
    }

    /// Gives a person what does not hang on their situation, by draws of its own.
    fn give_traits(&self, user: &mut Document, domain: &str, key: &str) {
        let draw = chance::digest(self.seed, "traits", key);
        if chance::number(&draw) % 100 < ELIGIBLE_PERCENT {
            user::set_role(user, DirectoryRole::Eligible);
        }
        // An identity provider elsewhere has always asked for the password.
        if self.domains.find(domain) == Some(DomainKind::Federated) {
            user.insert("lastPasswordChangeDateTime".into(), Value::Null);
        }
        if u64::from(draw[16]) * 100 < FORMERLY_SYNCED_PERCENT * 256 {
            user::set_synced(user, false);
            user::link(user, self.seed);
        }
    }

    /// Somebody else who has the ImmutableID that a person wants.
    fn holder_of(&self, wanted: &str) -> Document {
        let draw = chance::digest(self.seed, "holder", wanted);
        let [.., a, b, c, d] = draw;
        let name = format!("holder-{:08x}", u32::from_be_bytes([a, b, c, d]));
        let id = chance::uuid(chance::first_half(&draw));
        user::document(id, &format!("{name}@{INITIAL_DOMAIN}"), Some(wanted))
    }

    fn can_be_stuck(&self, home_domain: &str, temporary: &str) -> bool {
        let temporary_kind = domain_of(temporary).and_then(|name| self.domains.find(name));
        self.domains.find(home_domain) == Some(DomainKind::Federated) && temporary_kind == Some(DomainKind::Managed)
    }

    /// A tenant never holds two live users with one name or ImmutableID, not even from a list that repeats itself.
    fn first_that_fits(&mut self, candidates: impl IntoIterator<Item = Document>) {
        let mut candidates = candidates.into_iter();
        if let Some(user) = candidates.find(|user| self.users.has_room_for(user)) {
            self.users.put(user);
        }
    }
}

fn with(user: &Document, name: &str, value: Value) -> Document {
    let mut user = user.clone();
    user.insert(name.to_owned(), value);
    user
}

#[cfg(test)]
#[path = "population_tests.rs"]
mod tests;
