//! Rows of one file that touch each other: one account in two rows, one temporary UPN for two people, and values that one row
//! gives up and another one gets. Nobody is changed in another's name, and every row that is refused says because of whom.

use super::stage::{OLD, Ran, Stage, Tenant};
use base64::Engine as _;
use std::time::Duration;

const ANNA: &str = "anna@contoso.com";
const BOB: &str = "bob@contoso.com";
const CID: &str = "cid@contoso.com";

fn guid(number: u8) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_0000_0000 + u128::from(number))
}

/// The ImmutableID that this GUID makes.
fn anchor(number: u8) -> String {
    base64::engine::general_purpose::STANDARD.encode(guid(number).to_bytes_le())
}

/// Rows of UPN and objectGUID.
fn rows(rows: &[(&str, u8)]) -> String {
    let lines = rows.iter().map(|(upn, number)| format!("{upn},{}\n", guid(*number)));
    format!("upn,object_guid\n{}", lines.collect::<String>())
}

fn outcomes(ran: &Ran) -> Vec<&'static str> {
    ran.rows.iter().map(|row| row.outcome).collect()
}

/// The row is refused because of another one, which is named, and nobody is told to change anybody else by hand.
fn is_refused_for(ran: &Ran, row: usize, other: &str) {
    let end = &ran.rows[row - 1];
    assert_eq!(end.outcome, "refused", "{end:?}");
    assert!(end.message.contains(other), "{end:?}");
    for word in ["purge", "clear the", "rename"] {
        assert!(!end.advice.contains(word), "{end:?}");
    }
}

fn stands(tenant: &Tenant, id: &str, upn: &str, anchor: &str) {
    let stand = (upn.to_owned(), Some(anchor.to_owned()), false);
    assert_eq!(tenant.stand(id), stand);
}

#[tokio::test(start_paused = true)]
async fn two_people_with_one_temporary_upn_go_one_after_the_other() {
    let stage = Stage::fresh().with("swap", "always");
    let tenant = stage.tenant.clone();
    let one = tenant.hire("john@contoso.com", Some(OLD));
    let other = tenant.hire("john@fabrikam.com", None);
    let file = rows(&[("john@contoso.com", 1), ("john@fabrikam.com", 2)]);
    let ran = stage.run(&file).await;
    assert_eq!(outcomes(&ran), ["done", "done"]);
    stands(&tenant, &one, "john@contoso.com", &anchor(1));
    stands(&tenant, &other, "john@fabrikam.com", &anchor(2));
}

#[tokio::test(start_paused = true)]
async fn where_a_stranger_has_the_temporary_upn_another_one_is_taken() {
    let stage = Stage::fresh();
    let tenant = stage.tenant.clone();
    let stranger = tenant.hire("anna@contoso.onmicrosoft.com", Some(&anchor(9)));
    let anna = tenant.hire(ANNA, Some(OLD));
    let ran = stage.run(&rows(&[(ANNA, 1)])).await;
    assert_eq!(outcomes(&ran), ["done"]);
    let away = "\"anna.contoso.com@contoso.onmicrosoft.com\"";
    assert!(ran.writes()[0].contains(away), "{:?}", ran.writes());
    stands(&tenant, &anna, ANNA, &anchor(1));
    stands(&tenant, &stranger, "anna@contoso.onmicrosoft.com", &anchor(9));
}

/// Also where the account at the temporary UPN is a row of its own.
#[tokio::test(start_paused = true)]
async fn a_row_may_live_at_another_rows_temporary_upn() {
    for reversed in [false, true] {
        let stage = Stage::fresh().with("adopt", "always");
        let tenant = stage.tenant.clone();
        let away = tenant.hire("anna@contoso.onmicrosoft.com", None);
        let home = tenant.hire(ANNA, Some(OLD));
        let mut file = vec![(ANNA, 1), ("anna@contoso.onmicrosoft.com", 2)];
        if reversed {
            file.reverse();
        }
        let ran = stage.run(&rows(&file)).await;
        assert_eq!(outcomes(&ran), ["done", "done"]);
        stands(&tenant, &home, ANNA, &anchor(1));
        stands(&tenant, &away, "anna@contoso.onmicrosoft.com", &anchor(2));
    }
}

