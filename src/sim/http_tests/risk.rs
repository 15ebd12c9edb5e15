//! Identity Protection, read and acted on as a client does.

use super::*;

const LIST: &str = "/v1.0/identityProtection/riskyUsers";

async fn act(session: &Session, action: &str, body: &Value) -> StatusCode {
    let request = session.request(Method::POST, &format!("{LIST}/{action}"));
    request.json(body).send().await.unwrap().status()
}

#[tokio::test]
async fn risks_are_listed_dismissed_and_confirmed_and_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Options {
        population: Population::Generated { users: 1_000 },
        state: Some(directory.path().to_owned()),
        ..quiet()
    };
    let session = Session::start(options()).await;
    let (_, page) = session.get(&format!("{LIST}?$top=2")).await;
    assert!(page["@odata.nextLink"].is_string());
    let entries = page["value"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["riskState"], "atRisk");
    let (one, other) = (text(&entries[0]["id"]), text(&entries[1]["id"]));
    assert_eq!(act(&session, "dismiss", &json!({"userIds": [one]})).await, StatusCode::NO_CONTENT);
    assert_eq!(act(&session, "confirmCompromised", &json!({"userIds": [other]})).await, StatusCode::NO_CONTENT);
    assert_eq!(act(&session, "dismiss", &json!({"userIds": "x"})).await, StatusCode::BAD_REQUEST);
    session.simulator.stop().await;

    let session = Session::start(options()).await;
    let (_, dismissed) = session.get(&format!("{LIST}/{one}")).await;
    assert_eq!(
        (&dismissed["riskState"], &dismissed["riskLevel"], &dismissed["riskDetail"]),
        (&json!("dismissed"), &json!("none"), &json!("adminDismissedAllRiskForUser"))
    );
    let filtered = format!("{LIST}?$filter=id eq '{other}'&$select=id,riskState");
    let (_, found) = session.get(&filtered).await;
    assert_eq!(found["value"], json!([{"id": other, "riskState": "confirmedCompromised"}]));
}

#[tokio::test]
async fn who_is_not_at_risk_is_not_found() {
    let session = Session::start(quiet()).await;
    let everybody = session.everybody().await;
    let (_, page) = session.get(LIST).await;
    let risky: Vec<_> = page["value"].as_array().unwrap().iter().collect();
    let is_safe = |user: &&Value| risky.iter().all(|one| one["id"] != user["id"]);
    let safe = text(&everybody.iter().find(is_safe).unwrap()["id"]);
    let (status, _) = session.get(&format!("{LIST}/{safe}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = session.get(&format!("{LIST}?$filter=riskLevel eq 'low'")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
