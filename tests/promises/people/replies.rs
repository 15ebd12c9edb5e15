//! Replies that are not the service's, undo that is refused for a while, and listings without an end.

use super::stage::{Ended, GUID, Moment, NEW, OLD, Ran, Stage, Twist, error, one};
use cutover::core::Method;
use serde_json::{Value, json};
use std::time::Duration;

const ANN: &str = "ann@contoso.com";
const AWAY: &str = "ann@contoso.onmicrosoft.com";
const PAGE: &str = "<!DOCTYPE html><html><body>You are not allowed to see this page</body></html>";

fn at_goal() -> (String, Option<String>, bool) {
    (ANN.to_owned(), Some(NEW.to_owned()), false)
}

fn as_before() -> (String, Option<String>, bool) {
    (ANN.to_owned(), Some(OLD.to_owned()), false)
}

fn body_has(moment: &Moment<'_>, name: &str, value: &Value) -> bool {
    let body = moment.request.body.as_ref();
    body.and_then(|body| body.get(name)) == Some(value)
}

/// Whether the request moves ann home.
fn goes_home(moment: &Moment<'_>) -> bool {
    moment.request.method == Method::Patch && body_has(moment, "userPrincipalName", &json!(ANN))
}

/// Whether the request sets the new ImmutableID, the step at which the service balks here.
fn sets(moment: &Moment<'_>) -> bool {
    body_has(moment, "onPremisesImmutableId", &json!(NEW))
}

fn first_n(mut times: usize) -> impl FnMut() -> bool {
    move || {
        let left = times > 0;
        times = times.saturating_sub(1);
        left
    }
}

/// A run of ann alone through such a service, and where she stands afterwards.
async fn ran(quirk: impl FnMut(&Moment<'_>) -> Twist + Send + 'static) -> (Ran, (String, Option<String>, bool)) {
    let stage = Stage::fresh().through(quirk);
    let tenant = stage.tenant.clone();
    let id = tenant.hire(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    let stand = tenant.stand(&id);
    (ran, stand)
}

fn outcome(ran: &Ran) -> &'static str {
    let Ended { outcome, .. } = ran.end();
    outcome
}

#[tokio::test(start_paused = true)]
async fn a_page_in_place_of_a_person_is_asked_for_again() {
    for status in [200, 302, 401, 403, 404, 407, 410, 429, 451, 502, 503] {
        for page in [PAGE, "", "{\"message\":\"no\"}", "{\"id\":\"cut o", "[]"] {
            let mut first = first_n(2);
            let quirk = move |moment: &Moment<'_>| {
                let is_look = moment.is(Method::Get, "/users/ann");
                match is_look && first() {
                    true => Twist::Page(status, page),
                    false => Twist::Nothing,
                }
            };
            let (ran, stand) = ran(quirk).await;
            assert_eq!(outcome(&ran), "done", "{status} {page} {:?}", ran.end());
            assert_eq!(stand, at_goal());
        }
    }
}

