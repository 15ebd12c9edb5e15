//! The services that issue tokens: Entra's token endpoint with its grants, its device codes, and the two services for
//! managed identities. What they check is what Microsoft's pages on each flow say; what they decide by stands in `sign_in`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::endpoints::SignInRoute;
use super::service::{Access, SimService};
use super::{
    AppSecret, CLIENT_ID, Call, Denial, GraphReply, IDENTITY_CLIENT_ID, IDENTITY_HEADER, SignIn, TENANT_ID,
    TokenSubject, assertion,
};

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const METADATA_VERSION: &str = "2018-02-01";
const APP_VERSION: &str = "2019-08-01";

type Fields = [(String, String)];

/// One request for a token, or for what leads to one.
struct SignInRequest<'a> {
    service: &'a SimService,
    access: &'a mut Access,
    fields: &'a Fields,
    call: &'a Call,
}

/// Answers a request for a token, or for what leads to one.
pub(super) fn serve(service: &SimService, route: &SignInRoute, fields: &Fields, call: &Call) -> GraphReply {
    let access = &mut *service.access.lock();
    let is_down = access.sign_in.is_down;
    let mut request = SignInRequest { service, access, fields, call };
    let decided = match route {
        SignInRoute::DevicePage => return request.page(),
        _ if is_down => Err(Denial::DOWN),
        SignInRoute::Token { tenant } => request.token(tenant),
        SignInRoute::DeviceCode { tenant } => request.device_code(tenant),
        SignInRoute::Metadata => request.metadata(),
        SignInRoute::App => request.app(),
    };
    match decided {
        Ok(body) => GraphReply::value(StatusCode::OK, &body),
        Err(denial) => GraphReply::value(denial.status(), &denial.body(call.now, &call.identity)),
    }
    .with("cache-control", "no-store")
}

impl SignInRequest<'_> {
    fn token(&mut self, tenant: &str) -> Result<Value, Denial> {
        self.check_tenant(tenant)?;
        match field(self.fields, "grant_type")? {
            "client_credentials" => {
                check_app(self.fields, &self.access.sign_in)?;
                self.check_proof(tenant)?;
                Ok(self.issued(TokenSubject::App))
            }
            DEVICE_GRANT => {
                check_client(self.fields)?;
                let approval = self.access.sign_in.approval;
                self.access.devices.poll(field(self.fields, "device_code")?, approval, self.call.now)?;
                Ok(self.issued_to_person())
            }
            "refresh_token" => {
                check_app(self.fields, &self.access.sign_in)?;
                let token = field(self.fields, "refresh_token")?;
                self.access.devices.refresh(token, &mut self.access.sign_in)?;
                Ok(self.issued_to_person())
            }
            _ => Err(Denial::GRANT),
        }
    }

    fn device_code(&mut self, tenant: &str) -> Result<Value, Denial> {
        self.check_tenant(tenant)?;
        let Access { sign_in, devices, .. } = &mut *self.access;
        check_app(self.fields, sign_in)?;
        Ok(devices.begin(sign_in, &self.service.root, self.call.now, &self.call.identity))
    }

    /// The page on which a person enters a code.
    fn page(&mut self) -> GraphReply {
        let text = match field(self.fields, "code") {
            Ok(code) if self.access.devices.enter(code, self.call.now) => "You are signed in.",
            Ok(_) => "There is no such code, or its time is over.",
            Err(_) => "Open /devicelogin?code=… with the code that the program shows.",
        };
        GraphReply::lines(text.as_bytes().to_vec())
    }

    /// The metadata service of a virtual machine. All its numbers are texts.
    fn metadata(&mut self) -> Result<Value, Denial> {
        if self.call.header("metadata") != Some("true") {
            return Err(Denial::METADATA_HEADER);
        }
        self.check_identity(METADATA_VERSION)?;
        let mut body = self.issued(TokenSubject::ManagedIdentity);
        body["expires_on"] = self.end_s(&body);
        body["expires_in"] = json!(body["expires_in"].to_string());
        Ok(body)
    }

    /// The service of App Service: tells the end of a token, not its lifetime.
    fn app(&mut self) -> Result<Value, Denial> {
        if self.call.header("x-identity-header") != Some(IDENTITY_HEADER) {
            return Err(Denial::IDENTITY_HEADER);
        }
        self.check_identity(APP_VERSION)?;
        let body = self.issued(TokenSubject::ManagedIdentity);
        let expires_on = self.end_s(&body);
        Ok(json!({"access_token": body["access_token"], "expires_on": expires_on, "token_type": "Bearer"}))
    }

    /// When a token that was just given out ends, as a text.
    fn end_s(&self, body: &Value) -> Value {
        let life_s = body["expires_in"].as_u64().unwrap_or_default();
        json!((self.call.now.seconds() + life_s).to_string())
    }

    fn issued(&mut self, subject: TokenSubject) -> Value {
        self.service.issue(self.access, subject, self.call.now, &self.call.identity)
    }

    fn issued_to_person(&mut self) -> Value {
        let mut body = self.issued(TokenSubject::Person);
        body["refresh_token"] = json!(self.access.devices.refresh_token(&self.call.identity));
        body
    }

    /// `tenant` is the id or any verified domain.
    fn check_tenant(&self, tenant: &str) -> Result<(), Denial> {
        let is_known =
            tenant.eq_ignore_ascii_case(TENANT_ID) || self.service.tenant.lock().domains.find(tenant).is_some();
        if is_known { Ok(()) } else { Err(Denial::TENANT) }
    }

    fn check_proof(&self, tenant: &str) -> Result<(), Denial> {
        let (settings, now) = (&self.access.sign_in, self.call.now);
        if let Ok(secret) = field(self.fields, "client_secret") {
            return check_secret(secret, &settings.secrets, now.ms_since(self.service.started_at));
        }
        let assertion = field(self.fields, "client_assertion").map_err(|_| Denial::NO_PROOF)?;
        if field(self.fields, "client_assertion_type")? != ASSERTION_TYPE {
            return Err(Denial::NO_PROOF);
        }
        let audience = format!("{}/{tenant}/oauth2/v2.0/token", self.service.root);
        assertion::check(assertion, &settings.certificates, CLIENT_ID, &audience, now)
    }

    fn check_identity(&self, version: &str) -> Result<(), Denial> {
        let pairs = &self.call.pairs;
        if field(pairs, "api-version") != Ok(version) {
            return Err(Denial::parameter("api-version"));
        }
        if field(pairs, "resource")? != self.access.sign_in.resource {
            return Err(Denial::RESOURCE);
        }
        match field(pairs, "client_id") {
            Err(_) | Ok(IDENTITY_CLIENT_ID) => Ok(()),
            Ok(_) => Err(Denial::IDENTITY),
        }
    }
}

