//! Reading finished rows again: no drift where nothing has changed, planted drift by row and property, and nothing written.

use crate::support::{Ran, Stage, calm};
use serde_json::Value;
use std::collections::BTreeMap;

fn verify(stage: &Stage, more: &[&str]) -> Ran {
    let mut line = stage.cutover(&["verify", "--target", "sim.toml"]);
    stage.end(line.args(more))
}

fn finished_run() -> Stage {
    let stage = Stage::new(calm(60));
    stage.end(&mut stage.quick_run(&["--max-failed", "100%"]));
    stage
}

#[test]
fn what_nobody_has_changed_has_not_drifted() {
    let stage = finished_run();
    let outcomes = stage.outcomes();
    let good = outcomes.iter().filter(|line| ["done", "unchanged"].contains(&&*line["outcome"]));
    let (good, writes) = (good.count() as u64, stage.stat("writes"));
    let found: Value = verify(&stage, &["--json"]).must_end(0).json();
    assert_eq!(found["checked"].as_u64(), Some(good), "{found}");
    assert_eq!(found["drifted"], Value::Array(Vec::new()));
    assert_eq!(stage.stat("writes"), writes, "verify writes nothing");
}

#[test]
fn planted_drift_is_told_by_row_and_property() {
    let stage = finished_run();
    let outcomes = stage.outcomes();
    // Whoever is not federated can be changed by others without a detour.
    let free = |line: &&BTreeMap<String, String>| line["outcome"] == "done" && line["writes"] == "2";
    let done = outcomes.iter().find(free).unwrap();
    let planted = [("onPremisesImmutableId", None)];
    stage.change_behind_our_back(&done["object_id"], &planted);
    let found: Value = verify(&stage, &["--json"]).must_end(1).json();
    let drifted = found["drifted"].as_array().unwrap();
    assert_eq!(drifted.len(), 1, "{found}");
    assert_eq!(drifted[0]["row"].to_string(), done["row"]);
    assert_eq!(drifted[0]["property"], "onPremisesImmutableId");
    assert_eq!(drifted[0]["expected"], *done["immutable_id_after"]);
    assert_eq!(drifted[0]["found"], Value::Null);
    let told = verify(&stage, &[]).must_end(1);
    assert!(told.stdout.contains("onPremisesImmutableId should be"), "{}", told.stdout);
}
