//! For each shipped job: the people of the tenant, the file, and the on-premises directory, chosen so that every part of the
//! job has somebody to be sent for.

//! For each shipped job: the people of the tenant, the file, and the on-premises directory, chosen so that every part of the
//! job has somebody to be sent for.

use super::line::NOW_MS;
use async_trait::async_trait;
use axum::http::Request;
use cutover::services::{Account, Directory, Fault, Question};
use cutover::sim::{Direct, Faults, Options, Person, Population, ServiceLimits};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// People of each domain.
const PEOPLE: usize = 24;
/// Under this seed there is somebody of every sort: the test says what is missing if that changes.
const SEED: u64 = 11;

pub struct Scenario {
    options: Options,
    /// What happened to people before the run: method, path, body.
    past: Vec<(&'static str, String, Value)>,
    /// The file.
    pub csv: String,
    pub directory: Premises,
}

impl Scenario {
    /// The tenant as the run finds it.
    pub fn tenant(&self) -> Direct {
        let tenant = Direct::new(&self.options, NOW_MS).unwrap();
        let token = tenant.token(NOW_MS);
        for (method, path, body) in &self.past {
            let request = Request::builder()
                .method(*method)
                .uri(path)
                .header("authorization", format!("Bearer {token}"))
                .header("content-type", "application/json")
                .body(match body {
                    Value::Null => Vec::new(),
                    body => serde_json::to_vec(body).unwrap(),
                })
                .unwrap();
            let Some(reply) = tenant.answer(request, NOW_MS) else {
                panic!("this tenant makes no troubles of its own");
            };
            assert_eq!(reply.status(), 204, "{method} {path}");
        }
        tenant
    }
}

/// The scenario of a shipped job.
///
/// # Panics
/// For a job that has none yet: then its requests would go unseen.
pub fn of(job: &str) -> Scenario {
    match job {
        "immutable-id" => immutable_id(),
        other => {
            panic!("the job {other} needs a scenario here, so that its requests are validated")
        }
    }
}

/// Names with everything in them that is legal and needs encoding somewhere.
const NAMES: [&str; 8] =
    ["ann", "o'brien", "guest_home.com#EXT#", "a'b''c", "x!y~z", "caret^under_score", "dots.and-hyphens", "MiXed.Case"];
/// The simulated tenant's federated and managed domains.
const DOMAINS: [&str; 2] = ["contoso.com", "fabrikam.com"];
/// People who are in the tenant and not in the file: enough for roles that are held and eligible by way of groups.
const BYSTANDERS: usize = 600;

/// Somebody in the file.
struct Row {
    person: Person,
    guid: Uuid,
}

fn immutable_id() -> Scenario {
    let rows: Vec<Row> = upns().enumerate().map(row).collect();
    let bystanders = (0..BYSTANDERS).map(|at| Person {
        upn: format!("bystander{at}@{}", DOMAINS[at % 2]),
        temp_upn: None,
        wanted_immutable_id: None,
    });
    let people = rows.iter().map(|row| row.person.clone()).chain(bystanders);
    let options = Options {
        seed: SEED,
        population: Population::People(people.collect()),
        faults: Faults::none(),
        limits: ServiceLimits::off(),
        token_life_s: 1 << 40,
        ..Options::default()
    };
    let accounts = accounts(&Direct::new(&options, NOW_MS).unwrap());
    let away = rows.iter().find(|row| is_movable(row, &accounts)).expect("somebody lives in the federated domain");
    let away_id = accounts[&away.person.upn]["id"].as_str().unwrap();
    // Deleted at the temporary UPN, where an earlier script had left them.
    let past = vec![
        ("PATCH", format!("/v1.0/users/{away_id}"), json!({"userPrincipalName": temporary(&away.person)})),
        ("DELETE", format!("/v1.0/users/{away_id}"), Value::Null),
    ];
    let mut csv = String::from("upn,object_guid,immutable_id,temp_upn,object_id\n");
    let mut directory = Premises::default();
    for (at, row) in rows.iter().enumerate() {
        let Row { person, guid } = row;
        // A third is told by the file's GUID, a third by its ImmutableID, a third by the directory.
        let (object_guid, immutable_id) = match at % 3 {
            0 => (guid.to_string(), String::new()),
            1 => (String::new(), base64(*guid)),
            _ => {
                let is_consistency = at % 2 == 0;
                directory.0.push((person.upn.clone(), *guid, is_consistency));
                (String::new(), String::new())
            }
        };
        let temporary = person.temp_upn.clone().unwrap_or_default();
        let named_by_id = at % 7 == 3 || person.upn == away.person.upn;
        let object_id =
            accounts.get(&person.upn).filter(|_| named_by_id).map_or("", |account| account["id"].as_str().unwrap());
        let upn = &person.upn;
        csv.push_str(&format!("{upn},{object_guid},{immutable_id},{temporary},{object_id}\n"));
    }
    Scenario { options, past, csv, directory }
}

fn row((at, upn): (usize, String)) -> Row {
    let guid = Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_0000_0000 + at as u128);
    let temp_upn = (at % 5 == 4).then(|| format!("way'point{at}@contoso.onmicrosoft.com"));
    Row { person: Person { upn, temp_upn, wanted_immutable_id: Some(base64(guid)) }, guid }
}

