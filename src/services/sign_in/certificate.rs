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
    ends: SystemTime,
}

/// What is wrong with a certificate's file. What to do about each code is in the table of codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(in crate::services) struct CertificateError {
    pub(in crate::services) code: &'static str,
    message: String,
}

fn wrong(code: &'static str, message: impl Into<String>) -> CertificateError {
    CertificateError { code, message: message.into() }
}

impl Certificate {
    /// Reads the file and checks everything that can be checked without asking anybody.
    pub(in crate::services) fn load(path: &Path, now: SystemTime) -> Result<Certificate, CertificateError> {
        let bytes = std::fs::read(path)
            .map_err(|error| wrong("certificate-unreadable", format!("it cannot be read: {error}")))?;
        Certificate::parse(&bytes, now)
    }

    fn parse(bytes: &[u8], now: SystemTime) -> Result<Certificate, CertificateError> {
        let blocks = pem::parse_many(bytes).map_err(|error| wrong(INCOMPLETE, format!("it is not PEM: {error}")))?;
        let key = private_key(&blocks)?;
        let mut ders = blocks.iter().filter(|block| block.tag() == CERTIFICATE).map(pem::Pem::contents).peekable();
        if ders.peek().is_none() {
            return Err(wrong(INCOMPLETE, "there is no certificate in it"));
        }
        // The file may hold the issuers' certificates, too.
        for der in ders {
            let certificate = parsed(der)?;
            if belongs(&key, &certificate)? {
                return Certificate::checked(key, &certificate, der, now);
            }
        }
        Err(wrong("certificate-mismatch", "its private key is not that of its certificate"))
    }

    fn checked(
        key: KeyPair,
        certificate: &X509Certificate<'_>,
        der: &[u8],
        now: SystemTime,
    ) -> Result<Certificate, CertificateError> {
        let validity = certificate.validity();
        let from = moment(validity.not_before.timestamp());
        let ends = moment(validity.not_after.timestamp());
        if now < from {
            let message = format!("its certificate is not valid before {}", shown(from));
            return Err(wrong("certificate-not-yet-valid", message));
        }
        if now > ends {
            let message = format!("its certificate has expired: it was valid until {}", shown(ends));
            return Err(wrong("certificate-expired", message));
        }
        Ok(Certificate { key, thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(der)), ends })
    }

    /// When the certificate ends.
    pub(in crate::services) fn ends(&self) -> SystemTime {
        self.ends
    }

    /// A proof for this app at this very token endpoint, good for ten minutes and for one use.
    pub(super) fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        now: SystemTime,
    ) -> Result<Secret, CertificateError> {
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

fn sign(message: &[u8], key: &KeyPair) -> Result<Vec<u8>, CertificateError> {
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).map_err(unusable)?;
    Ok(signature)
}

fn private_key(blocks: &[pem::Pem]) -> Result<KeyPair, CertificateError> {
    let key = blocks
        .iter()
        .find(|block| block.tag().ends_with("PRIVATE KEY"))
        .ok_or_else(|| wrong(INCOMPLETE, "there is no private key in it"))?;
    if key.tag() == ENCRYPTED_KEY || key.headers().get(ENCRYPTION_HEADER).is_some() {
        return Err(wrong(BAD_KEY, "its private key is encrypted"));
    }
    let read = match key.tag() {
        RSA_KEY => KeyPair::from_der(key.contents()),
        _ => KeyPair::from_pkcs8(key.contents()),
    };
    read.map_err(unusable)
}

fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    let parsed = X509Certificate::from_der(der).map(|(_, certificate)| certificate);
    parsed.map_err(|error| wrong(INCOMPLETE, format!("its certificate cannot be read: {error}")))
}

/// Whether what the key signs can be verified with the certificate.
fn belongs(key: &KeyPair, certificate: &X509Certificate<'_>) -> Result<bool, CertificateError> {
    let signature = sign(PROBE, key)?;
    let public = &certificate.public_key().subject_public_key.data;
    // A certificate of another kind of key cannot verify it either.
    let verified = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public).verify(PROBE, &signature);
    Ok(verified.is_ok())
}

fn unusable(error: impl std::fmt::Display) -> CertificateError {
    wrong(BAD_KEY, format!("its private key cannot be used: {error}"))
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
