//! On-premises Active Directory over LDAP: one connection, opened when it is needed and again when it was lost.
//!
//! [`ActiveDirectory`] answers questions about accounts and changes nothing. It sends a question once; whoever asks takes
//! the permits, decides whether to ask again, and matches accounts with rows. Three habits of directories are kept in here:
//! a search at the root of a domain answers with referrals beside the entries, which the crate's plain stream cannot
//! construct; octets that happen to be UTF-8 come as text; and Microsoft's servers cut an answer at 1,000 entries unless it
//! is read in pages.

mod fault;

use async_trait::async_trait;
use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, ldap_escape};
use reqwest::Url;
use rustls::{ClientConfig, RootCertStore};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

use super::class::Class;
use super::reply::Fault;
use crate::core::Secret;
use crate::services::budget::Quota;
use fault::{Stage, connect_fault, result_fault, tls_fault};

/// Connecting includes the name's resolution, the TLS handshake and the bind; a domain controller at the other end of the
/// world needs a second or two.
const CONNECT_S_MAX: Duration = Duration::from_secs(10);

/// Between two messages of an answer. A hundred indexed lookups take milliseconds; a busy server may take seconds.
const ANSWER_S_MAX: Duration = Duration::from_secs(30);

/// Entries a page: below the 1,000 at which Microsoft's servers cut a page short.
const PAGE_ENTRIES: i32 = 500;

/// How to reach a directory and as whom.
#[derive(Debug, Clone)]
pub struct AdConnection {
    /// `ldaps://…`, or `ldap://…` with StartTLS, or on loopback without.
    pub url: Url,
    /// Whether a connection to `ldap://…` is made secure before anything else is said.
    pub start_tls: bool,
    /// Whom to believe that the server is who it says; the system's authorities where there is none.
    pub ca: Option<Arc<RootCertStore>>,
    /// Where searches begin.
    pub base: String,
    /// The account to read as: a distinguished name, a UPN, or `DOMAIN\name`.
    pub bind: String,
    /// Its password.
    pub password: Secret,
    /// The budget.
    pub limits: AdLimits,
}

/// How much a directory may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdLimits {
    /// Queries in a time.
    pub queries: Quota,
    /// Queries under way at the same time.
    pub at_once: u32,
}

impl AdLimits {
    /// Little beside what a domain controller does for sign-ins; a query asks for as many people as wait for an answer.
    pub const DEFAULT: AdLimits = AdLimits { queries: Quota::new(20, Duration::from_secs(1)), at_once: 2 };
}

/// What is asked of a directory: every account with one of these values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Which entries are looked among, as an LDAP filter.
    pub among: String,
    /// The attribute that is compared; directories compare it without regard to case, and some without accents.
    pub attribute: String,
    /// The values, as they are: escaping is done here.
    pub values: Vec<String>,
    /// The attributes to answer with, beside the one compared.
    pub wanted: Vec<String>,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its distinguished name.
    pub name: String,
    /// Its values as octets, by the attribute's name in lower case.
    attributes: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Account {
    /// An account with these attributes; their names in any case.
    #[must_use]
    pub fn new(name: impl Into<String>, attributes: impl IntoIterator<Item = (String, Vec<Vec<u8>>)>) -> Account {
        let attributes = attributes.into_iter().map(|(name, values)| (name.to_ascii_lowercase(), values));
        Account { name: name.into(), attributes: attributes.collect() }
    }

    /// The values of an attribute; none where the account does not have it, or the reader may not see it.
    pub fn values(&self, attribute: &str) -> &[Vec<u8>] {
        self.attributes.get(&attribute.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }
}

/// Text is octets, too: which of the two a value came as depends only on whether it happens to be UTF-8.
impl From<SearchEntry> for Account {
    fn from(entry: SearchEntry) -> Account {
        let octets = |values: Vec<String>| values.into_iter().map(String::into_bytes).collect();
        let texts = entry.attrs.into_iter().map(|(name, values)| (name, octets(values)));
        Account::new(entry.dn, texts.chain(entry.bin_attrs))
    }
}

/// A directory that answers questions about accounts.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Asks once and waits for the whole answer: every account with one of the values asked for, in no order, and perhaps
    /// accounts whose value only looks alike to the directory.
    ///
    /// # Errors
    /// [`Fault`]: `SignIn` and `Rejected` where asking again would fail alike, any other where it may not.
    async fn find(&self, question: &Question) -> Result<Vec<Account>, Fault>;
}

/// An Active Directory that is asked over LDAP.
pub struct ActiveDirectory {
    connection: AdConnection,
    /// Bound and, as far as is known, alive.
    open: Mutex<Option<Ldap>>,
}

impl ActiveDirectory {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(connection: AdConnection) -> ActiveDirectory {
        ActiveDirectory { connection, open: Mutex::new(None) }
    }

    /// Connects, signs in and reads the entry where searches begin.
    ///
    /// # Errors
    /// [`Fault`] of the class `SignIn` where the connection file must be mended; any other may pass.
    pub async fn check(&self) -> Result<(), Fault> {
        let found = self.search(Scope::Base, "(objectClass=*)", vec!["objectClass".into()]).await?;
        if found.is_empty() {
            // Active Directory answers so where the account may not even see the entry.
            let message = format!("the directory has no entry `{}`", self.connection.base);
            return Err(Fault::sign_in("ldap-32", message));
        }
        Ok(())
    }