fn temporary(person: &Person) -> String {
    let local = person.upn.split('@').next().unwrap();
    let usual = format!("{local}@contoso.onmicrosoft.com");
    person.temp_upn.clone().unwrap_or(usual)
}

/// Everybody in the tenant, by UPN.
fn accounts(tenant: &Direct) -> BTreeMap<String, Value> {
    let request = Request::get("/sim/users").body(Vec::new()).unwrap();
    let Some(reply) = tenant.answer(request, NOW_MS) else {
        panic!("the tenant's own pages are never cut");
    };
    let text = String::from_utf8(reply.into_body()).unwrap();
    let accounts = text.lines().map(|line| {
        let account: Value = serde_json::from_str(line).unwrap();
        let upn = account["homeUserPrincipalName"].as_str().unwrap();
        (upn.to_owned(), account)
    });
    accounts.collect()
}

/// Live at home, with an old ImmutableID, and in nobody's way.
fn is_movable(row: &Row, accounts: &BTreeMap<String, Value>) -> bool {
    accounts.get(&row.person.upn).is_some_and(|account| {
        let is_old = account["onPremisesImmutableId"] != row.person.wanted_immutable_id.clone().unwrap();
        let is_free = account["administrator"] == false && account["onPremisesSyncEnabled"] != true;
        row.person.upn.ends_with(DOMAINS[0]) && account["deleted"] == false && is_old && is_free
    })
}

fn upns() -> impl Iterator<Item = String> {
    let of_domain = |domain| {
        (0..PEOPLE).map(move |at| {
            let name = NAMES[at % NAMES.len()];
            match at / NAMES.len() {
                0 => format!("{name}@{domain}"),
                more => format!("{more}{name}@{domain}"),
            }
        })
    };
    DOMAINS.into_iter().flat_map(of_domain)
}

fn base64(guid: Uuid) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(guid.to_bytes_le())
}

/// The on-premises directory: UPN, GUID, and whether that is the mS-DS-ConsistencyGuid as well.
#[derive(Debug, Clone, Default)]
pub struct Premises(Vec<(String, Uuid, bool)>);

#[async_trait]
impl Directory for Premises {
    async fn find(&self, question: &Question) -> Result<Vec<Account>, Fault> {
        let asked = |upn: &String| question.values.iter().any(|value| value.eq_ignore_ascii_case(upn));
        let found = self.0.iter().filter(|(upn, _, _)| asked(upn));
        Ok(found
            .map(|(upn, guid, is_consistency)| {
                let octets = guid.to_bytes_le().to_vec();
                let mut attributes = vec![
                    ("userPrincipalName".to_owned(), vec![upn.clone().into_bytes()]),
                    ("objectGUID".to_owned(), vec![octets.clone()]),
                ];
                if *is_consistency {
                    attributes.push(("mS-DS-ConsistencyGuid".to_owned(), vec![octets]));
                }
                Account::new(format!("CN={upn}"), attributes)
            })
            .collect())
    }
}