fn check_client(fields: &Fields) -> Result<(), Denial> {
    let is_known = field(fields, "client_id")?.eq_ignore_ascii_case(CLIENT_ID);
    if is_known { Ok(()) } else { Err(Denial::CLIENT) }
}

/// The app and what it asks for.
fn check_app(fields: &Fields, settings: &SignIn) -> Result<(), Denial> {
    check_client(fields)?;
    let scopes = field(fields, "scope")?.split(' ');
    let resources: Vec<&str> = scopes.filter_map(|scope| scope.strip_suffix("/.default")).collect();
    match resources.as_slice() {
        [resource] if *resource == settings.resource => Ok(()),
        [_] => Err(Denial::RESOURCE),
        _ => Err(Denial::SCOPE),
    }
}

fn check_secret(secret: &str, secrets: &[AppSecret], age_ms: u64) -> Result<(), Denial> {
    let registered = secrets.iter().find(|known| known.value == secret);
    match registered.map(|known| known.life_ms) {
        None => Err(Denial::SECRET),
        Some(None) => Ok(()),
        Some(Some(life_ms)) if age_ms < life_ms => Ok(()),
        Some(Some(_)) => Err(Denial::SECRET_EXPIRED),
    }
}

fn field<'a>(fields: &'a Fields, name: &'static str) -> Result<&'a str, Denial> {
    let found = fields.iter().find(|(key, value)| key == name && !value.is_empty());
    found.map(|(_, value)| value.as_str()).ok_or(Denial::parameter(name))
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
    fn app_and_resource_are_checked() {
        assert_eq!(app_of("", ""), Ok(()));
        assert_eq!(app_of("client_id", TENANT_ID), Err(Denial::CLIENT));
        assert_eq!(app_of("scope", "User.Read"), Err(Denial::SCOPE));
        assert_eq!(app_of("scope", &format!("{RESOURCE} offline_access")), Ok(()));
        assert_eq!(app_of("scope", ""), Err(Denial::parameter("scope")));
        let other_cloud = "https://graph.microsoft.us/.default";
        assert_eq!(app_of("scope", other_cloud), Err(Denial::RESOURCE));
        assert_eq!(app_of("scope", &format!("{RESOURCE} {other_cloud}")), Err(Denial::SCOPE));
    }

    #[test]
    fn an_app_has_several_secrets_and_each_ends_by_itself() {
        let secret = |value: &str, life_ms| AppSecret { value: value.to_owned(), life_ms };
        let secrets = [secret("old", Some(1_000)), secret("new", None)];
        let check = |value, age_ms| check_secret(value, &secrets, age_ms);
        assert_eq!(check("old", 999), Ok(()));
        assert_eq!(check("old", 1_000), Err(Denial::SECRET_EXPIRED));
        assert_eq!(check("new", u64::MAX), Ok(()));
        assert_eq!(check("wrong", 0), Err(Denial::SECRET));
    }
}
