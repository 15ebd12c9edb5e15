//! The services that issue tokens: Entra's token endpoint with its grants, its device codes, and the two services for
//! managed identities. What they check is what Microsoft's pages on each flow say; what they decide by stands in `sign_in`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::assertion;
use super::call::Call;
use super::clock::SimTime;
use super::denial::Denial;
use super::device::Devices;
use super::endpoints::SignInRoute;
use super::reply::GraphReply;
use super::rules::domains::Domains;
use super::service::{SimService, locked};
use super::sign_in::{AppSecret, IDENTITY_CLIENT_ID, IDENTITY_HEADER, SignIn};
use super::token::{CLIENT_ID, TENANT_ID, TokenSubject};

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const METADATA_VERSION: &str = "2018-02-01";
const APP_VERSION: &str = "2019-08-01";

type Fields = [(String, String)];

/// Answers a request for a token, or for what leads to one.
pub(super) fn serve(service: &SimService, route: &SignInRoute, fields: &Fields, call: &Call) -> GraphReply {
    let decided = match route {
        SignInRoute::DevicePage => return page(service, fields, call),
        _ if locked(&service.sign_in).is_down => Err(Denial::Down),
        SignInRoute::Token { tenant } => token(service, tenant, fields, call),
        SignInRoute::DeviceCode { tenant } => device_code(service, tenant, fields, call),
        SignInRoute::Metadata => metadata(service, call),
        SignInRoute::App => app(service, call),
    };
    match decided {
        Ok(body) => GraphReply::value(StatusCode::OK, &body),
        Err(denial) => GraphReply::value(denial.status(), &denial.body(call.now, &call.identity)),
    }
    .with("cache-control", "no-store")
}

fn token(service: &SimService, tenant: &str, fields: &Fields, call: &Call) -> Result<Value, Denial> {
    check_tenant(tenant, &locked(&service.tenant).domains)?;
    let mut settings = locked(&service.sign_in);
    let audience = format!("{}/{tenant}/oauth2/v2.0/token", service.root);
    let grant = field(fields, "grant_type")?;
    let devices = &mut *locked(&service.devices);
    match grant {
        "client_credentials" => {
            check_app(fields, &settings)?;
            let moment = Moment { now: call.now, age_ms: call.now.ms_since(service.started_at) };
            check_proof(fields, &settings, &audience, moment)?;
            Ok(issued(service, TokenSubject::App, &settings.resource, call))
        }
        DEVICE_GRANT => {
            check_client(fields)?;
            devices.poll(field(fields, "device_code")?, settings.approval, call.now)?;
            Ok(issued_to_person(service, devices, &settings.resource, call))
        }
        "refresh_token" => {
            check_app(fields, &settings)?;
            devices.refresh(field(fields, "refresh_token")?, &mut settings)?;
            Ok(issued_to_person(service, devices, &settings.resource, call))
        }
        _ => Err(Denial::Grant),
    }
}

fn device_code(service: &SimService, tenant: &str, fields: &Fields, call: &Call) -> Result<Value, Denial> {
    check_tenant(tenant, &locked(&service.tenant).domains)?;
    let settings = locked(&service.sign_in);
    check_app(fields, &settings)?;
    let devices = &mut *locked(&service.devices);
    Ok(devices.begin(&settings, &service.root, call.now, &call.identity))
}

/// The page on which a person enters a code.
fn page(service: &SimService, fields: &Fields, call: &Call) -> GraphReply {
    let text = match field(fields, "code") {
        Ok(code) if locked(&service.devices).enter(code, call.now) => "You are signed in.",
        Ok(_) => "There is no such code, or its time is over.",
        Err(_) => "Open /devicelogin?code=… with the code that the program shows.",
    };
    GraphReply::lines(text.as_bytes().to_vec())
}

/// The metadata service of a virtual machine. All its numbers are texts.
fn metadata(service: &SimService, call: &Call) -> Result<Value, Denial> {
    if call.header("metadata") != Some("true") {
        return Err(Denial::MetadataHeader);
    }
    check_identity(service, call, METADATA_VERSION)?;
    let resource = locked(&service.sign_in).resource.clone();
    let mut body = issued(service, TokenSubject::ManagedIdentity, &resource, call);
    let seconds = body["expires_in"].as_u64().unwrap_or_default();
    body["expires_in"] = json!(seconds.to_string());
    body["expires_on"] = json!(end_s(call, seconds).to_string());
    Ok(body)
}

/// The service of App Service: tells the end of a token, not its lifetime.
fn app(service: &SimService, call: &Call) -> Result<Value, Denial> {
    if call.header("x-identity-header") != Some(IDENTITY_HEADER) {
        return Err(Denial::IdentityHeader);
    }
    check_identity(service, call, APP_VERSION)?;
    let resource = locked(&service.sign_in).resource.clone();
    let body = issued(service, TokenSubject::ManagedIdentity, &resource, call);
    let seconds = body["expires_in"].as_u64().unwrap_or_default();
    Ok(json!({
        "access_token": body["access_token"],
        "expires_on": end_s(call, seconds).to_string(),
        "token_type": "Bearer",
    }))
}

fn end_s(call: &Call, seconds: u64) -> u64 {
    call.now.ms_since(SimTime(0)) / 1_000 + seconds
}

fn issued(service: &SimService, subject: TokenSubject, resource: &str, call: &Call) -> Value {
    service.issue(subject, resource, call.now, &call.identity)
}

