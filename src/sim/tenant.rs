//! The tenant as a whole: its true state, the list of writes, and the memory on disk, changed together. A write is
//! planned, stored and only then made, so what clients can see is never ahead of the disk.

use std::collections::HashSet;
use std::path::Path;

use super::SimError;
use super::chance::Identity;
use super::clock::UnixMillis;
use super::directory::Directory;
use super::errors::Refusal;
use super::hard_match::{self, NoHardMatch, Takeover};
use super::lag::Lag;
use super::ledger::{self, Ledger, WriteKind, WriteRecord};
use super::population::Population;
use super::risk::{Risk, Risks};
use super::store::{Fate, Header, Line, Store};
use super::user::UserId;
use super::world::{ActorRole, Planned, World};

/// A state file shorter than this is never worth writing anew.
const COMPACT_LINES_MIN: u64 = 100_000;
/// A state file is written anew when it has this many lines for each one that would be left.
const COMPACT_RATIO: u64 = 3;

/// What distinguishes one tenant from another.
#[derive(Debug)]
pub(super) struct Founding<'a> {
    pub(super) seed: u64,
    pub(super) population: &'a Population,
    pub(super) app_role: ActorRole,
    pub(super) replication_ms: u64,
}

#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) world: World,
    pub(super) ledger: Ledger,
    pub(super) risks: Risks,
    store: Option<Store>,
}

impl Tenant {
    /// Settles the population and, with a state directory, brings back what was changed in earlier lives.
    pub(super) fn open(
        founding: &Founding<'_>,
        state: Option<&Path>,
        now: UnixMillis,
    ) -> Result<Self, SimError> {
        let header = || Header::new(founding.seed, founding.population.identity(), now);
        let store = state.map(|path| Store::open(path, header())).transpose()?;
        let born = store.as_ref().map_or(now, Store::born);
        let domains = founding.population.domains();
        let directory = founding.population.settle(founding.seed, born, &domains);
        let world = World {
            seed: founding.seed,
            app_role: founding.app_role,
            domains,
            directory,
            lag: Lag::new(founding.replication_ms),
        };
        let mut tenant = Self {
            world,
            ledger: Ledger::default(),
            risks: Risks::default(),
            store: None,
        };
        if let Some(mut store) = store {
            tenant.remember(&mut store)?;
            tenant.store = Some(store);
        }
        Ok(tenant)
    }

    /// Stores a planned write and makes it; gives the user's id.
    pub(super) fn write(
        &mut self,
        planned: Planned,
        now: UnixMillis,
        identity: &Identity,
        client_request_id: Option<&str>,
    ) -> Result<UserId, Refusal> {
        let id = planned.id;
        let record = WriteRecord {
            seq: self.ledger.next_seq(),
            at: now,
            id,
            method: planned.kind,
            changed: ledger::difference(self.world.directory.by_id(id), planned.after.as_ref()),
            client_request_id: client_request_id.map(Into::into),
        };
        let fate = planned.after.clone().map_or(Fate::Purged(id), Fate::Is);
        self.store_line(&Line {
            write: Some(record.clone()),
            fate: Some(fate),
            ..Line::default()
        })?;
        self.ledger.push(record);
        self.world.commit(planned, now, identity);
        Ok(id)
    }

    /// Lets an object from on premises take a user over. It is nobody's write, so it does not stand among the writes.
    pub(super) fn take_over(
        &mut self,
        takeover: Takeover,
        anchor: &str,
        now: UnixMillis,
        identity: &Identity,
    ) -> Result<UserId, NoHardMatch> {
        let after = hard_match::plan(&self.world, takeover, anchor)?;
        let id = after.id;
        let line = Line {
            fate: Some(Fate::Is(after.clone())),
            ..Line::default()
        };
        self.store_line(&line).map_err(|_| NoHardMatch::NotStored)?;
        let planned = Planned {
            kind: WriteKind::Patch,
            id,
            after: Some(after),
        };
        self.world.commit(planned, now, identity);
        Ok(id)
    }

    /// Stores planned changes of risks and makes them.
    pub(super) fn write_risks(&mut self, risks: Vec<(UserId, Risk)>) -> Result<(), Refusal> {
        let line = Line {
            risks,
            ..Line::default()
        };
        self.store_line(&line)?;
        line.risks
            .into_iter()
            .for_each(|(id, risk)| self.risks.put(id, risk));
        Ok(())
    }

