//! Questions of many rows, against a directory that can be silent, slow, refusing or wrong.

use super::*;
use crate::job::{find, parse};
use crate::services::Class;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

const GUID: [u8; 16] = [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

/// What it does with a question.
#[derive(Clone, Copy)]
enum Manner {
    Answers,
    SilentAtFirst(usize),
    Refuses,
}

/// A directory with whom it is told, that remembers how it was asked.
struct Told {
    accounts: Vec<Account>,
    manner: Manner,
    latency: Duration,
    questions: Mutex<Vec<usize>>,
    under_way: AtomicUsize,
    most_at_once: AtomicUsize,
}

fn account(name: &str, upn: &str, guid: &[u8]) -> Account {
    let upn = ("userPrincipalName".to_owned(), vec![upn.as_bytes().to_vec()]);
    let guid = ("objectGUID".to_owned(), vec![guid.to_vec()]);
    Account::new(name, [upn, guid])
}

fn told(accounts: Vec<Account>, manner: Manner) -> Arc<Told> {
    Arc::new(Told {
        accounts,
        manner,
        latency: Duration::from_millis(20),
        questions: Mutex::default(),
        under_way: AtomicUsize::new(0),
        most_at_once: AtomicUsize::new(0),
    })
}

#[async_trait]
impl Directory for Told {
    async fn find(&self, question: &Question) -> Result<Vec<Account>, Fault> {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let asked = {
            let mut questions = self.questions.lock().unwrap();
            questions.push(question.values.len());
            questions.len()
        };
        tokio::time::sleep(self.latency).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let fault = |class, code: &str| Fault { class, code: code.into(), message: "no".into(), status: None };
        match self.manner {
            Manner::Refuses => Err(fault(Class::SignIn, "ldap-49/775")),
            Manner::SilentAtFirst(times) if asked <= times => Err(fault(Class::NotSent, "ldap-timeout")),
            // Like Active Directory, without regard to case and to some accents.
            Manner::SilentAtFirst(_) | Manner::Answers => {
                let plain = |text: &str| text.to_lowercase().replace('ü', "u");
                let is_asked = |account: &&Account| {
                    let upn = &account.values("userPrincipalName")[0];
                    let upn = plain(std::str::from_utf8(upn).unwrap());
                    question.values.iter().any(|value| plain(value) == upn)
                };
                Ok(self.accounts.iter().filter(is_asked).cloned().collect())
            }
        }
    }
}

fn batcher(directory: &Arc<Told>) -> Arc<DirectoryBatcher> {
    let queries = Budget::new("directory", "1000/s".parse().unwrap());
    let directory = Arc::clone(directory) as Arc<dyn Directory>;
    Arc::new(DirectoryBatcher::new(directory, queries, 2, Duration::from_secs(60)))
}

/// What the shipped job is told about a person of whom the row says nothing but the name.
async fn answer(batcher: &DirectoryBatcher, upn: &str) -> Result<Option<DirectoryEntry>, NoEntry> {
    let job = find("immutable-id").unwrap();
    let settings = Settings::new(&job.parameters(&[]).unwrap(), &serde_json::Map::new());
    let row = [Some(upn.to_owned()), None, None, None];
    ask(Some(batcher), &job, &settings, &row).await
}

fn code(answer: Result<Option<DirectoryEntry>, NoEntry>) -> String {
    match answer {
        Ok(Some(_)) => "entry".into(),
        Ok(None) => "not asked".into(),
        Err(NoEntry::Against(problem)) => problem.code,
        Err(NoEntry::Abort(problem)) => panic!("{problem}"),
    }
}

fn abort(answer: Result<Option<DirectoryEntry>, NoEntry>) -> Problem {
    match answer {
        Err(NoEntry::Abort(problem)) => problem,
        Ok(_) | Err(NoEntry::Against(_)) => panic!("{answer:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_wait_together_are_asked_for_together_and_each_gets_its_own() {
    let upn = |n: usize| format!("User{n}@contoso.com");
    let guid = |n: usize| {
        let mut guid = GUID;
        guid[8..].copy_from_slice(&(n as u64).to_be_bytes());
        guid
    };
    let accounts = (0..1000).map(|n| account("CN=x", &upn(n), &guid(n)));
    let directory = told(accounts.collect(), Manner::Answers);
    let batcher = batcher(&directory);
    let mut rows = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let batcher = Arc::clone(&batcher);
        rows.spawn(async move { (n, answer(&batcher, &upn(n).to_lowercase()).await) });
    }
    while let Some(row) = rows.join_next().await {
        let (n, answer) = row.unwrap();
        let Ok(Some(entry)) = answer else {
            panic!("row {n}: {answer:?}");
        };
        let wanted = ObjectGuid::from_octets(guid(n)).to_string();
        let expected: BTreeMap<&str, JsonValue> =
            [("object_guid", wanted.into()), ("consistency_guid", JsonValue::Null)].into();
        let wanted: DirectoryEntry = expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(entry, wanted, "row {n}");
    }
    let questions = directory.questions.lock().unwrap().clone();
    assert_eq!(questions.iter().sum::<usize>(), 1000, "{questions:?}");
    assert!(questions.iter().all(|values| *values <= VALUES_MAX), "{questions:?}");
    assert!(questions.len() <= 12, "{questions:?}");
    assert!(directory.most_at_once.load(Ordering::SeqCst) <= 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_directory_says_of_a_row_speaks_against_the_row_alone() {
    let mut broken = GUID.to_vec();
    broken.pop();
    let directory = told(
        vec![
            account("CN=Ann", "ann@contoso.com", &GUID),
            account("CN=Twin 1", "twin@contoso.com", &GUID),
            account("CN=Twin 2", "TWIN@contoso.com", &GUID),
            account("CN=Jürgen", "jürgen@contoso.com", &GUID),
            account("CN=Short", "short@contoso.com", &broken),
            account("CN=Nil", "nil@contoso.com", &[0; 16]),
        ],
        Manner::Answers,
    );
    let batcher = batcher(&directory);
    for (upn, expected) in [
        ("ANN@contoso.com", "entry"),
        ("nobody@contoso.com", "NotInDirectory"),
        ("twin@contoso.com", "SeveralInDirectory"),
        // Only looks alike, to the directory.
        ("jurgen@contoso.com", "NotInDirectory"),
        ("short@contoso.com", "DirectoryValue"),
        ("nil@contoso.com", "DirectoryValue"),
    ] {
        assert_eq!(code(answer(&batcher, upn).await), expected, "{upn}");
    }
    let Err(NoEntry::Against(problem)) = answer(&batcher, "twin@contoso.com").await else {
        panic!("twins are one");
    };
    assert!(problem.message.contains("CN=Twin 1; CN=Twin 2"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_says_it_itself_needs_no_directory() {
    let directory = told(Vec::new(), Manner::Refuses);
    let batcher = batcher(&directory);
    let job = find("immutable-id").unwrap();
    let settings = Settings::new(&job.parameters(&[]).unwrap(), &serde_json::Map::new());
    let guid = "00112233-4455-6677-8899-aabbccddeeff";
    let row = [Some("ann@contoso.com".to_owned()), Some(guid.to_owned()), None, None];
    let said = ask(Some(&batcher), &job, &settings, &row).await;
    assert_eq!(code(said), "not asked");
    assert_eq!(directory.questions.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_directory_is_waited_for_with_patience_and_no_longer() {
    let directory = told(vec![account("CN=Ann", "ann@contoso.com", &GUID)], Manner::SilentAtFirst(3));
    assert_eq!(code(answer(&batcher(&directory), "ann@contoso.com").await), "entry");

    let silent = told(Vec::new(), Manner::SilentAtFirst(usize::MAX));
    let problem = abort(answer(&batcher(&silent), "ann@contoso.com").await);
    assert_eq!(problem.code, "NotSent");
    assert!(problem.message.contains("no reply for 60 s"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_refuses_ends_the_run_with_its_reason() {
    let directory = told(Vec::new(), Manner::Refuses);
    let problem = abort(answer(&batcher(&directory), "ann@contoso.com").await);
    assert_eq!(problem.code, "SignInRefused");
    assert!(problem.message.starts_with("ldap-49/775"), "{problem}");
    assert!(problem.advice.contains("unlock"), "{}", problem.advice);
    assert_eq!(directory.questions.lock().unwrap().len(), 1);
}

/// As a row does that may park: it drops its question, and what comes after is as if it had never asked.
#[tokio::test(start_paused = true)]
async fn a_row_need_not_wait_for_a_silent_directory() {
    let directory = told(vec![account("CN=Ann", "ann@contoso.com", &GUID)], Manner::SilentAtFirst(2));
    let batcher = batcher(&directory);
    let waited = tokio::time::timeout(Duration::from_millis(10), answer(&batcher, "bob@contoso.com")).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(code(answer(&batcher, "ann@contoso.com").await), "entry");
    assert!(directory.questions.lock().unwrap().iter().all(|values| *values == 1));
}

/// Regression: the others would have waited for ever.
#[tokio::test(start_paused = true)]
async fn whoever_asks_for_others_may_be_stopped_in_the_middle() {
    let directory = told(vec![account("CN=Ann", "ann@contoso.com", &GUID)], Manner::Answers);
    let batcher = batcher(&directory);
    let mut rows = Vec::new();
    for _ in 0..8 {
        let batcher = Arc::clone(&batcher);
        rows.push(tokio::spawn(async move { answer(&batcher, "ann@contoso.com").await }));
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(!directory.questions.lock().unwrap().is_empty());
    let leader = rows.remove(0);
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    for row in rows {
        assert_eq!(code(row.await.unwrap()), "entry");
    }
}

#[test]
fn a_directory_section_with_mistakes_is_told_all_of_them() {
    let (_, text) = crate::job::text_of("immutable-id").unwrap();
    let broken = text
        .replace("(&(objectCategory=person)(objectClass=user))", "(objectClass=user")
        .replace("attribute = \"userPrincipalName\"", "attribute = \"user)(x\"")
        .replace("ad.object_guid if", "ad.objectguid if");
    let listing = parse("broken.toml", &broken).unwrap_err().listing();
    for part in [
        "`among` is not a filter of LDAP",
        "`user)(x` is not the name of an attribute",
        "there is no value of the directory `objectguid`",
    ] {
        assert!(listing.contains(part), "{listing}");
    }
}

proptest::proptest! {
    /// The anchor is the base64 of the octets in the order in which the directory hands them out.
    #[test]
    fn octets_of_a_guid_become_the_immutable_id_of_these_octets(octets in proptest::array::uniform16(proptest::num::u8::ANY)) {
        use base64::Engine as _;
        let job = find("immutable-id").unwrap();
        let plan = job.directory.as_ref().unwrap();
        let answer = judge(plan, "ann@x", &[account("CN=Ann", "ann@x", &octets)]);
        if octets == [0; 16] {
            assert_eq!(answer.unwrap_err().code, "DirectoryValue");
            return Ok(());
        }
        let Ok(entry) = answer else {
            panic!("{answer:?}");
        };
        let row = [Some("ann@x".to_owned()), None, None, None, None];
        let view = crate::job::RowView::new(&Arc::new(job.clone()), &settings_of(&job), &row, Some(entry)).unwrap();
        let expected = base64::engine::general_purpose::STANDARD.encode(octets);
        proptest::prop_assert_eq!(new_id(&job, &view), expected);
    }
}

fn settings_of(job: &Job) -> Settings {
    let mut lookups = serde_json::Map::new();
    let domains =
        serde_json::json!([{"id": "x", "isInitial": true, "isVerified": true, "authenticationType": "Managed"}]);
    for lookup in &job.lookups {
        lookups.insert(lookup.name.clone(), serde_json::Value::Null);
    }
    lookups.insert("domains".into(), domains);
    Settings::new(&job.parameters(&[]).unwrap(), &lookups)
}

/// What the step `set` of the shipped job would write.
fn new_id(job: &Job, view: &crate::job::RowView) -> String {
    let state = crate::job::State::from_text(
        r#"{"id": "1", "userPrincipalName": "ann@x", "onPremisesImmutableId": null, "onPremisesSyncEnabled": null, "deleted": false}"#,
    )
    .unwrap();
    let set = job.step_ids().find(|id| job.step(*id).unwrap().name == "set").unwrap();
    let write = view.write(crate::job::Operation::Do(set), &state, &state).unwrap();
    write.request.body.unwrap()["onPremisesImmutableId"].as_str().unwrap().to_owned()
}