/// Nothing that may be refused is taken as refused for a page, and no list as empty.
#[tokio::test(start_paused = true)]
async fn a_page_in_place_of_who_has_the_value_is_not_nobody() {
    for status in [200, 403, 404] {
        let mut first = first_n(1);
        let stage = Stage::fresh().through(move |moment| {
            let asks = moment.is(Method::Get, "/users?$filter=onPremisesImmutableId");
            match asks && first() {
                true => Twist::Page(status, PAGE),
                false => Twist::Nothing,
            }
        });
        stage.tenant.hire("zed@contoso.com", Some(NEW));
        stage.tenant.hire(ANN, Some(OLD));
        let ran = stage.run(&one(ANN)).await;
        assert_eq!(ran.end().code, "ImmutableIdTaken", "{:?}", ran.end());
        assert_eq!(ran.writes(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_in_place_of_an_answer_to_a_write_is_a_doubt() {
    for status in [200, 302, 403, 404, 407, 429, 502] {
        for is_done in [true, false] {
            let mut first = first_n(1);
            let quirk = move |moment: &Moment<'_>| match (sets(moment) && first(), is_done) {
                (true, true) => Twist::PageAfter(status, PAGE),
                (true, false) => Twist::Page(status, PAGE),
                (false, _) => Twist::Nothing,
            };
            let (ran, stand) = ran(quirk).await;
            assert_eq!(outcome(&ran), "done", "{status} {:?}", ran.end());
            assert_eq!(stand, at_goal());
            let writes = 4 + usize::from(!is_done);
            assert_eq!(ran.writes().len(), writes, "{status} {:?}", ran.writes());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn some_seconds_of_pages_strand_nobody() {
    for seconds in [8, 30, 60] {
        let mut since = None;
        let quirk = move |moment: &Moment<'_>| {
            if moment.request.method == Method::Get {
                return Twist::Nothing;
            }
            // The first write passes, so that she is away by then.
            let since = *since.get_or_insert(moment.elapsed);
            let passed = moment.elapsed.saturating_sub(since);
            match !passed.is_zero() && passed < Duration::from_secs(seconds) {
                true => Twist::Page(403, PAGE),
                false => Twist::Nothing,
            }
        };
        let (ran, (upn, ..)) = ran(quirk).await;
        assert_eq!(outcome(&ran), "done", "{:?}", ran.end());
        assert_eq!(upn, ANN);
    }
}

/// What an undo can meet for a while: refusals of every kind, and silence.
#[tokio::test(start_paused = true)]
async fn an_undo_that_is_refused_for_a_while_is_made() {
    let refusals = [
        (400, "Request_BadRequest"),
        (403, "Authorization_RequestDenied"),
        (403, "AadPremiumLicenseRequired"),
        (404, "Request_ResourceNotFound"),
        (405, "Request_BadRequest"),
        (409, "somethingElse"),
        (409, "Directory_ConcurrencyViolation"),
        (400, "ObjectConflict"),
        (503, "serviceNotAvailable"),
    ];
    for seconds in [8, 30, 60] {
        for (status, code) in refusals {
            let mut since = None;
            let quirk = move |moment: &Moment<'_>| {
                if sets(moment) {
                    return Twist::Instead(400, error("Request_BadRequest"));
                }
                if !goes_home(moment) {
                    return Twist::Nothing;
                }
                let since = *since.get_or_insert(moment.elapsed);
                match moment.elapsed - since < Duration::from_secs(seconds) {
                    true => Twist::Instead(status, error(code)),
                    false => Twist::Nothing,
                }
            };
            let (ran, stand) = ran(quirk).await;
            assert_eq!(outcome(&ran), "reverted", "{status} {code} {:?}", ran.end());
            assert_eq!(stand, as_before());
        }
    }
}

/// A person who is away is not given up because they cannot be seen for a while.
#[tokio::test(start_paused = true)]
async fn reads_that_are_refused_for_half_a_minute_strand_nobody() {
    for (status, code) in
        [(403, "Authorization_RequestDenied"), (404, "Request_ResourceNotFound"), (400, "Request_BadRequest")]
    {
        let mut since = None;
        let quirk = move |moment: &Moment<'_>| {
            if body_has(moment, "userPrincipalName", &json!(AWAY)) {
                since = Some(moment.elapsed);
                return Twist::Silence;
            }
            let half_a_minute = Duration::from_secs(30);
            let is_dark = since.is_some_and(|since| moment.elapsed - since < half_a_minute);
            match is_dark && moment.request.method == Method::Get {
                true => Twist::Instead(status, error(code)),
                false => Twist::Nothing,
            }
        };
        let (ran, stand) = ran(quirk).await;
        assert_eq!(outcome(&ran), "done", "{status} {code} {:?}", ran.end());
        assert_eq!(stand, at_goal());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_go_home_is_stranded_after_a_bounded_number_of_tries() {
    let quirk = |moment: &Moment<'_>| match goes_home(moment) {
        true => Twist::Instead(400, error("Request_BadRequest")),
        false => Twist::Nothing,
    };
    let (ran, (upn, ..)) = ran(quirk).await;
    let end = ran.end();
    assert_eq!(end.outcome, "stranded", "{end:?}");
    assert_eq!(upn, AWAY);
    let tries = ran.writes();
    let home = format!("PATCH user {{\"userPrincipalName\":\"{ANN}\"}}");
    // Once forward, twelve times back.
    assert_eq!(tries.iter().filter(|write| **write == home).count(), 13);
    assert!(end.message.contains("tried 12 times"), "{}", end.message);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_refused_is_undone_at_once_and_the_job_says_what_helps() {
    let quirk = |moment: &Moment<'_>| {
        let clears = body_has(moment, "onPremisesImmutableId", &Value::Null);
        match clears {
            true => Twist::Instead(400, error("Request_BadRequest")),
            false => Twist::Nothing,
        }
    };
    let (ran, stand) = ran(quirk).await;
    let end = ran.end();
    assert_eq!((end.outcome, stand), ("reverted", as_before()), "{end:?}");
    assert!(end.advice.contains("clear=never"), "{}", end.advice);
    assert_eq!(ran.writes().len(), 3, "{:?}", ran.writes());
}

/// The pages of a listing that lead in a circle, to the page itself, or on and on.
#[tokio::test(start_paused = true)]
async fn a_listing_without_an_end_ends() {
    let same = |_: &str, _: usize| "https://graph.microsoft.com/v1.0/next".to_owned();
    let on_and_on = |path: &str, _: usize| format!("https://graph.microsoft.com/v1.0{path}&more");
    let circle = |_: &str, at: usize| format!("https://graph.microsoft.com/v1.0/next{}", at % 3);
    let ways: [fn(&str, usize) -> String; 3] = [same, on_and_on, circle];
    for (next, items) in ways.iter().flat_map(|way| [(*way, json!([])), (*way, json!([{"id": "1"}]))]) {
        let mut pages = 0;
        let stage = Stage::fresh().through(move |moment| {
            let is_page = moment.request.path.contains("deletedItems/microsoft.graph.user?")
                || moment.request.path.contains("/next");
            if moment.request.method != Method::Get || !is_page {
                return Twist::Nothing;
            }
            pages += 1;
            let next = next(&moment.request.path, pages);
            Twist::Instead(200, json!({"value": items, "@odata.nextLink": next}))
        });
        stage.tenant.deleted(ANN, Some(OLD));
        let ran = stage.run(&one(ANN)).await;
        let end = ran.end();
        assert_eq!(end.outcome, "failed", "{end:?}");
        assert!(end.message.contains("endless-listing"), "{end:?}");
        assert!(ran.asked.len() < 150, "{}", ran.asked.len());
    }
}

/// The first look, by UPN, is answered from a cache that still knows the deleted namesake.
#[tokio::test(start_paused = true)]
async fn a_namesake_who_was_deleted_long_ago_stays_deleted() {
    let stage = Stage::fresh();
    let gone = stage.tenant.deleted(ANN, Some(OLD));
    let ann = stage.tenant.hire(ANN, Some("b3RoZXIgb3RoZXIgb3RoZQ=="));
    let mut first = first_n(1);
    let stale = json!({
        "id": gone, "userPrincipalName": ANN,
        "onPremisesImmutableId": OLD, "onPremisesSyncEnabled": null
    });
    let stage = stage.through(move |moment| {
        let is_look = moment.is(Method::Get, "/users/ann");
        match is_look && first() {
            true => Twist::Instead(200, stale.clone()),
            false => Twist::Nothing,
        }
    });
    let tenant = stage.tenant.clone();
    let ran = stage.run(&one(ANN)).await;
    let end = ran.end();
    assert_eq!(tenant.stand(&gone), (ANN.to_owned(), Some(OLD.to_owned()), true), "{end:?}");
    let (upn, ..) = tenant.stand(&ann);
    assert_eq!(upn, ANN, "{end:?}");
    assert!(matches!(end.outcome, "refused" | "done"), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_one_second_each_time_is_waited_out() {
    let mut since = None;
    let quirk = move |moment: &Moment<'_>| {
        if moment.request.method == Method::Get {
            return Twist::Nothing;
        }
        let since = *since.get_or_insert(moment.elapsed);
        let passed = moment.elapsed - since;
        match !passed.is_zero() && passed < Duration::from_secs(12) {
            true => Twist::Instead(429, error("TooManyRequests")),
            false => Twist::Nothing,
        }
    };
    let (ran, stand) = ran(quirk).await;
    assert_eq!(outcome(&ran), "done", "{:?}", ran.end());
    assert_eq!(stand, at_goal());
}

#[tokio::test(start_paused = true)]
async fn an_address_that_somebody_has_by_now_is_told_with_the_way_to_drop_it() {
    let stage = Stage::fresh();
    let tenant = stage.tenant.clone();
    let id = tenant.deleted(ANN, Some(OLD));
    let quirk = |moment: &Moment<'_>| match moment.is(Method::Post, "/restore") {
        true => Twist::Instead(
            409,
            json!({"error": {"code": "Request_BadRequest", "message": "no", "details": [{"code": "ConflictingObjects"}]}}),
        ),
        false => Twist::Nothing,
    };
    let ran = stage.through(quirk).run(&format!("upn,object_guid\n{ANN},{GUID}\n")).await;
    let end = ran.end();
    assert_eq!(end.outcome, "failed", "{end:?}");
    assert!(end.advice.contains("proxy_conflict=drop"), "{end:?}");
    assert!(tenant.stand(&id).2);
}
