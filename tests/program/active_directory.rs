//! A real domain controller: Debian's Samba, started once for this file on a loopback address of its own. It was not written
//! with this program, so it answers for what a directory really does: certificates, refusals, referrals, pages, escapes.
//!
//! It takes root and Debian's packages; `tests/samba-ad/up.sh` says how it is started.

use crate::support::{Stage, calm, slow, tools};
use cutover::services::{Account, ActiveDirectory, Class, Connection, Directory, Fault, Question};
use cutover::sim::{Options, Person, Population};
use cutover::values::{ImmutableId, ObjectGuid};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// More than Microsoft's servers and ours put into a page.
const NAMESAKES: usize = 2_500;

/// A disabled account that can be tried to sign in with.
const DISABLED_PASSWORD: &str = "Aa1.of-nobody";

/// The `objectGUID` of `golden`, and the `mS-DS-ConsistencyGuid` of `anchored`, as an ImmutableID.
const ANCHOR: &str = "MyIRAFVEd2aImaq7zN3u/w==";
const GOLDEN: &str = "golden@contoso.example";

/// The domain controller.
struct Domain {
    folder: PathBuf,
    address: String,
    /// What `up.sh` says of it.
    said: BTreeMap<String, String>,
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samba-ad").join(name)
}

impl Domain {
    fn start() -> Result<Domain, String> {
        let folder = TempDir::new().unwrap().keep();
        // Two test runs on one machine must not meet.
        let id = std::process::id();
        let address = format!("127.{}.{}.1", 100 + id / 250 % 150, 1 + id % 250);
        let users = folder.with_extension("csv");
        fs::write(&users, users_file()).unwrap();
        let domain = folder.join("domain");
        wipe_at_the_end(&folder, &users);
        let mut domain = Domain { folder: domain, address, said: BTreeMap::new() };
        let tricky = script("users-tricky.csv");
        domain.up(&[&tricky, &users])?;
        Ok(domain)
    }

    fn up(&mut self, users: &[&Path]) -> Result<(), String> {
        let mut command = Command::new(script("up.sh"));
        command.arg(&self.folder).args(["--no-install", "--addr", &self.address]);
        for file in users {
            command.arg("--users").arg(file);
        }
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        self.said = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(())
    }

    /// SIGKILL to the one process of this domain.
    fn kill(&self) {
        let pid = fs::read_to_string(self.get("PID_FILE")).unwrap();
        let killed = Command::new("kill").args(["-KILL", pid.trim()]).status();
        assert!(killed.unwrap().success());
    }

    fn get(&self, name: &str) -> &str {
        &self.said[name]
    }

    /// The section [ad] of a connection file.
    fn section(&self) -> String {
        format!(
            "[ad]\nurl = \"{}\"\nca = \"{}\"\nbase = \"{}\"\nbind = \"{}\"\npassword = {{ file = \"{}\" }}\n",
            self.get("LDAPS_URL"),
            self.get("CA_FILE"),
            self.get("BASE_DN"),
            self.get("BIND_DN"),
            self.get("BIND_PASS_FILE"),
        )
    }

    /// The same with lines changed.
    fn section_with(&self, changes: &[(&str, &str)]) -> String {
        let mut section = self.section();
        for (from, to) in changes {
            assert!(section.contains(from), "{from} in {section}");
            section = section.replace(from, to);
        }
        section
    }
}

/// The domain ends with the test run, however that ends.
fn wipe_at_the_end(folder: &Path, users: &Path) {
    let wait = "tail --pid=\"$1\" -f /dev/null; \"$2\" \"$3/domain\" --wipe; rm -rf \"$3\" \"$4\"";
    let watcher = Command::new("sh")
        .args(["-c", wait, "sh", &std::process::id().to_string()])
        .arg(script("down.sh"))
        .arg(folder)
        .arg(users)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    // Waited for by nobody: it outlives this process.
    drop(watcher.unwrap());
}

/// Namesakes for pages, and an account that is disabled.
fn users_file() -> String {
    let mut text = String::from("sam,upn,given,sn,password,uac\n");
    writeln!(text, "off,off@ad.test,Off,Account,{DISABLED_PASSWORD},514").unwrap();
    for n in 0..NAMESAKES {
        writeln!(text, "many{n:05},many{n:05}@contoso.example,,Namesake,,").unwrap();
    }
    text
}

