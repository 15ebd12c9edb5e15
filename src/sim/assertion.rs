//! Verifies the assertion with which an app proves that it has a certificate's private key, as Microsoft's page on
//! certificate credentials describes it: with the public key that was registered, and as strictly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Denial, SimTime};

/// Entra forgives clocks that differ by so much.
const SKEW_S: u64 = 300;
/// The longest life that the page recommends.
const LIFE_S_MAX: u64 = 600;

#[derive(Deserialize)]
struct AssertionHeader {
    alg: String,
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

#[derive(Deserialize)]
struct AssertionClaims {
    aud: String,
    iss: String,
    sub: String,
    jti: uuid::Uuid,
    nbf: u64,
    exp: u64,
}

/// Decides about an assertion of the app for one token endpoint. `certificates` are those that are registered, as PEM.
pub(super) fn check(
    assertion: &str,
    certificates: &[String],
    client_id: &str,
    audience: &str,
    now: SimTime,
) -> Result<(), Denial> {
    let (signed, signature) = assertion.rsplit_once('.').ok_or(Denial::ASSERTION)?;
    let (header, claims) = signed.split_once('.').ok_or(Denial::ASSERTION)?;
    let header: AssertionHeader = part(header)?;
    if header.alg != "PS256" {
        return Err(Denial::ASSERTION);
    }
    let der = certificates
        .iter()
        .filter_map(|text| pem::parse(text).ok())
        .map(pem::Pem::into_contents)
        .find(|der| URL_SAFE_NO_PAD.encode(Sha256::digest(der)) == header.thumbprint)
        .ok_or(Denial::ASSERTION)?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| Denial::ASSERTION)?;
    let key = &certificate.public_key().subject_public_key.data;
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key)
        .verify(signed.as_bytes(), &decoded(signature)?)
        .map_err(|_| Denial::ASSERTION)?;
    let claims: AssertionClaims = part(claims)?;
    if claims.iss != client_id || claims.sub != client_id || claims.jti.is_nil() {
        return Err(Denial::ASSERTION_APP);
    }
    if claims.aud != audience {
        return Err(Denial::ASSERTION_AUDIENCE);
    }
    let now_s = now.seconds();
    let is_good = claims.nbf <= now_s + SKEW_S
        && now_s < claims.exp + SKEW_S
        && claims.exp.saturating_sub(claims.nbf) <= LIFE_S_MAX;
    if is_good { Ok(()) } else { Err(Denial::ASSERTION_TIME) }
}

fn decoded(text: &str) -> Result<Vec<u8>, Denial> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Denial::ASSERTION)
}

/// A part of a JWT (RFC 7515): base64url of JSON.
fn part<T: DeserializeOwned>(text: &str) -> Result<T, Denial> {
    serde_json::from_slice(&decoded(text)?).map_err(|_| Denial::ASSERTION)
}
