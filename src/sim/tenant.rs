//! The tenant as a whole: its documents, the list of writes, and the memory on disk, changed together. A write is planned
//! by the rules, stored and only then made, so what clients can see is never ahead of the disk.

use std::collections::HashMap;
use std::path::Path;

use rand::RngExt as _;
use uuid::Uuid;

use super::SimError;
use super::chance::Identity;
use super::clock::SimTime;
use super::population::Population;
use super::refusal::GraphRefusal;
use super::replica::Replica;
use super::rules::domains::Domains;
use super::schema::Document;
use super::state_file::{StateFile, StateLine, TenantIdentity};
use super::store::DocumentStore;
use super::write_log::{WriteKind, WriteLog, WriteRecord, difference};

/// Whether who acts holds directory roles, which acting on administrators takes, and clearing an on-premises identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActorRole {
    /// It has permissions only.
    Nothing,
    /// Privileged Authentication Administrator and Hybrid Identity Administrator.
    Administrator,
}

/// What distinguishes one tenant from another.
#[derive(Debug)]
pub(super) struct Founding<'a> {
    pub(super) seed: u64,
    pub(super) population: &'a Population,
    pub(super) app_role: ActorRole,
    pub(super) replication_ms: u64,
}

/// A write that is allowed but not made yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlannedWrite {
    pub(super) kind: WriteKind,
    pub(super) id: Uuid,
    /// The user afterwards; nothing after a purge.
    pub(super) after: Option<Document>,
}

impl PlannedWrite {
    pub(super) fn new(kind: WriteKind, id: Uuid, after: Option<Document>) -> Self {
        Self { kind, id, after }
    }
}

#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) seed: u64,
    /// What the app holds. What a request may do is told by its token, which can be older.
    pub(super) app_role: ActorRole,
    pub(super) domains: Domains,
    pub(super) users: DocumentStore,
    pub(super) replica: Replica,
    pub(super) writes: WriteLog,
    /// The risks that operators changed; all others hang on the id alone.
    pub(super) risks: HashMap<Uuid, Document>,
    file: Option<StateFile>,
}

impl Tenant {
    /// Settles the population and, with a state directory, brings back what was changed in earlier lives.
    pub(super) fn open(founding: &Founding<'_>, state: Option<&Path>, now: SimTime) -> Result<Self, SimError> {
        let identity = || TenantIdentity::new(founding.seed, founding.population.identity(), now);
        let file = state.map(|path| StateFile::open(path, identity())).transpose()?;
        let born = file.as_ref().map_or(now, StateFile::born);
        let domains = founding.population.domains();
        let users = founding.population.settle(founding.seed, born, &domains);
        let mut tenant = Self {
            seed: founding.seed,
            app_role: founding.app_role,
            domains,
            users,
            replica: Replica::new(founding.replication_ms),
            writes: WriteLog::default(),
            risks: HashMap::new(),
            file: None,
        };
        if let Some(mut file) = file {
            tenant.remember(&mut file)?;
            tenant.file = Some(file);
        }
        Ok(tenant)
    }

    /// Stores a planned write and makes it.
    pub(super) fn write(
        &mut self,
        planned: PlannedWrite,
        now: SimTime,
        identity: &Identity,
        client_request_id: Option<&str>,
    ) -> Result<(), GraphRefusal> {
        let id = planned.id;
        let record = WriteRecord {
            seq: self.writes.next_seq(),
            at: now,
            id,
            method: planned.kind,
            changed: difference(self.users.by_id(id), planned.after.as_ref()),
            client_request_id: client_request_id.map(Into::into),
        };
        let user = Some((id, planned.after.clone()));
        self.store_line(&StateLine { write: Some(record.clone()), user, ..StateLine::default() })?;
        self.writes.push(record);
        self.commit(id, planned.after, now, identity);
        Ok(())
    }

    /// Stores a user whom nobody wrote, so that it is not among the writes.
    pub(super) fn put_unasked(
        &mut self,
        id: Uuid,
        after: Document,
        now: SimTime,
        identity: &Identity,
    ) -> Result<(), GraphRefusal> {
        self.store_line(&StateLine { user: Some((id, Some(after.clone()))), ..StateLine::default() })?;
        self.commit(id, Some(after), now, identity);
        Ok(())
    }

