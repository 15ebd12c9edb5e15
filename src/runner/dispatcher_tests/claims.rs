//! Which values are spoken for.

use super::*;

/// What a row ended with is not free as long as a replica may show that it is.
#[tokio::test(start_paused = true)]
async fn a_value_stays_spoken_for_after_its_row_has_ended() {
    let world = World::new().await;
    let claims = Claims::new(&world.session);
    let value = Claimed { what: "UPN".into(), value: "p01@contoso.com".into() };
    let claim = |row, now| {
        let values = vec![value.clone()];
        let wanted = Wanted { account: format!("account {row}"), values, in_the_way: None, gives_way_to: Vec::new() };
        claims.claim(RowNumber(row), &wanted, now, Duration::from_secs(60)).unwrap()
    };
    assert_eq!((claim(1, 10), claim(2, 20)), (ClaimVerdict::Free, ClaimVerdict::Waits));
    claims.keep(std::slice::from_ref(&value), 100);
    assert_eq!(claims.ended(RowNumber(1), Outcome::Done, 30), [RowNumber(2)]);
    assert_eq!((claim(2, 99), claim(2, 100)), (ClaimVerdict::Lagging, ClaimVerdict::Free));
}