fn domain() -> Option<&'static RwLock<Domain>> {
    static DOMAIN: OnceLock<Result<RwLock<Domain>, String>> = OnceLock::new();
    match DOMAIN.get_or_init(|| Domain::start().map(RwLock::new)) {
        Ok(domain) => Some(domain),
        Err(why) => {
            tools::cannot_run(format!("no domain controller: {why}"));
            None
        }
    }
}

/// The domain as it is; others may use it, too.
fn shared() -> Option<RwLockReadGuard<'static, Domain>> {
    domain().map(|domain| domain.read().unwrap())
}

/// The domain for one test alone.
fn alone() -> Option<RwLockWriteGuard<'static, Domain>> {
    domain().map(|domain| domain.write().unwrap())
}

fn directory(section: &str) -> ActiveDirectory {
    let graph = "[graph]\ntenant = \"contoso.test\"\nclient_id = \"x\"\nclient_secret = { env = \"S\" }\n";
    let text = format!("{graph}{section}");
    let variable = |_: &str| Some("not-the-password".to_owned());
    let parsed = Connection::parse(Path::new("/ad.toml"), &text, &variable);
    ActiveDirectory::new(parsed.unwrap().ad.unwrap())
}

fn check(section: &str) -> Result<(), Fault> {
    Runtime::new().unwrap().block_on(directory(section).check())
}

fn refused(section: &str) -> (Class, String) {
    let fault = check(section).unwrap_err();
    assert!(!fault.advice().is_empty());
    (fault.class, fault.code)
}

