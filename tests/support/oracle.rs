//! The oracle: it looks at the tenant before and after a run and finds every claim of the report that is not true.
//!
//! It knows the rules of the job `immutable-id` in words of its own and shares no code with the program.

use super::{Ran, Stage, table};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::BTreeMap;

const INITIAL_DOMAIN: &str = "contoso.onmicrosoft.com";
const FEDERATED_DOMAIN: &str = "contoso.com";

/// What a row can be found as, and what a run leaves of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    id: String,
    upn: String,
    immutable_id: Option<String>,
    deleted: bool,
}

/// A person of the file.
struct Wish {
    upn: String,
    immutable_id: String,
}

/// The tenant and the file as they were before the run.
pub struct Oracle {
    wishes: Vec<Wish>,
    before: BTreeMap<String, Account>,
}

/// How many writes beyond the fewest a person may cost.
#[derive(Clone, Copy)]
pub struct Slack(pub u64);

impl Oracle {
    /// Remembers the tenant and the people of `people.csv`.
    pub fn look(stage: &Stage) -> Oracle {
        let people = table(&stage.path("people.csv"));
        let wishes =
            people.iter().map(|row| Wish { upn: row["upn"].clone(), immutable_id: of_guid(&row["object_guid"]) });
        Oracle { wishes: wishes.collect(), before: accounts(stage) }
    }

    /// Everything that is wrong with an ended run.
    pub fn complaints(&self, stage: &Stage, ran: &Ran, slack: Slack) -> Vec<String> {
        let outcomes = stage.outcomes();
        let after = accounts(stage);
        let writes = writes(stage);
        let mut wrong = Vec::new();
        if outcomes.len() != self.wishes.len() {
            wrong.push(format!("{} rows, {} lines", self.wishes.len(), outcomes.len()));
        }
        for (at, (wish, line)) in self.wishes.iter().zip(&outcomes).enumerate() {
            if line["row"] != (at + 1).to_string() || line["key"] != wish.upn {
                wrong.push(format!("line {}: {line:?} is not {}", at + 1, wish.upn));
                continue;
            }
            let before = self.account_of(wish);
            let after = before.and_then(|before| after.get(&before.id));
            let made = before.and_then(|before| writes.get(&before.id)).copied();
            let case = Case {
                wish,
                before,
                after,
                made: made.unwrap_or(0),
                attempts: line["attempts"].parse().unwrap(),
                slack,
            };
            if let Err(why) = case.check(&line["outcome"]) {
                wrong.push(format!("{} {why}: {line:?}; {before:?} -> {after:?}", wish.upn));
            }
        }
        wrong.extend(sum_complaint(stage, &outcomes));
        wrong.extend(exit_complaint(ran, &outcomes));
        wrong
    }

    /// The writes that the tenant made to each row's person, in the order of the file.
    pub fn writes(&self, stage: &Stage) -> Vec<u64> {
        let writes = writes(stage);
        let of = |wish: &Wish| {
            let account = self.account_of(wish)?;
            writes.get(&account.id).copied()
        };
        let rows = self.wishes.iter().map(of);
        rows.map(Option::unwrap_or_default).collect()
    }

    /// The rows whose persons the tenant wrote to, write by write, oldest first.
    pub fn sequence(&self, stage: &Stage) -> Vec<usize> {
        let accounts = self.wishes.iter().map(|wish| self.account_of(wish));
        let ids: BTreeMap<&str, usize> =
            accounts.enumerate().filter_map(|(at, account)| Some((&account?.id[..], at))).collect();
        let text = stage.ask("/sim/writes");
        let writes = text.lines().filter_map(|line| {
            let write: Value = serde_json::from_str(line).unwrap();
            ids.get(write["id"].as_str().unwrap()).copied()
        });
        writes.collect()
    }

    /// The row of a person.
    pub fn row_of(&self, upn: &str) -> usize {
        let at = self.wishes.iter().position(|wish| wish.upn == upn);
        at.unwrap()
    }

    /// People of the file who stand at their temporary UPN now and did not before.
    pub fn exposed(&self, stage: &Stage) -> Vec<String> {
        let after = accounts(stage);
        let moved = self.wishes.iter().filter(|wish| {
            let before = self.account_of(wish);
            let after = before.and_then(|before| after.get(&before.id));
            before.is_some_and(|before| before.is_at(&wish.upn)) && !after.is_some_and(|after| after.is_at(&wish.upn))
        });
        moved.map(|wish| wish.upn.clone()).collect()
    }

    /// People of the file who stand at their temporary UPN now, whoever moved them there.
    pub fn away(&self, stage: &Stage) -> Vec<String> {
        let after = accounts(stage);
        let is_away = |wish: &&Wish| {
            let account = self.account_of(wish);
            let after = account.and_then(|before| after.get(&before.id));
            after.is_some_and(|after| after.is_at(&temporary(&wish.upn)))
        };
        let away = self.wishes.iter().filter(is_away);
        away.map(|wish| wish.upn.clone()).collect()
    }

    /// By the UPN, live or deleted; else whoever an earlier script left at the temporary UPN.
    fn account_of(&self, wish: &Wish) -> Option<&Account> {
        let at = |upn: &str| self.before.values().find(|account| account.is_at(upn));
        at(&wish.upn).or_else(|| at(&temporary(&wish.upn)))
    }
}