    /// The open connection, or a new one. Others who need it wait meanwhile instead of connecting, too.
    async fn connected(&self) -> Result<Ldap, Fault> {
        let mut open = self.open.lock().await;
        if let Some(ldap) = open.as_mut()
            && !ldap.is_closed()
        {
            return Ok(ldap.clone());
        }
        *open = None;
        Ok(open.insert(self.connect().await?).clone())
    }

    async fn connect(&self) -> Result<Ldap, Fault> {
        let AdConnection { password, bind, .. } = &self.connection;
        if password.expose().is_empty() {
            // A directory would take it as an anonymous sign-in, and then answer with less than there is.
            return Err(Fault::sign_in("empty-password", "the password of the directory's account is empty"));
        }
        let mut settings =
            LdapConnSettings::new().set_conn_timeout(CONNECT_S_MAX).set_starttls(self.connection.start_tls);
        if let Some(roots) = &self.connection.ca {
            settings = settings.set_config(tls(roots)?);
        }
        let failed = |error| connect_fault(&error, password);
        let opened = LdapConnAsync::with_settings(settings, self.connection.url.as_str()).await;
        let (driver, mut ldap) = opened.map_err(failed)?;
        tokio::spawn(async move {
            if let Err(error) = driver.drive().await {
                tracing::debug!("the connection to the directory ended: {error}");
            }
        });
        let bound = ldap.with_timeout(CONNECT_S_MAX).simple_bind(bind, password.expose()).await.map_err(failed)?;
        match bound.rc {
            0 => Ok(ldap),
            _ => Err(result_fault(&bound, Stage::Bind, password)),
        }
    }

    async fn search(&self, scope: Scope, filter: &str, wanted: Vec<String>) -> Result<Vec<Account>, Fault> {
        let mut ldap = self.connected().await?;
        let answer = self.pages(&mut ldap, scope, filter, wanted).await;
        if answer.is_err() {
            // A server that was restarted or does not answer is reached by a new connection only.
            *self.open.lock().await = None;
        }
        answer
    }

    async fn pages(
        &self,
        ldap: &mut Ldap,
        scope: Scope,
        filter: &str,
        wanted: Vec<String>,
    ) -> Result<Vec<Account>, Fault> {
        let password = &self.connection.password;
        // The question may have been heard.
        let lost = |error: LdapError| match connect_fault(&error, password) {
            fault if fault.class == Class::NotSent => Fault { class: Class::InDoubt, ..fault },
            fault => fault,
        };
        let adapters: Vec<Box<dyn Adapter<'_, String, Vec<String>>>> =
            vec![Box::new(EntriesOnly::new()), Box::new(PagedResults::new(PAGE_ENTRIES))];
        let base = &self.connection.base;
        let mut stream = ldap
            .with_timeout(ANSWER_S_MAX)
            .streaming_search_with(adapters, base, scope, filter, wanted)
            .await
            .map_err(lost)?;
        let mut accounts = Vec::new();
        while let Some(entry) = stream.next().await.map_err(lost)? {
            accounts.push(Account::from(SearchEntry::construct(entry)));
        }
        let result = stream.finish().await;
        match result.rc {
            0 => Ok(accounts),
            _ => Err(result_fault(&result, Stage::Search, password)),
        }
    }
}

#[async_trait]
impl Directory for ActiveDirectory {
    async fn find(&self, question: &Question) -> Result<Vec<Account>, Fault> {
        let wanted = question.wanted.iter().chain([&question.attribute]).cloned().collect();
        self.search(Scope::Subtree, &any_of(question), wanted).await
    }
}

/// The filter (RFC 4515) for every entry among those of the question that has one of its values. Values come from a file that
/// anybody may have written, so each is escaped; the filter around them is the job's.
fn any_of(question: &Question) -> String {
    let Question { among, attribute, values, .. } = question;
    let alternatives = values.iter().map(|value| format!("({attribute}={})", ldap_escape(value.as_str())));
    format!("(&{among}(|{}))", alternatives.collect::<String>())
}

fn tls(roots: &Arc<RootCertStore>) -> Result<Arc<ClientConfig>, Fault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls_fault(&error))?
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap3::{ldap_unescape, parse_filter};
    use proptest::prelude::*;

    fn question(values: &[&str]) -> Question {
        Question {
            among: "(&(objectCategory=person)(objectClass=user))".into(),
            attribute: "userPrincipalName".into(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            wanted: Vec::new(),
        }
    }

    #[test]
    fn what_a_filter_is_made_of_is_escaped_and_the_rest_is_not() {
        assert_eq!(
            any_of(&question(&["o'neil#x@contoso.com", "a*(b)\\c\0@x"])),
            "(&(&(objectCategory=person)(objectClass=user))(|(userPrincipalName=o'neil#x@contoso.com)\
             (userPrincipalName=a\\2a\\28b\\29\\5cc\\00@x)))"
        );
    }

    proptest! {
        /// Whatever stands in a cell: the filter has one alternative a value, and each is the value.
        #[test]
        fn no_value_can_change_the_filter(values in prop::collection::vec("[ -~äß\\x00*()\\\\]{1,20}", 1..5)) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let filter = any_of(&question(&values));
            prop_assert!(parse_filter(&filter).is_ok(), "{filter}");
            let inner = filter.split_once("(|").unwrap().1;
            let inner = inner.strip_suffix("))").unwrap();
            let found: Vec<String> = inner
                .split_inclusive(')')
                .map(|part| {
                    let part = part.strip_prefix("(userPrincipalName=").unwrap();
                    ldap_unescape(part.strip_suffix(')').unwrap()).unwrap().into_owned()
                })
                .collect();
            prop_assert_eq!(found, values);
        }
    }
}
