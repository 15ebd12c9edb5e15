//! Who holds a directory role and who may activate one, read as a client reads it.

use std::collections::BTreeSet;

use super::*;

const HELD: &str = "/v1.0/roleManagement/directory/roleAssignments";
const ELIGIBLE: &str = "/v1.0/roleManagement/directory/roleEligibilityScheduleInstances";

/// Enough people for some of each kind.
fn many() -> Options {
    Options { population: Population::Generated { users: 2_000 }, ..quiet() }
}

impl Session {
    /// All objects of a listing over its pages; `advanced` as Graph's advanced queries want it.
    async fn all(&self, path: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let request = self.request(Method::GET, &path).header("ConsistencyLevel", "eventual");
            let (status, page) = parts(request.send().await.unwrap()).await;
            assert_eq!(status, StatusCode::OK, "{path}: {page}");
            found.extend(page["value"].as_array().unwrap().clone());
            let link = page["@odata.nextLink"].as_str();
            next = link.map(|link| link.strip_prefix(&self.simulator.url()).unwrap().to_owned());
        }
        found
    }

    async fn people(&self, list: &str) -> BTreeSet<String> {
        let listed = self.all(&format!("{list}?$expand=principal($select=id)&$top=7")).await;
        let mut people = BTreeSet::new();
        for entry in &listed {
            let principal = &entry["principal"];
            assert_eq!(principal["id"], entry["principalId"]);
            assert_eq!(principal.as_object().unwrap().len(), 2, "{principal}");
            match principal["@odata.type"].as_str().unwrap() {
                "#microsoft.graph.user" => {
                    people.insert(text(&principal["id"]));
                }
                "#microsoft.graph.group" => {
                    let group = text(&principal["id"]);
                    let members = format!(
                        "/v1.0/groups/{group}/transitiveMembers/microsoft.graph.user?$select=id&$count=true&$top=2"
                    );
                    let members = self.all(&members).await;
                    assert!(members.len() > 2, "{members:?}");
                    people.extend(members.iter().map(|member| text(&member["id"])));
                }
                other => assert_eq!(other, "#microsoft.graph.servicePrincipal"),
            }
        }
        people
    }
}

#[tokio::test]
async fn the_lists_and_their_groups_name_everybody_with_a_role() {
    let session = Session::start(many()).await;
    let everybody = session.everybody().await;
    for (list, mark) in [(HELD, "administrator"), (ELIGIBLE, "eligible")] {
        let marked = everybody.iter().filter(|user| user[mark] == true);
        let expected: BTreeSet<_> = marked.map(|user| text(&user["id"])).collect();
        assert!(expected.len() > 8, "{mark}: {expected:?}");
        assert_eq!(session.people(list).await, expected, "{mark}");
    }
}

#[tokio::test]
async fn the_lists_have_microsofts_form() {
    let session = Session::start(many()).await;
    let (_, page) = session.get(&format!("{HELD}?$expand=principal&$top=3")).await;
    assert!(
        text(&page["@odata.context"])
            .ends_with("/v1.0/$metadata#roleManagement/directory/roleAssignments(principal())")
    );
    let names = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(names(&page["value"][0]), ["directoryScopeId", "id", "principal", "principalId", "roleDefinitionId"]);
    let (_, page) = session.get(&format!("{ELIGIBLE}?$select=principalId,memberType")).await;
    assert_eq!(names(&page["value"][0]), ["memberType", "principalId"]);
    let holder = text(&page["value"][1]["principalId"]);
    let (_, found) = session.get(&format!("{ELIGIBLE}?$filter=principalId eq '{holder}'")).await;
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
    assert_eq!(found["value"][0]["principalId"], json!(holder));
    for bad in ["$expand=roleDefinition", "$orderby=id", "$select=nothing"] {
        let (status, _) = session.get(&format!("{HELD}?{bad}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn members_are_cast_by_an_advanced_query_only() {
    let session = Session::start(many()).await;
    let (_, page) = session.get(&format!("{HELD}?$expand=principal")).await;
    let entries = page["value"].as_array().unwrap();
    let is_group = |entry: &&Value| entry["principal"]["@odata.type"] == "#microsoft.graph.group";
    let group = text(&entries.iter().find(is_group).unwrap()["principalId"]);
    let members = format!("/v1.0/groups/{group}/transitiveMembers");
    let (status, body) = session.get(&format!("{members}/microsoft.graph.user?$select=id")).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("Request_UnsupportedQuery")));
    let (status, body) = session.get(&format!("{members}?$select=id")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["value"][0]["@odata.type"], "#microsoft.graph.user");
    let nobody = format!("/v1.0/groups/{TENANT_ID}/transitiveMembers");
    assert_eq!(session.get(&nobody).await.0, StatusCode::NOT_FOUND);
}