impl Account {
    fn is_at(&self, upn: &str) -> bool {
        self.upn.eq_ignore_ascii_case(upn)
    }
}

/// One row with all that is known about it.
struct Case<'a> {
    wish: &'a Wish,
    before: Option<&'a Account>,
    after: Option<&'a Account>,
    made: u64,
    attempts: u64,
    slack: Slack,
}

impl Case<'_> {
    fn check(&self, outcome: &str) -> Result<(), String> {
        match outcome {
            "done" => {
                self.is_at_goal()?;
                self.cost_little()
            }
            "unchanged" => {
                self.is_at_goal()?;
                self.is_as_before()?;
                self.is_untouched()
            }
            "refused" | "failed" => {
                self.is_as_before()?;
                self.is_untouched()
            }
            "reverted" => self.is_as_before(),
            "stranded" => Ok(()),
            other => Err(format!("ended {other:?}")),
        }
    }

    fn is_at_goal(&self) -> Result<(), String> {
        let after = self.after.ok_or("is nobody")?;
        let good = !after.deleted
            && after.is_at(&self.wish.upn)
            && after.immutable_id.as_ref() == Some(&self.wish.immutable_id);
        good.then_some(()).ok_or_else(|| "is not at the goal".into())
    }

    fn is_as_before(&self) -> Result<(), String> {
        let same = self.before == self.after;
        same.then_some(()).ok_or_else(|| "is not as before".into())
    }

    fn is_untouched(&self) -> Result<(), String> {
        let untouched = self.made == 0;
        untouched.then_some(()).ok_or_else(|| format!("was written to {} times", self.made))
    }

    fn cost_little(&self) -> Result<(), String> {
        let fewest = self.before.map_or(0, |before| fewest_writes(before, self.wish));
        // A restore that is tried again goes the plain way, which is one more.
        let restored = self.before.is_some_and(|before| before.deleted);
        let plainly = u64::from(restored && self.attempts > fewest);
        let most = fewest + self.slack.0 + plainly;
        let fair = (fewest.max(1)..=most).contains(&self.made);
        fair.then_some(()).ok_or_else(|| format!("cost {} writes, {fewest} were needed", self.made))
    }
}

/// Restore or away, which is one for those who need both; clear, set, back: each only where it is needed.
fn fewest_writes(before: &Account, wish: &Wish) -> u64 {
    let at_home = before.is_at(&wish.upn);
    let wrong = before.immutable_id.as_ref() != Some(&wish.immutable_id);
    let federated = wish.upn.ends_with(&format!("@{FEDERATED_DOMAIN}"));
    let away = wrong && federated && at_home;
    let steps = [before.deleted || away, wrong && before.immutable_id.is_some(), wrong, away || !at_home];
    steps.into_iter().filter(|needed| *needed).count() as u64
}

fn sum_complaint(stage: &Stage, outcomes: &[BTreeMap<String, String>]) -> Option<String> {
    let summary = stage.summary();
    let mut counts = BTreeMap::<&str, u64>::new();
    for line in outcomes {
        *counts.entry(&line["outcome"]).or_default() += 1;
    }
    let told = summary["outcomes"].as_object().unwrap();
    let same = told.iter().all(|(word, count)| count.as_u64() == Some(counts.get(&word[..]).copied().unwrap_or(0)));
    let whole = told.values().filter_map(Value::as_u64).sum::<u64>();
    let good = same && summary["rows"].as_u64() == Some(whole) && whole == outcomes.len() as u64;
    (!good).then(|| format!("the summary {summary} does not agree with {counts:?}"))
}

fn exit_complaint(ran: &Ran, outcomes: &[BTreeMap<String, String>]) -> Option<String> {
    let ended = |word: &str| outcomes.iter().any(|line| line["outcome"] == word);
    let needy = ["failed", "reverted", "refused", "held"];
    let expected = match (ended("stranded"), needy.into_iter().any(ended)) {
        (true, _) => 5,
        (false, true) => 1,
        (false, false) => 0,
    };
    (ran.code != Some(expected)).then(|| format!("exit code {:?}, not {expected}", ran.code))
}

fn accounts(stage: &Stage) -> BTreeMap<String, Account> {
    let text = stage.ask("/sim/users");
    let users = text.lines().map(|line| {
        let user: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| user[key].as_str().map(str::to_owned);
        Account {
            id: text("id").unwrap(),
            upn: text("homeUserPrincipalName").unwrap(),
            immutable_id: text("onPremisesImmutableId"),
            deleted: user["deleted"].as_bool().unwrap(),
        }
    });
    users.map(|account| (account.id.clone(), account)).collect()
}

/// The writes made to each account.
fn writes(stage: &Stage) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in stage.ask("/sim/writes").lines() {
        let write: Value = serde_json::from_str(line).unwrap();
        let id = write["id"].as_str().unwrap().to_owned();
        *counts.entry(id).or_default() += 1;
    }
    counts
}

fn temporary(upn: &str) -> String {
    let local = upn.split('@').next().unwrap_or_default();
    format!("{local}@{INITIAL_DOMAIN}")
}

/// The octets of a GUID as Windows keeps them, in base64.
fn of_guid(guid: &str) -> String {
    STANDARD.encode(uuid::Uuid::parse_str(guid).unwrap().to_bytes_le())
}