    fn store_line(&mut self, line: &Line) -> Result<(), Refusal> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        match store.append(line) {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "the simulated tenant cannot store a write; it refuses writes until it is started again");
                Err(Refusal::StateNotWritten)
            }
        }
    }

    fn remember(&mut self, store: &mut Store) -> Result<(), SimError> {
        let mut changed = HashSet::new();
        let lines = store.replay(|line| {
            if let Some(record) = line.write {
                self.ledger.push(record);
            }
            if let Some(fate) = line.fate {
                changed.insert(apply(&mut self.world.directory, fate));
            }
            for (id, risk) in line.risks {
                self.risks.put(id, risk);
            }
        })?;
        let left = (changed.len() + self.ledger.records().count()) as u64;
        if lines > COMPACT_LINES_MIN && lines > left.saturating_mul(COMPACT_RATIO) {
            store.compact(self.compacted(&changed))?;
        }
        Ok(())
    }

    /// The changed users as they are, and the writes that are still remembered.
    fn compacted(&self, changed: &HashSet<UserId>) -> impl Iterator<Item = Line> {
        let fates = changed.iter().map(|id| {
            let user = self.world.directory.by_id(*id).cloned();
            Line {
                fate: Some(user.map_or(Fate::Purged(*id), Fate::Is)),
                ..Line::default()
            }
        });
        let writes = self.ledger.records().map(|record| Line {
            write: Some(record.clone()),
            ..Line::default()
        });
        let risks = Line {
            risks: self.risks.changed().collect(),
            ..Line::default()
        };
        fates.chain(writes).chain([risks])
    }
}

fn apply(directory: &mut Directory, fate: Fate) -> UserId {
    match fate {
        Fate::Is(user) => {
            let id = user.id;
            directory.put(user);
            id
        }
        Fate::Purged(id) => {
            directory.purge(id);
            id
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::change::Change;
    use crate::sim::route::Version;
    use crate::sim::user::{User, UserKey};
    use crate::sim::world::Actor;

    const ADMIN: Actor = Actor {
        role: ActorRole::Administrator,
        at: UnixMillis(3_000),
    };

    fn open(path: &Path) -> Tenant {
        let population = Population::Generated { users: 50 };
        let founding = Founding {
            seed: 7,
            population: &population,
            app_role: ActorRole::Administrator,
            replication_ms: 0,
        };
        Tenant::open(&founding, Some(path), UnixMillis(1_000)).unwrap()
    }

    fn somebody(tenant: &Tenant) -> User {
        let directory = &tenant.world.directory;
        let mut users = (0..directory.slots()).filter_map(|slot| directory.get(slot));
        users
            .find(|user| user.is_live() && user.sync == crate::sim::user::Sync::Never)
            .unwrap()
            .clone()
    }

    fn write(tenant: &mut Tenant, planned: Planned) {
        tenant
            .write(
                planned,
                UnixMillis(2_000),
                &Identity::for_test(1),
                Some("caller"),
            )
            .unwrap();
    }

    #[test]
    fn a_tenant_comes_back_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let mut tenant = open(directory.path());
        let user = somebody(&tenant);
        let change = Change::parse(
            br#"{"userPrincipalName":"elsewhere@contoso.onmicrosoft.com","jobTitle":"Baker"}"#,
            Version::V1,
        )
        .unwrap();
        let planned = tenant
            .world
            .plan_patch(ADMIN, &UserKey::Id(user.id), &change)
            .unwrap();
        write(&mut tenant, planned);
        let planned = tenant
            .world
            .plan_delete(ADMIN, &UserKey::Id(user.id))
            .unwrap();
        write(&mut tenant, planned);
        let expected = tenant.world.directory.by_id(user.id).unwrap().clone();
        drop(tenant);
        let mut tenant = open(directory.path());
        assert_eq!(tenant.world.directory.by_id(user.id), Some(&expected));
        assert_eq!(tenant.ledger.next_seq(), 3);
        let planned = tenant.world.plan_purge(ADMIN, user.id).unwrap();
        write(&mut tenant, planned);
        drop(tenant);
        assert_eq!(open(directory.path()).world.directory.by_id(user.id), None);
    }
}
