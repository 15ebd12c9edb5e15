//! What the shipped jobs send, and what the simulated tenant answers, held against Microsoft's own description of Graph
//! (`openapi.yaml`; where the service differs from it by its documentation: `documented.yaml`).
//!
//! Every shipped job is run by the program's own runner, with every two values of its parameters together, with people in every
//! situation, and with every step refused and in doubt. A part of a job that was never sent for fails the test by its name.

mod description;
mod drive;
mod line;
mod parts;
mod scenario;
mod schema;

use cutover::job::{SHIPPED, find};
use description::{Came, Description, Sent};
use line::{Exchange, Trouble, refusal};
use parts::{Part, Tagged};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs at a time: they wait for the disk more than they compute.
const THREADS: usize = 8;

#[test]
fn every_request_of_every_shipped_job_and_every_reply_is_as_described() {
    let description = Description::read();
    for file in SHIPPED {
        let tagged = Tagged::new(find(file.name).unwrap());
        let mut seen: BTreeSet<Part> = BTreeSet::new();
        // Each fault of each part, with one request that has it.
        let mut faults: BTreeMap<String, String> = BTreeMap::new();
        let mut known: BTreeSet<String> = BTreeSet::new();
        for exchange in exchanges(&tagged, file.name) {
            // Most of what is sent was sent before, by another run.
            if known.insert(format!("{:?} {:?}", exchange.sent, exchange.came)) {
                faults.extend(faults_of(&description, &exchange));
            }
            seen.extend(exchange.part);
        }
        let unseen = tagged.all().filter(|part| !seen.contains(part));
        faults.extend(unseen.map(|part| (part.to_string(), "it was never sent".to_owned())));
        let told: Vec<String> = faults.iter().map(|(fault, example)| format!("{fault}\n    {example}")).collect();
        assert!(told.is_empty(), "the job {}:\n{}", file.name, told.join("\n"));
    }
}

/// Everything that a job sends, on all its ways.
fn exchanges(tagged: &Tagged, name: &str) -> Vec<Exchange> {
    let scenario = scenario::of(name);
    let ways = ways(tagged);
    let next = AtomicUsize::new(0);
    let go = || {
        let mut all = Vec::new();
        while let Some((given, trouble)) = ways.get(next.fetch_add(1, Ordering::Relaxed)) {
            all.extend(drive::run(tagged, &scenario, given, trouble.clone()));
        }
        all
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(go)).collect();
        let sent = workers.into_iter().flat_map(|worker| worker.join().unwrap());
        sent.collect()
    })
}

/// Parameters of a run, and the trouble it meets.
fn ways(tagged: &Tagged) -> Vec<(Vec<(String, String)>, Trouble)> {
    let mut ways = Vec::new();
    for given in drive::settings(&tagged.job) {
        ways.push((given, Trouble::None));
    }
    for given in drive::one_at_a_time(&tagged.job) {
        let refused = tagged.steps.iter().cloned().map(Trouble::Refused);
        ways.extend(refused.map(|trouble| (given.clone(), trouble)));
    }
    let lost = tagged.steps.iter().cloned().map(Trouble::Lost);
    let unsupported = tagged.instead.iter().map(|(look, _)| Trouble::Unsupported(look.clone()));
    ways.extend(lost.chain(unsupported).map(|trouble| (Vec::new(), trouble)));
    ways
}

/// Everything that is wrong with an exchange, each with the exchange itself.
fn faults_of(description: &Description, exchange: &Exchange) -> Vec<(String, String)> {
    let sent = &exchange.sent;
    let mut faults = description.faults_of_request(sent);
    if let Some(came) = &exchange.came {
        faults.extend(description.faults_of_reply(sent, came));
    }
    let part = match &exchange.part {
        Some(part) => part.to_string(),
        None => "a next page".to_owned(),
    };
    if exchange.part.is_none() && !sent.is_next_page {
        faults.push("nobody knows which part of the job sends this: tag it in parts.rs".into());
    }
    let body = sent.body.as_ref().map(Value::to_string).unwrap_or_default();
    let example = format!("{} {} {body}", sent.method, sent.path);
    let told = |fault| (format!("{part}: {fault}"), example.clone());
    faults.into_iter().map(told).collect()
}

fn sent(method: &'static str, path: &str, body: Option<Value>) -> Sent {
    Sent { method, path: path.to_owned(), headers: Vec::new(), body, is_next_page: false }
}