/// An earlier script left her at the temporary UPN, and an export taken then has her once more.
#[tokio::test(start_paused = true)]
async fn one_account_is_one_row_by_whatever_name_it_is_found() {
    for reversed in [false, true] {
        let stage = Stage::fresh();
        let tenant = stage.tenant.clone();
        let id = tenant.hire(ANNA, Some(OLD));
        let away = serde_json::json!({"userPrincipalName": "anna@contoso.onmicrosoft.com"});
        tenant.administer("PATCH", &format!("/users/{id}"), Some(away));
        let mut file = vec![(ANNA, 1), ("anna@contoso.onmicrosoft.com", 2)];
        if reversed {
            file.reverse();
        }
        let ran = stage.run(&rows(&file)).await;
        let mut ended = outcomes(&ran);
        let refused = 1 + ended.iter().position(|end| *end == "refused").unwrap();
        is_refused_for(&ran, refused, &format!("row {} (line", 3 - refused));
        assert!(ran.rows[refused - 1].message.contains(&id));
        ended.sort_unstable();
        assert_eq!(ended, ["done", "refused"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_by_upn_and_one_by_object_id_are_one_account() {
    let stage = Stage::fresh();
    let tenant = stage.tenant.clone();
    let id = tenant.hire("anna@contoso.onmicrosoft.com", Some(OLD));
    let file =
        format!("upn,object_guid,object_id\nanna@contoso.onmicrosoft.com,{},\n{ANNA},{},{id}\n", guid(1), guid(2));
    let ran = stage.run(&file).await;
    assert_eq!(outcomes(&ran), ["done", "refused"]);
    is_refused_for(&ran, 2, "is the account of row 1 (line 2, anna@contoso.onmicrosoft.com)");
    stands(&tenant, &id, "anna@contoso.onmicrosoft.com", &anchor(1));
}

/// Its own person is gone; whoever stands at the temporary UPN is row 1's, on the way.
#[tokio::test(start_paused = true)]
async fn a_row_that_names_nobody_takes_nobody_who_is_on_the_way() {
    for wait_ms in [0, 120, 260, 400] {
        let stage = Stage::fresh().with("swap", "always").with("adopt", "always");
        let tenant = stage.tenant.clone();
        let id = tenant.hire("john@contoso.com", Some(OLD));
        // Its looks come so much later.
        let stage = stage.through(move |moment| match moment.request.path.contains("fabrikam") {
            true if moment.elapsed < Duration::from_millis(wait_ms) => {
                super::stage::Twist::Instead(503, serde_json::json!({}))
            }
            true | false => super::stage::Twist::Nothing,
        });
        let file = rows(&[("john@contoso.com", 1), ("john@fabrikam.com", 2)]);
        let ran = stage.run(&file).await;
        assert_eq!(outcomes(&ran), ["done", "refused"], "{wait_ms}");
        stands(&tenant, &id, "john@contoso.com", &anchor(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_another_row_gives_up_is_waited_for() {
    let chain = [(ANNA, 2), (BOB, 3), (CID, 4)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let stage = Stage::fresh();
        let tenant = stage.tenant.clone();
        let ids = [(ANNA, 1), (BOB, 2), (CID, 3)].map(|(upn, number)| (upn, tenant.hire(upn, Some(&anchor(number)))));
        let ran = stage.run(&rows(&order.map(|at| chain[at]))).await;
        assert_eq!(outcomes(&ran), ["done"; 3], "{order:?}");
        for ((upn, id), (_, number)) in ids.iter().zip(chain) {
            stands(&tenant, id, upn, &anchor(number));
        }
    }
}

/// So it is where the target shows for a while that the other one has it still.
#[tokio::test(start_paused = true)]
async fn a_value_that_was_given_up_a_moment_ago_is_waited_for() {
    for seed in 0..8 {
        let stage = Stage::new(seed, Duration::from_secs(20));
        let tenant = stage.tenant.clone();
        let anna = tenant.hire(ANNA, Some(&anchor(1)));
        tenant.hire(BOB, Some(&anchor(2)));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let ran = stage.run(&rows(&[(ANNA, 2), (BOB, 3)])).await;
        assert_eq!(outcomes(&ran), ["done", "done"], "{seed}: {:?}", ran.rows);
        stands(&tenant, &anna, ANNA, &anchor(2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_another_row_keeps_is_refused_by_its_name() {
    let stage = Stage::fresh();
    let tenant = stage.tenant.clone();
    let anna = tenant.hire(ANNA, Some(&anchor(1)));
    tenant.hire(BOB, Some(&anchor(2)));
    tenant.hire("zed@contoso.com", Some(&anchor(3)));
    // Bob cannot give up what he has: a stranger has what he is to get.
    let ran = stage.run(&rows(&[(ANNA, 2), (BOB, 3)])).await;
    assert_eq!(outcomes(&ran), ["refused", "refused"]);
    is_refused_for(&ran, 1, "that is row 2 (line 3, bob@contoso.com), which ended refused and keeps it");
    stands(&tenant, &anna, ANNA, &anchor(1));
}

#[tokio::test(start_paused = true)]
async fn rows_that_want_what_the_others_have_in_a_circle_are_refused() {
    for people in [vec![ANNA, BOB], vec![ANNA, BOB, CID]] {
        let stage = Stage::fresh();
        let tenant = stage.tenant.clone();
        let count = people.len() as u8;
        let numbers = (1..=count).chain(1..=count).collect::<Vec<_>>();
        for (upn, number) in people.iter().zip(&numbers) {
            tenant.hire(upn, Some(&anchor(*number)));
        }
        let wanted = people.iter().copied().zip(numbers[1..].iter().copied());
        let ran = stage.run(&rows(&wanted.collect::<Vec<_>>())).await;
        assert_eq!(outcomes(&ran), vec!["refused"; people.len()]);
        for row in 1..=people.len() {
            is_refused_for(&ran, row, "that is row ");
        }
        assert!(ran.rows.iter().any(|row| row.code == "Circle"));
        assert!(ran.writes().is_empty());
    }
}

/// Nobody takes them for found, and nobody says that there is nobody.
#[tokio::test(start_paused = true)]
async fn somebody_at_the_temporary_upn_who_is_not_taken_is_named() {
    let stage = Stage::fresh();
    let tenant = stage.tenant.clone();
    let id = tenant.hire("anna@contoso.onmicrosoft.com", None);
    let ran = stage.run(&rows(&[(ANNA, 1)])).await;
    let end = ran.end();
    assert_eq!(end.outcome, "refused");
    let named = end.message.contains(&id) && end.message.contains("anna@contoso.onmicrosoft.com");
    assert!(named && !end.message.contains("nobody was found"), "{end:?}");
    for way in ["adopt=always", "temp_upn", "object_id"] {
        assert!(end.advice.contains(way), "{end:?}");
    }
}
