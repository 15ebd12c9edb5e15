//! Listens to the processes of a run, as the progress bar does.

use crate::simulation::oracle;
use crate::simulation::world::World;
use cutover::machine::Outcome;
use cutover::runner::stop::RunMode;
use cutover::runner::{Consumer, RunEvent};
use std::sync::{Arc, Mutex};

/// What was heard from the run, over all processes.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) stranded: Vec<usize>,
    pub(super) complaints: Vec<String>,
}

impl Watch {
    /// Somebody who is exposed and was not given up, if there is one.
    pub(super) fn exposed(&self, world: &World) -> Option<String> {
        let meddled = world.meddled();
        let stranded = self.stranded.iter().map(|person| world.same_as(*person));
        let stranded: Vec<_> = stranded.collect();
        let known = |person: &usize| meddled.contains(person) || stranded.contains(&world.same_as(*person));
        let exposed = oracle::exposed(world).into_iter().find(|who| !known(who));
        exposed.map(|person| format!("person {person} is exposed"))
    }
}

/// Listens to a run, as the progress bar does.
pub(super) struct Watcher {
    pub(super) world: Arc<World>,
    pub(super) watch: Arc<Mutex<Watch>>,
    /// Nothing has moved since it was looked who is exposed.
    pub(super) looked: bool,
}

impl Consumer for Watcher {
    fn on_event(&mut self, event: &RunEvent) {
        let mut watch = self.watch.lock().unwrap();
        match event {
            RunEvent::RowEnded { row, outcome, .. } if *outcome == Outcome::Stranded => {
                watch.stranded.push(row.0 as usize - 1);
            }
            RunEvent::Tick(snapshot) if snapshot.in_flight == 0 && matches!(snapshot.mode, RunMode::Paused(_)) => {
                if std::mem::replace(&mut self.looked, true) {
                    return;
                }
                let exposed = watch.exposed(&self.world);
                watch.complaints.extend(exposed.map(|who| format!("{who} while nothing moves")));
            }
            RunEvent::Started { .. }
            | RunEvent::RowEnded { .. }
            | RunEvent::Tick(_)
            | RunEvent::Draining(_)
            | RunEvent::Interrupted { .. }
            | RunEvent::StillDraining { .. }
            | RunEvent::StoppingNow { .. }
            | RunEvent::Ended(_) => {}
            RunEvent::Paused(_) | RunEvent::GoingOn => self.looked = false,
        }
    }
}
