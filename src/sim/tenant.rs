//! The tenant as a whole: its documents, the list of writes, and the memory on disk, changed together. A write is planned
//! by the rules, stored and only then made, so what clients can see is never ahead of the disk.

use std::collections::HashMap;

use rand::RngExt as _;
use serde_json::json;
use uuid::Uuid;

use super::replica::Replica;
use super::rules::domains::Domains;
use super::state_file::{StateFile, TenantIdentity};
use super::store::DocumentStore;
use super::write_log::{WriteLog, difference};
use super::{Document, GraphRefusal, Identity, Options, SimError, SimTime, Slot, StateLine};

/// A write that is allowed but not made yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlannedWrite {
    /// What the list of writes calls it.
    pub(super) method: &'static str,
    pub(super) id: Uuid,
    /// The user afterwards; nothing after a purge.
    pub(super) after: Option<Document>,
}

#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) seed: u64,
    /// Whether the app's service principal holds the roles of an administrator.
    pub(super) app_is_administrator: bool,
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
    pub(super) fn open(options: &Options, now: SimTime) -> Result<Self, SimError> {
        let identity = || TenantIdentity::new(options.seed, options.population.identity(), now);
        let mut file = options.state.as_deref().map(|path| StateFile::open(path, identity())).transpose()?;
        let born = file.as_ref().map_or(now, |file| file.born);
        let domains = options.population.domains();
        let users = options.population.settle(options.seed, born, &domains);
        let mut tenant = Self {
            seed: options.seed,
            app_is_administrator: options.app_has_admin_role,
            domains,
            users,
            replica: Replica::new(options.replication_ms),
            writes: WriteLog::default(),
            risks: HashMap::new(),
            file: None,
        };
        if let Some(file) = &mut file {
            file.replay(|line| drop(tenant.apply(line)))?;
        }
        tenant.file = file;
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
        let PlannedWrite { method, id, after } = planned;
        let record = json!({
            "seq": self.writes.next_seq(),
            "at": now,
            "id": id,
            "method": method,
            "changed": difference(self.users.by_id(id), after.as_ref()),
            "client_request_id": client_request_id,
        });
        let line = StateLine { write: Some(record), user: Some((id, after)), risks: Vec::new() };
        self.make(line, now, identity)
    }

    /// Stores changes and makes them. One without a record of a write is not among the writes.
    pub(super) fn make(&mut self, line: StateLine, now: SimTime, identity: &Identity) -> Result<(), GraphRefusal> {
        if let Some(file) = &mut self.file {
            file.append(&line).map_err(|error| {
                tracing::error!(%error, "the simulated tenant cannot store a write; it refuses writes until it is started again");
                GraphRefusal::NOT_STORED
            })?;
        }
        let delay_ms_max = self.replica.delay_ms_max();
        if let Some((slot, before)) = self.apply(line)
            && delay_ms_max > 0
        {
            let delay_ms = identity.dice().random_range(0..=delay_ms_max);
            self.replica.record(slot, before, now, delay_ms);
        }
        Ok(())
    }

    /// Gives the place of a changed user, and what was there.
    fn apply(&mut self, line: StateLine) -> Option<(Slot, Option<Document>)> {
        line.write.iter().for_each(|record| self.writes.push(record));
        self.risks.extend(line.risks);
        match line.user? {
            (_, Some(user)) => Some(self.users.put(user)),
            (id, None) => self.users.purge(id).map(|(slot, before)| (slot, Some(before))),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sim::Population;
    use crate::sim::rules::users::{self, UserActor};
    use crate::sim::schema::{ApiVersion, USERS};
    use crate::sim::user;
    use crate::sim::user::Collection;
    use std::path::Path;

    fn options(users: u64) -> Options {
        Options { seed: 7, population: Population::Generated { users }, ..Options::default() }
    }

    /// Of these people, without memory.
    pub(crate) fn tenant(people: impl IntoIterator<Item = Document>, domains: &[&str], replication_ms: u64) -> Tenant {
        let mut tenant = Tenant::open(&Options { replication_ms, ..options(0) }, SimTime(0)).unwrap();
        domains.iter().for_each(|name| tenant.domains.verify(name));
        people.into_iter().for_each(|user| drop(tenant.users.put(user)));
        tenant
    }

    const ADMIN: UserActor = UserActor { is_administrator: true, at: SimTime(3_000) };

    fn open(path: &Path) -> Tenant {
        let options = Options { state: Some(path.to_owned()), app_has_admin_role: true, ..options(50) };
        Tenant::open(&options, SimTime(1_000)).unwrap()
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
        let id = user::id(tenant.users.all().find(plain).unwrap());
        let key = id.to_string();
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
