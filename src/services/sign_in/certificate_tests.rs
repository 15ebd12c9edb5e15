//! Certificate files, good and bad, and what is signed with the good ones.

use rcgen::{CertificateParams, date_time_ymd};
use serde_json::Value;

use super::*;

const KEY: &str = include_str!("../../../tests/data/keys/app.key");
const KEY_PKCS1: &str = include_str!("../../../tests/data/keys/app-pkcs1.key");
const KEY_ENCRYPTED: &str = include_str!("../../../tests/data/keys/app-encrypted.key");
const KEY_ENCRYPTED_PKCS1: &str = include_str!("../../../tests/data/keys/app-encrypted-pkcs1.key");
const OTHER_KEY: &str = include_str!("../../../tests/data/keys/other.key");
const EC_KEY: &str = include_str!("../../../tests/data/keys/ec.key");

const AUDIENCE: &str = "https://login.microsoftonline.com/contoso.test/oauth2/v2.0/token";

/// A certificate of this key, good in these years.
fn certificate(key: &str, from: i32, until: i32) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = rcgen::KeyPair::from_pem(key).unwrap();
    params.self_signed(&key).unwrap().pem()
}

fn at(date: &str) -> SystemTime {
    date.parse::<jiff::Timestamp>().unwrap().into()
}

fn now() -> SystemTime {
    at("2026-06-01T12:00:00Z")
}

fn parse(text: &str) -> Result<Certificate, Fault> {
    Certificate::parse(text.as_bytes(), now())
}

fn refused(text: &str) -> Fault {
    parse(text).err().unwrap()
}

#[test]
fn a_file_holds_key_and_certificate_in_any_order_and_with_the_issuers() {
    let own = certificate(KEY, 2026, 2027);
    let issuer = certificate(OTHER_KEY, 2020, 2030);
    let thumbprint = parse(&format!("{KEY}{own}")).unwrap().thumbprint;
    for text in [
        format!("{own}{KEY}"),
        format!("{KEY_PKCS1}{own}"),
        format!("Bag Attributes\n{own}\n{issuer}\n{KEY}"),
        format!("{issuer}{own}{KEY}").replace('\n', "\r\n"),
    ] {
        assert_eq!(parse(&text).unwrap().thumbprint, thumbprint);
    }
}

#[test]
fn what_is_wrong_is_found_before_anything_is_sent() {
    let own = certificate(KEY, 2026, 2027);
    let encrypted = |key: &str| format!("{own}{key}");
    let elliptic = format!("{}{EC_KEY}", certificate(EC_KEY, 2026, 2027));
    let mixed = format!("{}{KEY}", certificate(EC_KEY, 2026, 2027));
    for (text, code, message) in [
        (KEY, INCOMPLETE, "there is no certificate in it"),
        (&own, INCOMPLETE, "there is no private key in it"),
        ("nothing of the kind", INCOMPLETE, "there is no private key in it"),
        (&encrypted(KEY_ENCRYPTED), BAD_KEY, "its private key is encrypted"),
        (&encrypted(KEY_ENCRYPTED_PKCS1), BAD_KEY, "its private key is encrypted"),
        (&format!("{own}{OTHER_KEY}"), "certificate-mismatch", "its private key is not that of its certificate"),
        (&elliptic, BAD_KEY, "its private key cannot be used"),
        (&mixed, "certificate-mismatch", "its private key is not that of its certificate"),
    ] {
        let error = refused(text);
        assert_eq!(error.code, code, "{error:?}");
        assert!(error.message.starts_with(message), "{error:?}");
    }
    let cut = own.replacen("MII", "", 1);
    assert_eq!(refused(&format!("{cut}{KEY}")).code, INCOMPLETE);
    let missing = Certificate::load(Path::new("no/such.pem"), now()).err().unwrap();
    assert_eq!(missing.code, "certificate-unreadable");
}

#[test]
fn a_certificate_is_good_from_its_first_to_its_last_second() {
    let text = format!("{KEY}{}", certificate(KEY, 2026, 2027));
    let parse = |date| Certificate::parse(text.as_bytes(), at(date));
    assert!(parse("2026-01-01T00:00:00Z").is_ok());
    assert!(parse("2027-01-01T00:00:00Z").is_ok());
    assert_eq!(
        parse("2025-12-31T23:59:59Z").err().unwrap().message,
        "its certificate is not valid before 2026-01-01T00:00:00Z"
    );
    assert_eq!(
        parse("2027-01-01T00:00:01Z").err().unwrap().message,
        "its certificate has expired: it was valid until 2027-01-01T00:00:00Z"
    );
}

/// Header and claims of an assertion that the certificate verifies.
fn read(certificate: &str, assertion: &str) -> (Value, Value) {
    let der = pem::parse(certificate).unwrap().into_contents();
    let (_, public) = X509Certificate::from_der(&der).unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let key = &public.public_key().subject_public_key.data;
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key).verify(signed.as_bytes(), &bytes(signature)).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let json = |part| serde_json::from_slice(&bytes(part)).unwrap();
    (json(header), json(claims))
}

#[test]
fn an_assertion_is_what_entra_wants() {
    let pem_text = certificate(KEY, 2026, 2027);
    let certificate = parse(&format!("{KEY}{pem_text}")).unwrap();
    let assertion = certificate.assertion("app", AUDIENCE, now()).unwrap();

    let (header, claims) = read(&pem_text, assertion.expose());
    let der = pem::parse(&pem_text).unwrap().into_contents();
    let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(&der));
    assert_eq!(header, serde_json::json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint}));
    assert_eq!(claims["aud"], AUDIENCE);
    assert_eq!((&claims["iss"], &claims["sub"]), (&"app".into(), &"app".into()));
    let seconds = |name: &str| claims[name].as_u64().unwrap();
    assert_eq!(seconds("nbf"), 1_780_315_200);
    assert_eq!((seconds("iat"), seconds("exp")), (1_780_315_200, 1_780_315_800));

    let again = certificate.assertion("app", AUDIENCE, now()).unwrap();
    let (_, other) = read(&pem_text, again.expose());
    assert_ne!(claims["jti"], other["jti"]);
}