    /// Stores planned changes of risks and makes them.
    pub(super) fn write_risks(&mut self, risks: Vec<(Uuid, Document)>) -> Result<(), GraphRefusal> {
        let line = StateLine { risks, ..StateLine::default() };
        self.store_line(&line)?;
        self.risks.extend(line.risks);
        Ok(())
    }

    pub(super) fn commit(&mut self, id: Uuid, after: Option<Document>, now: SimTime, identity: &Identity) {
        let written = match after {
            Some(after) => Some(self.users.put(after)),
            None => self.users.purge(id).map(|(slot, before)| (slot, Some(before))),
        };
        let delay_ms_max = self.replica.delay_ms_max();
        if let Some((slot, before)) = written
            && delay_ms_max > 0
        {
            let delay_ms = identity.dice().random_range(0..=delay_ms_max);
            self.replica.record(slot, before, now, delay_ms);
        }
    }

    fn store_line(&mut self, line: &StateLine) -> Result<(), GraphRefusal> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.append(line).map_err(|error| {
            tracing::error!(%error, "the simulated tenant cannot store a write; it refuses writes until it is started again");
            GraphRefusal::not_stored()
        })
    }

    fn remember(&mut self, file: &mut StateFile) -> Result<(), SimError> {
        file.replay(|line| {
            let record = line.write.into_iter();
            record.for_each(|record| self.writes.push(record));
            self.risks.extend(line.risks);
            match line.user {
                Some((_, Some(user))) => drop(self.users.put(user)),
                Some((id, None)) => drop(self.users.purge(id)),
                None => {}
            }
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sim::rules::users::{self, UserActor, UserKey};
    use crate::sim::schema::{ApiVersion, USERS};
    use crate::sim::store::Collection;

    /// Of these people, without memory.
    pub(crate) fn tenant(people: impl IntoIterator<Item = Document>, domains: &[&str], replication_ms: u64) -> Tenant {
        let founding = Founding {
            seed: 7,
            population: &Population::Generated { users: 0 },
            app_role: ActorRole::Nothing,
            replication_ms,
        };
        let mut tenant = Tenant::open(&founding, None, SimTime(0)).unwrap();
        domains.iter().for_each(|name| tenant.domains.verify(name));
        people.into_iter().for_each(|user| drop(tenant.users.put(user)));
        tenant
    }

    const ADMIN: UserActor = UserActor { role: ActorRole::Administrator, at: SimTime(3_000) };

    fn open(path: &Path) -> Tenant {
        let founding = Founding {
            seed: 7,
            population: &Population::Generated { users: 50 },
            app_role: ActorRole::Administrator,
            replication_ms: 0,
        };
        Tenant::open(&founding, Some(path), SimTime(1_000)).unwrap()
    }

    fn write(tenant: &mut Tenant, planned: PlannedWrite) {
        tenant.write(planned, SimTime(2_000), &Identity::for_test(1), Some("caller")).unwrap();
    }

    #[test]
    fn a_tenant_comes_back_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let mut tenant = open(directory.path());
        let plain =
            |user: &&Document| Collection::of(user) == Collection::Live && !user.contains_key("onPremisesSyncEnabled");
        let id = users::id(tenant.users.all().find(plain).unwrap());
        let key = UserKey::Id(id);
        let body = br#"{"userPrincipalName":"elsewhere@contoso.onmicrosoft.com","jobTitle":"Baker"}"#;
        let change = USERS.assignments(body, ApiVersion::V1).unwrap();
        let planned = users::plan_patch(&tenant, ADMIN, &key, &change).unwrap();
        write(&mut tenant, planned);
        let planned = users::plan_delete(&tenant, ADMIN, &key).unwrap();
        write(&mut tenant, planned);
        let expected = tenant.users.by_id(id).unwrap().clone();
        drop(tenant);
        let mut tenant = open(directory.path());
        assert_eq!(tenant.users.by_id(id), Some(&expected));
        assert_eq!(tenant.writes.next_seq(), 3);
        let planned = users::plan_purge(&tenant, ADMIN, id).unwrap();
        write(&mut tenant, planned);
        drop(tenant);
        assert_eq!(open(directory.path()).users.by_id(id), None);
    }
}