fn issued_to_person(service: &SimService, devices: &mut Devices, resource: &str, call: &Call) -> Value {
    let mut body = issued(service, TokenSubject::Person, resource, call);
    body["refresh_token"] = json!(devices.refresh_token(&call.identity));
    body
}

/// `tenant` is the id or any verified domain.
fn check_tenant(tenant: &str, domains: &Domains) -> Result<(), Denial> {
    let is_known = tenant.eq_ignore_ascii_case(TENANT_ID) || domains.find(tenant).is_some();
    if is_known { Ok(()) } else { Err(Denial::Tenant) }
}

fn check_client(fields: &Fields) -> Result<(), Denial> {
    let is_known = field(fields, "client_id")?.eq_ignore_ascii_case(CLIENT_ID);
    if is_known { Ok(()) } else { Err(Denial::Client) }
}

/// The app and what it asks for.
fn check_app(fields: &Fields, settings: &SignIn) -> Result<(), Denial> {
    check_client(fields)?;
    let scopes = field(fields, "scope")?.split(' ');
    let resources: Vec<&str> = scopes.filter_map(|scope| scope.strip_suffix("/.default")).collect();
    match resources.as_slice() {
        [] => Err(Denial::Scope),
        [resource] if *resource == settings.resource => Ok(()),
        [_] => Err(Denial::Resource),
        [..] => Err(Denial::Scope),
    }
}

/// When a request came, and how long after the tenant's start that was.
#[derive(Clone, Copy)]
struct Moment {
    now: SimTime,
    age_ms: u64,
}

fn check_proof(fields: &Fields, settings: &SignIn, audience: &str, moment: Moment) -> Result<(), Denial> {
    if let Ok(secret) = field(fields, "client_secret") {
        return check_secret(secret, &settings.secrets, moment.age_ms);
    }
    let Ok(assertion) = field(fields, "client_assertion") else {
        return Err(Denial::NoProof);
    };
    if field(fields, "client_assertion_type")? != ASSERTION_TYPE {
        return Err(Denial::NoProof);
    }
    assertion::check(assertion, &settings.certificates, CLIENT_ID, audience, moment.now)
}

fn check_secret(secret: &str, secrets: &[AppSecret], age_ms: u64) -> Result<(), Denial> {
    let registered = secrets.iter().find(|known| known.value == secret);
    match registered.map(|known| known.life_ms) {
        None => Err(Denial::Secret),
        Some(None) => Ok(()),
        Some(Some(life_ms)) if age_ms < life_ms => Ok(()),
        Some(Some(_)) => Err(Denial::SecretExpired),
    }
}

fn check_identity(service: &SimService, call: &Call, version: &str) -> Result<(), Denial> {
    if field(&call.pairs, "api-version") != Ok(version) {
        return Err(Denial::Parameter("api-version"));
    }
    if field(&call.pairs, "resource")? != locked(&service.sign_in).resource {
        return Err(Denial::Resource);
    }
    match field(&call.pairs, "client_id") {
        Err(_) | Ok(IDENTITY_CLIENT_ID) => Ok(()),
        Ok(_) => Err(Denial::Identity),
    }
}

fn field<'a>(fields: &'a Fields, name: &'static str) -> Result<&'a str, Denial> {
    let found = fields.iter().find(|(key, value)| key == name && !value.is_empty());
    found.map(|(_, value)| value.as_str()).ok_or(Denial::Parameter(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCE: &str = "https://graph.microsoft.com/.default";

    fn form(changed: &str, value: &str) -> Vec<(String, String)> {
        let good = [("client_id", CLIENT_ID), ("scope", RESOURCE)];
        let fields = good.iter().map(|(key, old)| (*key, if *key == changed { value } else { old }));
        fields.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn app_of(changed: &str, value: &str) -> Result<(), Denial> {
        check_app(&form(changed, value), &SignIn::default())
    }

    #[test]
    fn tenant_app_and_resource_are_checked() {
        let domains = Domains::new();
        assert_eq!(check_tenant(TENANT_ID, &domains), Ok(()));
        assert_eq!(check_tenant("contoso.onmicrosoft.com", &domains), Ok(()));
        assert_eq!(check_tenant("elsewhere.example", &domains), Err(Denial::Tenant));
        assert_eq!(app_of("", ""), Ok(()));
        assert_eq!(app_of("client_id", TENANT_ID), Err(Denial::Client));
        assert_eq!(app_of("scope", "User.Read"), Err(Denial::Scope));
        assert_eq!(app_of("scope", &format!("{RESOURCE} offline_access")), Ok(()));
        assert_eq!(app_of("scope", ""), Err(Denial::Parameter("scope")));
        let other_cloud = "https://graph.microsoft.us/.default";
        assert_eq!(app_of("scope", other_cloud), Err(Denial::Resource));
        assert_eq!(app_of("scope", &format!("{RESOURCE} {other_cloud}")), Err(Denial::Scope));
    }

    #[test]
    fn an_app_has_several_secrets_and_each_ends_by_itself() {
        let secret = |value: &str, life_ms| AppSecret { value: value.to_owned(), life_ms };
        let secrets = [secret("old", Some(1_000)), secret("new", None)];
        let check = |value, age_ms| check_secret(value, &secrets, age_ms);
        assert_eq!(check("old", 999), Ok(()));
        assert_eq!(check("old", 1_000), Err(Denial::SecretExpired));
        assert_eq!(check("new", u64::MAX), Ok(()));
        assert_eq!(check("wrong", 0), Err(Denial::Secret));
    }
}
