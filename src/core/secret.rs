//! A value that must not be shown: it has no `Display`, its `Debug` hides it, and reading it takes a call that can be
//! searched for. Does not encrypt and does not wipe memory.
//!
//! Others may say it, though: a service or a proxy that repeats what it was sent. So whatever a client has used is struck out of
//! what comes back ([`Secrets`]), also where it was encoded on the way.

use parking_lot::RwLock;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

/// What stands in the place of a secret.
const STRUCK: &str = "***";

/// A text as short as this is found in words that have nothing to do with it.
const BYTES_MIN: usize = 8;

/// Secrets that a client remembers: tokens of a few days, and a new assertion for every try.
const SECRETS_MAX: usize = 64;

/// A client secret or a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Keeps a value from being shown.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself, for the one request that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text with every occurrence of the value taken out, for words that come from elsewhere.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        Forms::of(self).redact(&mut text);
        text
    }

    /// The value as it stands somewhere within base64: the symbols that stand for its bytes alone, when so many others, up to a
    /// whole group of three, come before them.
    fn within_base64(&self) -> Vec<Secret> {
        let encoded = (0..3).flat_map(|before| {
            let all = [&[0; 3][..before], self.0.as_bytes()].concat();
            let shared_after = usize::from(all.len() % 3 != 0);
            [STANDARD_NO_PAD.encode(&all), URL_SAFE_NO_PAD.encode(&all)].map(|symbols| {
                let own = (before * 8).div_ceil(6)..symbols.len().saturating_sub(shared_after);
                symbols.get(own).unwrap_or_default().to_owned()
            })
        });
        encoded.filter(|text| text.len() >= BYTES_MIN).map(Secret).collect()
    }
}

/// A secret, and how it looks where somebody encoded it.
#[derive(Debug)]
struct Forms {
    secret: Secret,
    within_base64: Vec<Secret>,
}

impl Forms {
    fn of(secret: &Secret) -> Forms {
        Forms { within_base64: secret.within_base64(), secret: secret.clone() }
    }

    fn redact(&self, text: &mut String) {
        let value = self.secret.expose();
        // However it is written, it takes at least as many characters as it has.
        if value.is_empty() || text.len() < value.len() {
            return;
        }
        for form in std::iter::once(value).chain(self.within_base64.iter().map(Secret::expose)) {
            if text.contains(form) {
                *text = text.replace(form, STRUCK);
            }
        }
        // As in a URL or a form, whichever of its characters are written with a percent sign.
        if !text.contains(['%', '+']) {
            return;
        }
        for plus in ["+", " "] {
            let decoded = text.replace('+', plus);
            let decoded = percent_decode_str(&decoded).decode_utf8_lossy();
            if decoded.contains(value) {
                *text = decoded.replace(value, STRUCK);
            }
        }
    }
}

/// What a client has used, to be struck out of every refusal that comes back. A clone shares the list.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Arc<RwLock<VecDeque<Forms>>>);

impl Secrets {
    /// Remembers a secret from here on.
    pub fn note(&self, secret: &Secret) {
        if secret.0.len() < BYTES_MIN || self.0.read().iter().any(|known| known.secret == *secret) {
            return;
        }
        let mut secrets = self.0.write();
        secrets.truncate(SECRETS_MAX - 1);
        secrets.push_front(Forms::of(secret));
    }

    /// The text without any of them.
    pub fn strike(&self, text: &str) -> String {
        let mut text = text.to_owned();
        self.0.read().iter().for_each(|forms| forms.redact(&mut text));
        text
    }

    /// A body without any of them, in whatever way JSON writes a text.
    pub fn strike_body(&self, body: &[u8]) -> Vec<u8> {
        match serde_json::from_slice(body) {
            Ok(mut value) => {
                self.strike_value(&mut value);
                value.to_string().into_bytes()
            }
            Err(_) => self.strike(&String::from_utf8_lossy(body)).into_bytes(),
        }
    }

    /// The same in a value that was read already.
    pub fn strike_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.strike(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.strike_value(value)),
            Value::Object(members) => {
                *members = std::mem::take(members)
                    .into_iter()
                    .map(|(name, mut value)| {
                        self.strike_value(&mut value);
                        (self.strike(&name), value)
                    })
                    .collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn is_never_shown() {
        let secret = Secret::new("hush");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(***) Some(Secret(***))");
        assert_eq!(secret.redact("you said hush, hush"), "you said ***, ***");
        assert_eq!(Secret::new("").redact("as is"), "as is");
    }

    #[test]
    fn a_body_is_struck_however_its_texts_are_written() {
        let secrets = Secrets::default();
        secrets.note(&Secret::new("Zq8~hush/hush"));
        let body =
            br#"{"fault": {"code": "Zq8~hush\/hush", "message": "you sent \u005aq8~hush/hush", "Zq8~hush/hush": [1]}}"#;
        let struck: Value = serde_json::from_slice(&secrets.strike_body(body)).unwrap();
        let expected = json!({"fault": {"code": "***", "message": "you sent ***", "***": [1]}});
        assert_eq!(struck, expected);
        assert_eq!(secrets.strike_body(b"<p>Zq8%7ehush%2fhush</p>"), b"<p>***</p>");
    }

    #[test]
    fn short_texts_and_the_oldest_secrets_are_let_go() {
        let secrets = Secrets::default();
        secrets.note(&Secret::new("short"));
        assert_eq!(secrets.strike("cut it short"), "cut it short");
        for number in 0..=SECRETS_MAX {
            secrets.note(&Secret::new(format!("assertion {number:03}")));
            secrets.note(&Secret::new(format!("assertion {number:03}")));
        }
        assert_eq!(secrets.strike("assertion 001"), "***");
        assert_eq!(secrets.strike("assertion 000"), "assertion 000");
    }

    proptest! {
        #[test]
        fn no_encoding_hides_it(secret in "[!-~]{12,40}", before in "[a-z:]{0,9}", after in "[a-z]{0,9}") {
            let own = Secret::new(secret.clone());
            let whole = format!("{before}{secret}{after}");
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let struck = own.redact(&engine.encode(&whole));
                prop_assert!(struck.contains(STRUCK), "{}", struck);
                let left = struck.replace(STRUCK, "");
                let rest = before.len() + after.len();
                prop_assert!(left.len() <= (rest * 8).div_ceil(6) + 8, "{}", left);
            }
            let url = reqwest::Url::parse_with_params("http://a/", [("s", &secret)]).unwrap();
            prop_assert_eq!(own.redact(url.query().unwrap()), "s=***");
            let percent = utf8_percent_encode(&secret, NON_ALPHANUMERIC).to_string();
            prop_assert_eq!(own.redact(&percent), "***");
            prop_assert_eq!(own.redact(&whole), format!("{before}***{after}"));
        }
    }
}