fn question(attribute: &str, values: &[&str]) -> Question {
    Question {
        among: "(&(objectCategory=person)(objectClass=user))".into(),
        attribute: attribute.into(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        wanted: vec!["objectGUID".into(), "mS-DS-ConsistencyGuid".into()],
    }
}

fn guid(account: &Account, attribute: &str) -> ObjectGuid {
    let [octets] = account.values(attribute) else {
        panic!("{} has not one {attribute}", account.name);
    };
    ObjectGuid::from_octets(octets.as_slice().try_into().unwrap())
}

#[test]
fn a_secure_connection_is_made_in_both_ways() {
    let Some(domain) = shared() else { return };
    check(&domain.section()).unwrap();
    let start_tls = format!("{}\"\nstart_tls = true", domain.get("LDAP_URL"));
    let url = format!("{}\"", domain.get("LDAPS_URL"));
    check(&domain.section_with(&[(&url, &start_tls)])).unwrap();
    // By its UPN, too.
    check(&domain.section_with(&[(domain.get("BIND_DN"), domain.get("BIND_UPN"))])).unwrap();
}

#[test]
fn what_is_wrong_with_a_connection_is_told_by_its_code() {
    let Some(domain) = shared() else { return };
    let sign_in = |code: &str| (Class::SignIn, code.to_owned());
    let with = |from: &str, to: &str| refused(&domain.section_with(&[(from, to)]));
    let password_file = format!("{{ file = \"{}\" }}", domain.get("BIND_PASS_FILE"));
    let wrong_password = "{ env = \"PASSWORD\" }";
    let url = domain.get("LDAPS_URL");

    assert_eq!(with(domain.get("CA_FILE"), domain.get("WRONG_CA_FILE")), sign_in("tls-issuer"));
    assert_eq!(with(&password_file, wrong_password), sign_in("ldap-49/52e"));
    assert_eq!(with("CN=svc-reader", "CN=nobody"), sign_in("ldap-49/52e"));
    assert_eq!(with("base = \"DC=", "base = \"DC=un"), sign_in("ldap-32"));
    assert_eq!(with(url, domain.get("LDAP_URL")), sign_in("ldap-8"));
    let off = TempDir::new().unwrap();
    let off = off.path().join("password");
    fs::create_dir_all(off.parent().unwrap()).unwrap();
    fs::write(&off, DISABLED_PASSWORD).unwrap();
    let disabled = domain
        .section_with(&[(domain.get("BIND_DN"), "off@ad.test"), (domain.get("BIND_PASS_FILE"), off.to_str().unwrap())]);
    assert_eq!(refused(&disabled), sign_in("ldap-49/533"));

    let stranger = relay(&format!("{}:636", domain.address), "127.0.0.9");
    assert_eq!(with(url, &format!("ldaps://{stranger}")), sign_in("tls-name"));
    let nobody = TcpListener::bind("127.0.0.9:0").unwrap().local_addr().unwrap();
    assert_eq!(with(url, &format!("ldaps://{nobody}")), (Class::NotSent, "ldap-unreachable".into()));
}

/// Listens at a place that is in no certificate, and passes everything on.
fn relay(to: &str, from: &str) -> String {
    let listener = TcpListener::bind((from, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let to = to.to_owned();
    std::thread::spawn(move || {
        for caller in listener.incoming() {
            let (caller, server) = (caller.unwrap(), TcpStream::connect(&to).unwrap());
            for (mut reader, mut writer) in
                [(caller.try_clone().unwrap(), server.try_clone().unwrap()), (server, caller)]
            {
                // Either side may hang up at any time.
                std::thread::spawn(move || io::copy(&mut reader, &mut writer));
            }
        }
    });
    address
}

#[test]
fn everybody_is_found_by_name_whatever_letters_it_has() {
    let Some(domain) = shared() else { return };
    let people = crate::support::table(&script("users-tricky.csv"));
    let named: Vec<&BTreeMap<String, String>> = people.iter().filter(|person| !person["upn"].is_empty()).collect();
    let upns: Vec<&str> = named.iter().map(|person| person["upn"].as_str()).collect();
    let directory = directory(&domain.section());
    let runtime = Runtime::new().unwrap();
    let find = |values: &[&str]| {
        let asked = question("userPrincipalName", values);
        runtime.block_on(directory.find(&asked)).unwrap()
    };

    // All at once, and one by one.
    assert_eq!(find(&upns).len(), upns.len());
    for person in named {
        let upn = person["upn"].as_str();
        let found = find(&[upn.to_ascii_uppercase().as_str()]);
        let [account] = found.as_slice() else {
            panic!("{upn}: {found:?}");
        };
        assert_eq!(account.values("userPrincipalName"), [upn.as_bytes().to_vec()]);
        let object_guid = guid(account, "objectGUID");
        if !person["guid"].is_empty() {
            assert_eq!(object_guid.to_string(), person["guid"], "{upn}");
        }
        if let Some(anchor) = person["mS-DS-ConsistencyGuid"].strip_prefix("base64:") {
            let found = ImmutableId::from(guid(account, "mS-DS-ConsistencyGuid"));
            assert_eq!(found.as_str(), anchor, "{upn}");
        }
    }
    for nobody in ["*", "*@contoso.example", "nobody@contoso.example", "star*", "golden@contoso.example)(sn=*"] {
        assert_eq!(find(&[nobody]), [], "{nobody}");
    }
}

#[test]
fn an_answer_of_many_pages_is_whole() {
    let Some(domain) = shared() else { return };
    let asked = question("sn", &["namesake"]);
    let found = Runtime::new().unwrap().block_on(directory(&domain.section()).find(&asked)).unwrap();
    let names: BTreeSet<&str> = found.iter().map(|account| account.name.as_str()).collect();
    assert_eq!((found.len(), names.len()), (NAMESAKES, NAMESAKES));
}

#[test]
fn a_server_that_was_killed_is_found_again() {
    let Some(mut domain) = alone() else { return };
    let directory = directory(&domain.section());
    let runtime = Runtime::new().unwrap();
    let golden = || runtime.block_on(directory.find(&question("userPrincipalName", &[GOLDEN])));
    assert_eq!(golden().unwrap().len(), 1);
    domain.kill();
    let fault = golden().unwrap_err();
    assert!(matches!(fault.class, Class::NotSent | Class::InDoubt), "{fault:?}");
    assert_eq!(golden().unwrap_err().class, Class::NotSent);
    domain.up(&[]).unwrap();
    assert_eq!(golden().unwrap().len(), 1);
}

/// A tenant with these people, and a connection file for it and the domain.
fn stage(options: Options, section: &str, upns: &[&str]) -> Stage {
    let people = upns.iter().map(|upn| Person { upn: (*upn).to_owned(), temp_upn: None, wanted_immutable_id: None });
    let stage = Stage::new(Options { population: Population::People(people.collect()), ..options });
    let mut csv = String::from("upn\n");
    for upn in upns {
        writeln!(csv, "{upn}").unwrap();
    }
    stage.write("people.csv", csv);
    connect(&stage, section);
    stage
}

fn connect(stage: &Stage, section: &str) {
    let tenant = stage.connection("100000/1s");
    let tenant = tenant.replace("[graph.limits]", "patience = \"2s\"\n[graph.limits]");
    stage.write("sim.toml", format!("{tenant}{section}"));
}

fn by_key(stage: &Stage, column: &str) -> BTreeMap<String, String> {
    let outcomes = stage.outcomes().into_iter();
    outcomes.map(|mut line| (line.remove("key").unwrap(), line.remove(column).unwrap())).collect()
}

const ANCHORED: &str = "anchored@contoso.example";
const NOBODY: &str = "nobody@contoso.example";

#[test]
fn a_batch_of_names_alone_gets_its_anchors_from_the_directory() {
    let Some(domain) = shared() else { return };
    let upns = [GOLDEN, "o'neil@contoso.example", NOBODY];
    let stage = stage(calm(0), &domain.section(), &upns);
    let mut plan = stage.cutover(&["plan", "immutable-id", "people.csv", "--target", "sim.toml", "--json"]);
    let plan = stage.end(&mut plan).must_end(1).json();
    assert_eq!(plan["changes"]["set"], 2, "{plan}");
    let findings = plan["findings"].as_array().unwrap().iter();
    let rules: Vec<&str> = findings
        .filter(|finding| finding["severity"] == "error")
        .map(|finding| finding["rule"].as_str().unwrap())
        .collect();
    assert_eq!(rules, ["NotInDirectory"], "{plan}");

    stage.end(&mut stage.run_line()).must_end(1);
    assert_eq!(by_key(&stage, "immutable_id_after")[GOLDEN], ANCHOR);
    let outcomes = by_key(&stage, "outcome");
    assert_eq!((outcomes[GOLDEN].as_str(), outcomes[NOBODY].as_str()), ("done", "refused"));
    assert_eq!(by_key(&stage, "error_code")[NOBODY], "NotInDirectory");
}

#[test]
fn which_guid_is_the_anchor_can_be_said() {
    let Some(domain) = shared() else { return };
    let stage = stage(calm(0), &domain.section(), &[ANCHORED, "oneil@contoso.example"]);
    let anchor = |more: &[&str]| {
        stage.end(&mut stage.run_with(more)).must_end(1);
        by_key(&stage, "immutable_id_after").remove(ANCHORED).unwrap()
    };
    assert_eq!(anchor(&[]), ANCHOR);
    let object_guid = ObjectGuid::parse("a0b1c2d3-e4f5-4678-89ab-cdef01234567").unwrap();
    let object_guid = ImmutableId::from(object_guid);
    assert_eq!(anchor(&["--fresh", "--set", "anchor=objectguid"]), object_guid.as_str());
    assert_eq!(anchor(&["--fresh", "--set", "anchor=consistencyguid"]), ANCHOR);
}

#[test]
fn a_wrong_password_is_bad_configuration_and_nothing_is_sent() {
    let Some(domain) = shared() else { return };
    let wrong = domain.section_with(&[("CN=svc-reader", "CN=nobody")]);
    let stage = stage(calm(0), &wrong, &[GOLDEN]);
    let ran = stage.end(&mut stage.run_line()).must_end(2);
    assert!(ran.complaint().contains("(ldap-49/52e)"), "{}", ran.complaint());
    assert_eq!(stage.stat("writes"), 0);
}

#[test]
fn rows_that_were_begun_go_on_without_the_directory() {
    let Some(domain) = shared() else { return };
    let upns: Vec<String> = (0..300).map(|n| format!("many{n:05}@contoso.example")).collect();
    let upns: Vec<&str> = upns.iter().map(String::as_str).collect();
    let stage = stage(slow(0, 20), &domain.section(), &upns);
    let mut going = stage.start(&mut stage.quick_run(&[]));
    stage.await_writes(100, &mut going);
    going.kill();

    let dead = TcpListener::bind("127.0.0.9:0").unwrap().local_addr().unwrap();
    let url = format!("ldaps://{dead}");
    connect(&stage, &domain.section_with(&[(domain.get("LDAPS_URL"), &url)]));
    let ran = stage.end(&mut stage.quick_run(&[])).must_end(4);
    assert!(ran.stdout.contains("the directory has given no reply"), "{}", ran.stdout);
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for line in stage.outcomes() {
        let begun = line["writes"] != "0";
        assert_eq!(begun, line["outcome"] == "done", "{line:?}");
        *outcomes.entry(line["outcome"].clone()).or_default() += 1;
    }
    assert!(outcomes["done"] > 0 && outcomes["pending"] > 0, "{outcomes:?}");

    // The tenant itself speaks against some of them; the directory against none.
    connect(&stage, &domain.section());
    stage.end(&mut stage.quick_run(&[])).must_end(1);
    for line in stage.outcomes() {
        let of_tenant = ["Synchronized", "NotFound"].contains(&line["error_code"].as_str());
        let refused = line["outcome"] == "refused" && of_tenant;
        assert!(refused || line["outcome"] == "done", "{line:?}");
    }
}