/// A judge that finds nothing would pass everything.
#[test]
fn what_is_not_as_described_is_found() {
    let description = Description::read();
    let user = "/users/00000000-0000-0000-0000-000000000000";
    let deleted = "/directory/deletedItems/00000000-0000-0000-0000-000000000000";
    let with_header = |name: &str, value: &str| Sent {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..sent("GET", "/directory/deletedItems/microsoft.graph.user", None)
    };
    let faulty = [
        (sent("GET", "/user", None), "the path /user is not described"),
        (sent("PUT", user, Some(json!({}))), "PUT /users/{user-id} is not described"),
        (sent("GET", &format!("{user}?$selekt=id"), None), "$selekt is not described"),
        (sent("GET", &format!("{user}?$select=id,imutableId"), None), "imutableId"),
        (sent("GET", &format!("{user}?$select=id,id"), None), "non-unique"),
        (sent("GET", "/users/o'brien#ext@contoso.com", None), "`#` stands in the address"),
        (sent("GET", "/users?$top=many", None), "integer"),
        (sent("PATCH", user, None), "a body is missing"),
        (sent("PATCH", user, Some(json!({"onPremisesImutableId": "x"}))), "onPremisesImutableId"),
        (sent("PATCH", user, Some(json!({"onPremisesImmutableId": 7}))), "7"),
        (sent("PATCH", user, Some(json!({"passwordProfile": {"pasword": "x"}}))), "pasword"),
        (sent("DELETE", user, Some(json!({}))), "a body is sent"),
        (sent("POST", &format!("{deleted}/restore"), Some(json!({"newUpn": "a@b.c"}))), "newUpn"),
        (with_header("X-Colour", "red"), "the header X-Colour is not described"),
        (with_header("ConsistencyLevel", "soon"), "soon"),
    ];
    for (sent, expected) in faulty {
        let faults = description.faults_of_request(&sent).join("; ");
        assert!(faults.contains(expected), "{sent:?}: {faults}");
    }
    let good = [
        sent("PATCH", user, Some(json!({"onPremisesImmutableId": null}))),
        sent("POST", &format!("{deleted}/restore"), None),
        sent("POST", &format!("{deleted}/restore"), Some(json!({"newUserPrincipalName": "a@b.c"}))),
        with_header("consistencylevel", "eventual"),
    ];
    for sent in good {
        assert_eq!(description.faults_of_request(&sent), Vec::<String>::new(), "{sent:?}");
    }
}

#[test]
fn a_reply_that_is_not_as_described_is_found() {
    let description = Description::read();
    let user = "/users/00000000-0000-0000-0000-000000000000";
    let get = sent("GET", user, None);
    let patch = sent("PATCH", user, Some(json!({})));
    let list = sent("GET", "/directory/deletedItems/microsoft.graph.user", None);
    let came = |status: u16, body: Value| Came {
        status,
        body: if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() },
    };
    let faulty = [
        (&get, came(200, json!({"id": 7})), "7"),
        (&get, came(200, json!({"id": "x", "userPrincipleName": "a@b.c"})), "userPrincipleName"),
        (&get, came(200, json!({"deletedDateTime": "yesterday"})), "yesterday"),
        (&get, came(200, Value::Null), "has no body"),
        (&list, came(200, json!({"value": [{"usrPrincipalName": "a@b.c"}]})), "usrPrincipalName"),
        (&patch, came(204, json!({"id": "x"})), "has a body"),
        (&get, came(404, json!({"error": {"code": "Request_ResourceNotFound"}})), "message"),
        (&get, came(404, json!({"fault": "no"})), "error"),
        (&get, came(302, json!({"error": {"code": "x"}})), "message"),
    ];
    for (sent, came, expected) in faulty {
        let faults = description.faults_of_reply(sent, &came).join("; ");
        assert!(faults.contains(expected), "{came:?}: {faults}");
    }
    let good =
        came(200, json!({"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users/$entity", "id": "x"}));
    assert_eq!(description.faults_of_reply(&get, &good), Vec::<String>::new());
}

/// The bodies that tests answer with by themselves: this one, and those that stand as raw strings in other tests.
#[test]
fn the_refusals_of_tests_are_as_described() {
    let description = Description::read();
    let mut bodies = vec![refusal("Request_BadRequest")];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src/services", "src/runner", "tests"] {
        raw_json(&root.join(folder), &mut bodies);
    }
    bodies.retain(|body| body["error"]["code"].is_string());
    assert!(bodies.len() > 3, "only {} were found", bodies.len());
    for body in bodies {
        assert_eq!(description.faults_of_error(&body), Vec::<String>::new(), "{body}");
    }
}

/// The JSON objects that stand as raw strings in the Rust files of a folder.
fn raw_json(folder: &Path, found: &mut Vec<Value>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            raw_json(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let raw = text.split("r#\"").skip(1).filter_map(|rest| rest.split("\"#").next());
            found.extend(raw.filter_map(|raw| serde_json::from_str(raw).ok()));
        }
    }
}

#[test]
fn every_difference_from_the_description_says_why_and_by_what_authority() {
    for (name, operation) in Description::documented() {
        for key in ["x-reason", "x-source"] {
            let said = operation[key].as_str().unwrap_or_default();
            assert!(!said.is_empty(), "{name} has no {key}");
        }
    }
}
