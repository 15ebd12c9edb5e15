//! What an access token says of itself: which tenant it is for, and what its bearer may do.
//!
//! Only the service can judge a token, and Microsoft asks programs not to depend on what is in one. So nothing is decided by
//! this that the service does not decide again: it lets a missing permission show before the first write instead of at the
//! first person. A token that cannot be read says nothing. The claims are those of Microsoft's reference of access token
//! claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// What a token says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// The tenant's id.
    #[serde(rename = "tid")]
    pub tenant: Option<String>,
    /// The app's id.
    #[serde(rename = "appid")]
    pub app: Option<String>,
    /// The permissions that were granted: `roles` of an app, `scp` of a person.
    #[serde(rename = "roles", default)]
    pub permissions: Vec<String>,
    #[serde(default)]
    scp: String,
    /// The template ids of the directory roles its bearer holds.
    #[serde(rename = "wids", default)]
    pub directory_roles: Vec<String>,
}

impl Claims {
    /// The claims of a token; None where it is no JSON Web Token.
    pub(super) fn of(token: &str) -> Option<Claims> {
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let mut claims: Claims = serde_json::from_slice(&payload).ok()?;
        let scopes = std::mem::take(&mut claims.scp);
        claims.permissions.extend(scopes.split_whitespace().map(str::to_owned));
        Some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(payload: &str) -> String {
        format!("eyJhbGciOiJub25lIn0.{}.sig", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn an_apps_roles_and_a_persons_scopes_are_permissions() {
        let app = Claims::of(&token(r#"{"tid":"t","appid":"a","roles":["A.All"],"wids":["w"]}"#));
        let app = app.unwrap();
        assert_eq!(app.tenant.as_deref(), Some("t"));
        assert_eq!((app.permissions, app.directory_roles), (vec!["A.All".into()], vec!["w".into()]));
        let person = Claims::of(&token(r#"{"scp":"A.All B.Read"}"#)).unwrap();
        assert_eq!(person.permissions, ["A.All", "B.Read"]);
    }

    #[test]
    fn an_opaque_token_says_nothing() {
        for opaque in ["", "secret", "a.b", "a.!!.c", &token("[1]"), &token(r#"{"roles":5}"#)] {
            assert_eq!(Claims::of(opaque), None, "{opaque}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = Claims::of(&text);
        }
    }
}
