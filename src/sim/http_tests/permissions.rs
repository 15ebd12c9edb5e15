//! What a token says is what counts: permissions that are granted or taken away show in new tokens only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn named(permission: &str) -> GraphPermission {
    permission.parse().unwrap()
}

fn with(permissions: &[&str]) -> Options {
    Options { permissions: permissions.iter().map(|name| named(name)).collect(), ..quiet() }
}

#[tokio::test]
async fn a_token_tells_what_it_is_for() {
    let session = Session::start(quiet()).await;
    let claims = claims(&session.token);
    let granted = GraphPermission::of_shipped_jobs();
    let names: Vec<_> = granted.iter().map(|one| one.name()).collect();
    assert_eq!(claims["roles"], json!(names));
    assert_eq!(claims["tid"], TENANT_ID);
    assert_eq!(claims["appid"], CLIENT_ID);
    assert_eq!(claims["oid"], SERVICE_PRINCIPAL_ID);
    assert_eq!(claims["aud"], "https://graph.microsoft.com");
    assert_eq!(claims["wids"], json!([]));
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(life, 3_599);
}

#[tokio::test]
async fn a_permission_is_missed_until_a_token_carries_it() {
    let mut session = Session::start(with(&["User.Read.All"])).await;
    let (id, _) = session.somebody().await;
    let path = format!("/v1.0/users/{id}");
    assert_eq!(session.get(&path).await.0, StatusCode::OK);
    let body = json!({"jobTitle": "Baker"});
    let (status, refused) = parts(session.patch(&path, &body).await).await;
    assert_eq!((status, &refused["error"]["code"]), (StatusCode::FORBIDDEN, &json!("Authorization_RequestDenied")));
    session.simulator.change_permissions(|granted| {
        granted.insert(named("User.ReadWrite.All"));
    });
    let old_token = session.patch(&path, &body).await.status();
    assert_eq!(old_token, StatusCode::FORBIDDEN);
    session.token = token(&session.simulator, &session.client).await;
    let new_token = session.patch(&path, &body).await.status();
    assert_eq!(new_token, StatusCode::NO_CONTENT);
    session.simulator.change_permissions(BTreeSet::clear);
    let still = session.patch(&path, &body).await.status();
    assert_eq!(still, StatusCode::NO_CONTENT, "the token still says so");
    assert_eq!(session.lines("/sim/writes").await.len(), 2);
}

#[tokio::test]
async fn every_address_is_closed_without_permissions() {
    let session = Session::start(with(&[])).await;
    let id = text(&session.everybody().await[0]["id"]);
    for path in [
        "/v1.0/users",
        &format!("/v1.0/users/{id}"),
        &format!("/beta/users/{id}"),
        "/v1.0/directory/deletedItems/microsoft.graph.user",
        &format!("/v1.0/directory/deletedItems/{id}"),
        "/v1.0/domains",
        "/v1.0/domains/contoso.com",
        "/v1.0/organization",
        "/v1.0/roleManagement/directory/roleAssignments",
        "/v1.0/roleManagement/directory/roleEligibilityScheduleInstances",
        &format!("/v1.0/groups/{id}/transitiveMembers"),
        "/v1.0/identityProtection/riskyUsers",
        &format!("/v1.0/identityProtection/riskyUsers/{id}"),
    ] {
        assert_eq!(session.get(path).await.0, StatusCode::FORBIDDEN, "{path}");
    }
    let restore = format!("/v1.0/directory/deletedItems/{id}/restore");
    for (method, path) in [
        (Method::DELETE, format!("/v1.0/users/{id}")),
        (Method::POST, restore),
        (Method::POST, "/v1.0/users".to_owned()),
        (Method::POST, "/v1.0/identityProtection/riskyUsers/dismiss".to_owned()),
    ] {
        let sent = session.request(method, &path).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn clearing_the_identifier_takes_its_permission_and_a_role() {
    let everything = |admin| Options { app_has_admin_role: admin, ..quiet() };
    let clear = json!({"onPremisesObjectIdentifier": null});
    let mut session = Session::start(everything(true)).await;
    let linked = |user: &&Value| {
        user["onPremisesObjectIdentifier"].is_string()
            && user["deleted"] == false
            && user["onPremisesSyncEnabled"] == false
    };
    let id = text(&session.everybody().await.iter().find(linked).unwrap()["id"]);
    let beta = format!("/beta/users/{id}");
    let v1 = format!("/v1.0/users/{id}");
    let select = "?$select=id,onPremisesObjectIdentifier";
    assert_eq!(session.get(&format!("{v1}{select}")).await.0, StatusCode::BAD_REQUEST);
    let (_, user) = session.get(&format!("{beta}{select}")).await;
    assert!(user["onPremisesObjectIdentifier"].is_string());
    assert!(text(&user["@odata.context"]).contains("/beta/$metadata#users("));
    assert_eq!(session.patch(&v1, &clear).await.status(), StatusCode::BAD_REQUEST);
    session.simulator.change_permissions(|granted| {
        granted.remove(&named("User-OnPremisesSyncBehavior.ReadWrite.All"));
    });
    let whole = session.token.clone();
    session.token = token(&session.simulator, &session.client).await;
    assert_eq!(session.patch(&beta, &clear).await.status(), StatusCode::FORBIDDEN);
    session.token = whole;
    assert_eq!(session.patch(&beta, &clear).await.status(), StatusCode::NO_CONTENT);
    let (_, user) = session.get(&format!("{beta}{select}")).await;
    assert_eq!(user["onPremisesObjectIdentifier"], Value::Null);
    let write = &session.lines("/sim/writes").await[0];
    assert_eq!(write["changed"]["onPremisesObjectIdentifier"]["to"], Value::Null);

    let session = Session::start(everything(false)).await;
    assert_eq!(session.patch(&beta, &clear).await.status(), StatusCode::FORBIDDEN);
}
