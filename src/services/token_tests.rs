//! When tokens are asked for, kept and dropped.

use super::*;
use crate::services::test_server::{Answer, Server};

const HOUR: Duration = Duration::from_secs(3600);

fn tokens(server: &Server) -> Tokens {
    let connection = server.connection_to(&server.root);
    // As the client for Graph does before its first use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Tokens::new(Client::builder().no_proxy().build().unwrap(), &connection.graph, Secrets::default()).unwrap()
}

fn granted(seconds: u64) -> Token {
    Token::new(&Granted::of("old", Duration::from_secs(seconds))).unwrap()
}

/// Puts a token in place that is due for renewal, and ends at that time.
fn hold_due(tokens: &Tokens, ends_at: Instant) -> Arc<Token> {
    let token = Arc::new(Token { renew_at: Instant::now(), ends_at, ..granted(3600) });
    tokens.held.write().token = Some(Arc::clone(&token));
    token
}

fn bearer(token: &Token) -> &str {
    token.authorization.to_str().unwrap()
}

#[tokio::test]
async fn asks_as_the_service_wants_to_be_asked() {
    let server = Server::start().await;
    let token = tokens(&server).current().await.unwrap();
    assert_eq!(bearer(&token), "Bearer token-1");
    assert!(token.authorization.is_sensitive());
    let asked = &server.sign_ins()[0];
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.uri, "/contoso.test/oauth2/v2.0/token");
    assert_eq!(
        asked.body,
        "client_id=app&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default\
         &grant_type=client_credentials&client_secret=hu%26sh"
    );
}

#[tokio::test(start_paused = true)]
async fn renewal_comes_five_minutes_early_or_at_half_a_short_or_a_long_life() {
    let now = Instant::now();
    for (lifetime_s, renew_s) in
        [(86_400, 43_200), (7_200, 3_600), (7_199, 6_899), (3_600, 3_300), (600, 300), (599, 299), (60, 30), (0, 0)]
    {
        let token = granted(lifetime_s);
        assert_eq!((token.renew_at - now).as_secs(), renew_s, "{lifetime_s}");
        assert_eq!((token.ends_at - now).as_secs(), lifetime_s);
    }
}

#[tokio::test]
async fn a_token_that_is_due_is_renewed() {
    let server = Server::start().await;
    let tokens = tokens(&server);
    hold_due(&tokens, Instant::now() + HOUR);
    assert_eq!(bearer(&tokens.current().await.unwrap()), "Bearer token-1");
    assert_eq!(bearer(&tokens.current().await.unwrap()), "Bearer token-1");
    assert_eq!(server.sign_ins().len(), 1);
}

#[tokio::test]
async fn while_one_renews_the_others_use_the_old_token() {
    let server = Server::start().await;
    let tokens = tokens(&server);
    let old = hold_due(&tokens, Instant::now() + HOUR);
    let _renewing = tokens.renewal.lock().await;
    let current = tokens.current().await.unwrap();
    assert!(Arc::ptr_eq(&current, &old));
}

#[tokio::test]
async fn a_good_token_outlives_a_failed_renewal() {
    let server = Server::start().await;
    server.answer_sign_in(Answer::new(503, ""));
    let tokens = tokens(&server);
    let old = hold_due(&tokens, Instant::now() + HOUR);
    for _ in 0..3 {
        let current = tokens.current().await.unwrap();
        assert!(Arc::ptr_eq(&current, &old));
    }
    assert_eq!(server.sign_ins().len(), 1, "the failure is remembered for a while");
}

#[tokio::test]
async fn a_token_that_has_ended_does_not() {
    let server = Server::start().await;
    server.answer_sign_in(Answer::new(503, ""));
    let tokens = tokens(&server);
    hold_due(&tokens, Instant::now());
    let fault = tokens.current().await.err().unwrap();
    assert_eq!((fault.class, fault.status), (Class::NotSent, Some(503)));
}

#[tokio::test]
async fn only_the_token_that_was_refused_is_dropped() {
    let server = Server::start().await;
    let tokens = tokens(&server);
    let old = tokens.current().await.unwrap();
    tokens.refused(&old);
    let new = tokens.current().await.unwrap();
    assert!(!Arc::ptr_eq(&old, &new));
    tokens.refused(&old);
    assert!(Arc::ptr_eq(&tokens.current().await.unwrap(), &new));
}

#[tokio::test]
async fn many_fresh_tokens_refused_in_a_row_are_a_refused_sign_in() {
    let server = Server::start().await;
    let tokens = tokens(&server);
    for n in 1..=5 {
        let token = tokens.current().await.unwrap();
        assert_eq!(tokens.refused(&token), n >= REFUSED_TOKENS_MAX, "{n}");
        assert_eq!(
            tokens.refused(&token),
            n >= REFUSED_TOKENS_MAX,
            "rows that come late with the same token do not count"
        );
    }
    tokens.accepted();
    let token = tokens.current().await.unwrap();
    assert!(!tokens.refused(&token));
}

#[tokio::test]
async fn rows_that_need_a_token_together_cost_one_request() {
    let server = Server::start().await;
    let tokens = Arc::new(tokens(&server));
    let mut rows = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let tokens = Arc::clone(&tokens);
        rows.spawn(async move { tokens.current().await.map(drop) });
    }
    assert!(rows.join_all().await.iter().all(Result::is_ok));
    assert_eq!(server.sign_ins().len(), 1);
}

#[tokio::test]
async fn a_sign_in_service_out_of_reach_means_not_sent() {
    let server = Server::start().await;
    let mut connection = server.connection_to(&server.root);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    connection.graph.login = closed.parse().unwrap();
    let graph = crate::services::HttpTransport::new(&connection).unwrap();
    let fault = graph.sign_in().await.unwrap_err();
    assert_eq!((fault.class, fault.code.as_str()), (Class::NotSent, "sign-in-not-connected"));
}
