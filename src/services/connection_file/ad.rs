//! The section [ad] of a connection file: the on-premises Active Directory.

use super::{Reader, address, quota};
use crate::core::config::{Flaw, Table};
use crate::services::ldap::{AdConnection, AdLimits};
use reqwest::Url;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

/// More queries at once bring nothing: each asks for everybody who waits.
const AT_ONCE_MAX: u32 = 16;

impl Reader<'_> {
    pub(super) fn ad(&self, table: &Table<'_>) -> Option<AdConnection> {
        ["url", "base", "bind"].iter().for_each(|key| table.require(key));
        let start_tls = table.flag("start_tls");
        let url = address(table, "url", "ldaps", start_tls);
        if let (true, Some("ldaps"), Some(value)) = (start_tls, url.as_ref().map(Url::scheme), table.value("url")) {
            let message = "`start_tls` belongs to `ldap://…`; `ldaps://…` is secure from the beginning";
            table.note_at(&value.span(), message, Some("take `start_tls` out, or write `ldap://…`"));
        }
        let ca = table.parsed("ca", |file| authorities_of(&self.folder.join(file)));
        let base = table.parsed("base", |text| match is_distinguished_name(text) {
            true => Ok(text.to_owned()),
            false => Err(Flaw::new(
                format!("`{text}` is not a distinguished name"),
                "write where the people are, as in `base = \"DC=contoso,DC=local\"`",
            )),
        });
        let bind = table.parsed("bind", |text| Ok(text.to_owned()));
        let password = self.secret(table, "password");
        let limits = table.section("limits", limits_of);
        Some(AdConnection {
            url: url?,
            start_tls,
            ca: ca.map(Arc::new),
            base: base?,
            bind: bind?,
            // A file was just found to be readable.
            password: password?.read().ok()?,
            limits: limits.unwrap_or(AdLimits::DEFAULT),
        })
    }
}

fn limits_of(table: &Table<'_>) -> AdLimits {
    let at_once = table.count("at_once").unwrap_or(AdLimits::DEFAULT.at_once);
    if let Some(value) = table.value("at_once").filter(|_| at_once > AT_ONCE_MAX) {
        table.note_at(&value.span(), format!("`at_once` is more than {AT_ONCE_MAX}"), Some("write `at_once = 2`"));
    }
    AdLimits { queries: quota(table, "queries").unwrap_or(AdLimits::DEFAULT.queries), at_once }
}

fn authorities_of(file: &Path) -> Result<RootCertStore, Flaw> {
    let read = || -> Result<RootCertStore, Box<dyn Error>> {
        let text = std::fs::read(file)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            roots.add(certificate?)?;
        }
        if roots.is_empty() { Err("the file holds no certificate in PEM".into()) } else { Ok(roots) }
    };
    read().map_err(|reason| {
        Flaw::new(
            format!("the certificates of `ca` cannot be used: {reason}"),
            "name a file with the authority's certificates in PEM; its path counts from the connection file's directory; \
             `certutil -ca.cert ca.cer` and `certutil -encode ca.cer ca.pem` make one",
        )
    })
}

/// Whether every part has an attribute and a value; a comma that belongs to a value has a backslash before it.
fn is_distinguished_name(text: &str) -> bool {
    let has_both = |(name, value): (&str, &str)| !name.trim().is_empty() && !value.trim().is_empty();
    text.replace("\\,", "").split(',').all(|part| part.split_once('=').is_some_and(has_both))
}
