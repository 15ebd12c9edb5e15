//! Verifies the assertion with which an app proves that it has a certificate's private key, as Microsoft's page on
//! certificate credentials describes it: with the public key that was registered, and as strictly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::clock::UnixMillis;
use super::denial::Denial;

/// Entra forgives clocks that differ by so much.
const SKEW_S: u64 = 300;
/// The longest life that the page recommends.
const LIFE_S_MAX: u64 = 600;

#[derive(Deserialize)]
struct Claims {
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
    now: UnixMillis,
) -> Result<(), Denial> {
    let header = decode_header(assertion).map_err(|_| Denial::Assertion)?;
    let named = header.x5t_s256.ok_or(Denial::Assertion)?;
    let der = certificates
        .iter()
        .filter_map(|text| pem::parse(text).ok())
        .map(pem::Pem::into_contents)
        .find(|der| URL_SAFE_NO_PAD.encode(Sha256::digest(der)) == named)
        .ok_or(Denial::Assertion)?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| Denial::Assertion)?;
    let key = DecodingKey::from_rsa_der(&certificate.public_key().subject_public_key.data);
    let claims = decode::<Claims>(assertion, &key, &signature_only())
        .map_err(|_| Denial::Assertion)?
        .claims;
    if claims.iss != client_id || claims.sub != client_id || claims.jti.is_nil() {
        return Err(Denial::AssertionApp);
    }
    if claims.aud != audience {
        return Err(Denial::AssertionAudience);
    }
    let now_s = now.ms_since(UnixMillis(0)) / 1_000;
    let is_good = claims.nbf <= now_s + SKEW_S
        && now_s < claims.exp + SKEW_S
        && claims.exp.saturating_sub(claims.nbf) <= LIFE_S_MAX;
    if is_good {
        Ok(())
    } else {
        Err(Denial::AssertionTime)
    }
}

/// The library would take the time from the system's clock, and here it is an argument.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::PS256);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}
