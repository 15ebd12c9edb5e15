//! What is asked together, and who gets which entry.

use super::*;
use crate::services::class::Class;
use crate::services::reply::Fault;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::sync::oneshot::Receiver;

const ASK: &str = "/users?$filter=onPremisesImmutableId%20eq%20'V'&$select=id,onPremisesImmutableId";

fn part(path: &str) -> (Part, Receiver<Reply>) {
    let (sender, receiver) = oneshot::channel();
    (Part { request: Request::get(path, Expects::Page), attempt: Uuid::nil(), reply: sender }, receiver)
}

fn asks(values: &[&str]) -> (Vec<ReadGroup>, Vec<Receiver<Reply>>) {
    let (parts, receivers): (Vec<_>, Vec<_>) = values.iter().map(|value| part(&ASK.replace('V', value))).unzip();
    (gather(parts), receivers)
}

fn page(items: Value) -> Reply {
    let Value::Array(items) = items else { panic!("no list") };
    let success = Success { status: 200, payload: Payload::Page { items, next: None } };
    Reply { result: Ok(success), request_id: None, usage: None, is_echo: false }
}

fn ids(receiver: &mut Receiver<Reply>) -> Vec<String> {
    match receiver.try_recv().unwrap().result.unwrap().payload {
        Payload::Page { items, .. } => items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect(),
        payload @ (Payload::Nothing | Payload::Object(_)) => panic!("{payload:?}"),
    }
}

#[test]
fn everybody_gets_the_entries_of_their_own_value() {
    let (mut groups, mut askers) = asks(&["QQ==", "o''x", "QQ==", "none"]);
    assert_eq!(groups.len(), 1);
    let group = groups.remove(0);
    assert_eq!(
        group.request.path,
        "/users?$filter=onPremisesImmutableId%20in%20%28'QQ%3D%3D','o''x','none'%29&$select=id,onPremisesImmutableId"
    );
    let items = json!([{"id": "1", "onPremisesImmutableId": "QQ=="}, {"id": "2", "onPremisesImmutableId": "O'X"}]);
    assert!(group.deliver(page(items)).is_empty());
    let got: Vec<Vec<String>> = askers.iter_mut().map(ids).collect();
    assert_eq!(got, [vec!["1"], vec!["2"], vec!["1"], vec![]]);
}

#[test]
fn a_clause_holds_fifteen_values() {
    let values: Vec<String> = (0..31).map(|value| value.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let (groups, _askers) = asks(&values);
    let sizes: Vec<usize> = groups.iter().map(|group| group.askers.len()).collect();
    assert_eq!(sizes, [15, 15, 1]);
}

#[test]
fn a_reply_that_does_not_show_whose_an_entry_is_sends_everybody_alone() {
    let next = |mut reply: Reply| {
        if let Ok(Success { payload: Payload::Page { next, .. }, .. }) = &mut reply.result {
            *next = Some("/more".into());
        }
        reply
    };
    let fault =
        |class| -> Reply { Fault { class, code: "code".into(), message: "message".into(), status: Some(400) }.into() };
    let strange = page(json!([{"id": "1", "onPremisesImmutableId": "c"}]));
    for reply in [strange, page(json!([{"id": "1"}])), next(page(json!([]))), fault(Class::InvalidValue)] {
        let (mut groups, mut askers) = asks(&["a", "b"]);
        assert_eq!(groups.remove(0).deliver(reply).len(), 2);
        assert!(askers.iter_mut().all(|asker| asker.try_recv().is_err()));
    }
    // What is true of all is told to all, and counted once.
    let (mut groups, mut askers) = asks(&["a", "b"]);
    assert!(groups.remove(0).deliver(fault(Class::UNAVAILABLE)).is_empty());
    let echoes: Vec<bool> = askers.iter_mut().map(|asker| asker.try_recv().unwrap().is_echo).collect();
    assert_eq!(echoes, [false, true]);
}

#[test]
fn only_lookups_that_are_alike_are_asked_together() {
    let paths = [
        "/users?$filter=p%20eq%20'a'&$select=p",
        "/users?$filter=p%20eq%20'b'&$select=p,q",
        "/users?$filter=q%20eq%20'b'&$select=p,q",
        "/groups?$filter=p%20eq%20'b'&$select=p",
        "/users?$filter=p%20eq%20'b'&$select=id",
        "/users?$filter=p%20eq%20'b'",
        "/users?$filter=endsWith(p,'b')&$select=p",
        "/users?$filter=p%20eq%20'b'%20or%20p%20eq%20'c'&$select=p",
        "/users?$filter=p%20eq%20'b&$select=p",
        "/users?$select=p",
    ];
    let (parts, _askers): (Vec<_>, Vec<_>) = paths.iter().map(|path| part(path)).unzip();
    let groups = gather(parts);
    assert_eq!(groups.iter().map(|group| group.request.path.as_str()).collect::<Vec<_>>(), paths);
    let (parts, _askers): (Vec<_>, Vec<_>) =
        ["/users?$filter=p%20in%20('a','b')&$select=p", "/users?$filter=p%20eq%20'c'&$select=p"]
            .map(part)
            .into_iter()
            .unzip();
    assert_eq!(gather(parts)[0].request.path, "/users?$filter=p%20in%20%28'a','b','c'%29&$select=p");
}

proptest::proptest! {
    #[test]
    fn any_texts_come_back_as_they_were(values in proptest::collection::vec("\\PC{0,9}", 1..9)) {
        let quoted: Vec<String> = values.iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
        proptest::prop_assert_eq!(texts(&quoted.join(",")), Some(values));
    }
}
