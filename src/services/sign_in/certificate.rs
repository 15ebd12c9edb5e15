//! An app's certificate and private key, from one PEM file, and the assertion that is signed with them.
//!
//! Everything that can be wrong with the file is found when it is read, so that nothing is sent with a key that cannot
//! work. The assertion follows Microsoft's page on certificate credentials: PS256, named by the certificate's SHA-256.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, UnparsedPublicKey};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::core::Secret;
use crate::services::reply::Fault;

/// As long as MSAL's, and within the five to ten minutes that Microsoft recommends.
const ASSERTION_S: u64 = 600;

/// What is signed to find out whether key and certificate belong together.
const PROBE: &[u8] = b"cutover";

/// The codes of more than one thing that can be wrong.
const INCOMPLETE: &str = "certificate-incomplete";
const BAD_KEY: &str = "certificate-key";

const CERTIFICATE: &str = "CERTIFICATE";
/// A key of RSA alone (PKCS #1); other tags hold one of any kind (PKCS #8).
const RSA_KEY: &str = "RSA PRIVATE KEY";
const ENCRYPTED_KEY: &str = "ENCRYPTED PRIVATE KEY";
/// The older way to encrypt a key: under its usual name, told by a header.
const ENCRYPTION_HEADER: &str = "Proc-Type";

/// A certificate with its private key, good at the time it was read.
pub(in crate::services) struct Certificate {
    key: KeyPair,
    /// `x5t#S256`.
    thumbprint: String,
    /// When the certificate ends.
    pub(in crate::services) ends: SystemTime,
}

impl Certificate {
    /// Reads the file and checks everything that can be checked without asking anybody.
    pub(in crate::services) fn load(path: &Path, now: SystemTime) -> Result<Certificate, Fault> {
        let bytes = std::fs::read(path)
            .map_err(|error| Fault::sign_in("certificate-unreadable", format!("it cannot be read: {error}")))?;
        Certificate::parse(&bytes, now)
    }

    fn parse(bytes: &[u8], now: SystemTime) -> Result<Certificate, Fault> {
        let blocks =
            pem::parse_many(bytes).map_err(|error| Fault::sign_in(INCOMPLETE, format!("it is not PEM: {error}")))?;
        let key = private_key(&blocks)?;
        let mut ders = blocks.iter().filter(|block| block.tag() == CERTIFICATE).map(pem::Pem::contents).peekable();
        if ders.peek().is_none() {
            return Err(Fault::sign_in(INCOMPLETE, "there is no certificate in it"));
        }
        // The file may hold the issuers' certificates, too.
        for der in ders {
            let (_, certificate) = X509Certificate::from_der(der)
                .map_err(|error| Fault::sign_in(INCOMPLETE, format!("its certificate cannot be read: {error}")))?;
            if belongs(&key, &certificate)? {
                return Certificate::checked(key, &certificate, der, now);
            }
        }
        Err(Fault::sign_in("certificate-mismatch", "its private key is not that of its certificate"))
    }

    fn checked(key: KeyPair, own: &X509Certificate<'_>, der: &[u8], now: SystemTime) -> Result<Certificate, Fault> {
        let validity = own.validity();
        let from = moment(validity.not_before.timestamp());
        let ends = moment(validity.not_after.timestamp());
        if now < from {
            let message = format!("its certificate is not valid before {}", shown(from));
            return Err(Fault::sign_in("certificate-not-yet-valid", message));
        }
        if now > ends {
            let message = format!("its certificate has expired: it was valid until {}", shown(ends));
            return Err(Fault::sign_in("certificate-expired", message));
        }
        Ok(Certificate { key, thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(der)), ends })
    }

    /// A proof for this app at this very token endpoint, good for ten minutes and for one use.
    pub(super) fn assertion(&self, client_id: &str, audience: &str, now: SystemTime) -> Result<Secret, Fault> {
        let now_s = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let claims = json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": Uuid::new_v4(),
            "nbf": now_s,
            "iat": now_s,
            "exp": now_s + ASSERTION_S,
        });
        // A JSON Web Token (RFC 7515): base64url of JSON.
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes(), &self.key)?);
        Ok(Secret::new(format!("{signed}.{signature}")))
    }
}

fn sign(message: &[u8], key: &KeyPair) -> Result<Vec<u8>, Fault> {
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).map_err(unusable)?;
    Ok(signature)
}

fn private_key(blocks: &[pem::Pem]) -> Result<KeyPair, Fault> {
    let key = blocks
        .iter()
        .find(|block| block.tag().ends_with("PRIVATE KEY"))
        .ok_or_else(|| Fault::sign_in(INCOMPLETE, "there is no private key in it"))?;
    if key.tag() == ENCRYPTED_KEY || key.headers().get(ENCRYPTION_HEADER).is_some() {
        return Err(Fault::sign_in(BAD_KEY, "its private key is encrypted"));
    }
    let read = match key.tag() {
        RSA_KEY => KeyPair::from_der(key.contents()),
        _ => KeyPair::from_pkcs8(key.contents()),
    };
    read.map_err(unusable)
}

/// Whether what the key signs can be verified with the certificate.
fn belongs(key: &KeyPair, certificate: &X509Certificate<'_>) -> Result<bool, Fault> {
    let signature = sign(PROBE, key)?;
    let public = &certificate.public_key().subject_public_key.data;
    // A certificate of another kind of key cannot verify it either.
    let verified = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public).verify(PROBE, &signature);
    Ok(verified.is_ok())
}

fn unusable(error: impl std::fmt::Display) -> Fault {
    Fault::sign_in(BAD_KEY, format!("its private key cannot be used: {error}"))
}

/// A certificate's time; one before 1970 is as good as 1970.
fn moment(timestamp_s: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(timestamp_s).unwrap_or(0))
}

fn shown(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| "an unknown time".to_owned(), |at| at.to_string())
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
