//! People as they are in reality: found by whatever names them, restored whatever stands in the way, and seen through replicas
//! that are behind. Whole runs of the real runner on simulated time against the simulated tenant.

mod finding;
mod replication;
mod replies;
mod restoring;
mod rows;
mod stage;
