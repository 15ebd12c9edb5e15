//! What each address does: reads and writes of the tenant, turned into Graph's replies. Admission, tokens and
//! faults are over when a request comes here.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::change::{Change, RestoreOptions};
use super::domains::{Authentication, INITIAL_DOMAIN};
use super::errors::Refusal;
use super::query::{Advanced, Options};
use super::read::{Collection, Reader};
use super::reply::Reply;
use super::route::Place;
use super::shape;
use super::tenant::Tenant;
use super::token::TENANT_ID;
use super::user::{User, UserId, UserKey};
use super::world::Planned;

/// Carries a request out on the tenant; `root` is the server's own address.
pub(super) fn carry_out(tenant: &mut Tenant, call: &Call, root: &str) -> Result<Reply, Refusal> {
    let operation = Operation { tenant, call, root };
    match (call.place.clone()?, call.method.as_str()) {
        (Place::Users, "GET") => operation.list(Collection::Live),
        (Place::Users, "POST") => operation.create(),
        (Place::User(key), "GET") => operation.get_live(&key),
        (Place::User(key), "PATCH") => operation.patch(&key),
        (Place::User(key), "DELETE") => operation.delete(&key),
        (Place::DeletedUsers, "GET") => operation.list(Collection::Deleted),
        (Place::Deleted(id), "GET") => operation.get_deleted(id),
        (Place::Deleted(id), "DELETE") => operation.purge(id),
        (Place::Restore(id), "POST") => operation.restore(id),
        (Place::Domains, "GET") => operation.domains(),
        (Place::Domain(name), "GET") => operation.domain(&name),
        (Place::Organization, "GET") => operation.organization(),
        (
            Place::Users
            | Place::User(_)
            | Place::DeletedUsers
            | Place::Deleted(_)
            | Place::Restore(_)
            | Place::Domains
            | Place::Domain(_)
            | Place::Organization
            | Place::SignIn(_)
            | Place::SimStats
            | Place::SimUsers
            | Place::SimWrites
            | Place::SimTokens,
            _,
        ) => Err(Refusal::Method),
    }
}

struct Operation<'a> {
    tenant: &'a mut Tenant,
    call: &'a Call,
    root: &'a str,
}

impl Operation<'_> {
    fn reader(&self) -> Reader<'_> {
        Reader {
            world: &self.tenant.world,
            now: self.call.now,
            identity: &self.call.identity,
        }
    }

    fn get_live(self, key: &UserKey) -> Result<Reply, Refusal> {
        let options = self.call.options()?;
        let user = self
            .reader()
            .live(key)
            .ok_or_else(|| Refusal::NotFound(key.to_string()))?;
        Ok(self.entity(StatusCode::OK, user, "users", &options))
    }

    fn get_deleted(self, id: UserId) -> Result<Reply, Refusal> {
        let options = self.call.options()?;
        let user = self
            .reader()
            .deleted(id)
            .ok_or_else(|| Refusal::NotFound(id.to_string()))?;
        Ok(self.entity(StatusCode::OK, user, "directoryObjects", &options))
    }

    fn list(self, collection: Collection) -> Result<Reply, Refusal> {
        let options = self.call.options()?;
        let reader = self.reader();
        let page = reader.page(collection, &options);
        let set = match collection {
            Collection::Live => "users",
            Collection::Deleted => "directoryObjects/microsoft.graph.user",
        };
        let mut out = self.context(set, &options, "");
        if options.advanced == Advanced::Yes && options.from == 0 {
            let count = reader.count(collection, options.filter.as_ref());
            out.extend_from_slice(format!(",\"@odata.count\":{count}").as_bytes());
        }
        if let Some(next) = page.next {
            out.extend_from_slice(b",\"@odata.nextLink\":");
            shape::write_text(&mut out, &self.next_link(next));
        }
        out.extend_from_slice(b",\"value\":[");
        for (index, user) in page.users.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
            shape::write_properties(&mut out, user, &options.select);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        Ok(Reply::json(StatusCode::OK, out))
    }

    fn create(mut self) -> Result<Reply, Refusal> {
        // Read first, as everything that can refuse a request must come before its write.
        let options = self.call.options()?;
        let change = Change::parse(self.call.json_body()?)?;
        let planned = self
            .tenant
            .world
            .plan_create(&change, self.tenant.ledger.next_seq())?;
        let id = self.write(planned)?;
        self.written_entity(StatusCode::CREATED, id, "users", &options)
    }

    fn patch(mut self, key: &UserKey) -> Result<Reply, Refusal> {
        let change = Change::parse(self.call.json_body()?)?;
        let planned = self.tenant.world.plan_patch(key, &change)?;
        self.write(planned).map(|_| Reply::no_content())
    }

    fn delete(mut self, key: &UserKey) -> Result<Reply, Refusal> {
        let planned = self.tenant.world.plan_delete(key, self.call.now)?;
        self.write(planned).map(|_| Reply::no_content())
    }

    fn purge(mut self, id: UserId) -> Result<Reply, Refusal> {
        let planned = self.tenant.world.plan_purge(id)?;
        self.write(planned).map(|_| Reply::no_content())
    }

    fn restore(mut self, id: UserId) -> Result<Reply, Refusal> {
        let options = self.call.options()?;
        let wishes = RestoreOptions::parse(self.call.json_body()?)?;
        let planned = self.tenant.world.plan_restore(id, &wishes)?;
        let id = self.write(planned)?;
        self.written_entity(StatusCode::OK, id, "directoryObjects", &options)
    }

    fn write(&mut self, planned: Planned) -> Result<UserId, Refusal> {
        self.tenant.write(
            planned,
            self.call.now,
            &self.call.identity,
            self.call.client_request_id(),
        )
    }

    /// The reply to a write shows the write, whatever the replicas say.
    fn written_entity(
        &self,
        status: StatusCode,
        id: UserId,
        set: &str,
        options: &Options,
    ) -> Result<Reply, Refusal> {
        let user = self
            .tenant
            .world
            .directory
            .by_id(id)
            .ok_or_else(|| Refusal::NotFound(id.to_string()))?;
        Ok(self.entity(status, user, set, options))
    }

    fn entity(&self, status: StatusCode, user: &User, set: &str, options: &Options) -> Reply {
        let mut out = self.context(set, options, "/$entity");
        if set != "users" {
            out.extend_from_slice(b",\"@odata.type\":\"#microsoft.graph.user\"");
        }
        out.push(b',');
        shape::write_properties(&mut out, user, &options.select);
        out.push(b'}');
        Reply::json(status, out)
    }

    /// The beginning of a body: an open brace and the address of its description.
    fn context(&self, set: &str, options: &Options, suffix: &str) -> Vec<u8> {
        let selected = options
            .select_text
            .as_ref()
            .map_or_else(String::new, |text| format!("({text})"));
        let mut out = Vec::with_capacity(1_024);
        out.extend_from_slice(b"{\"@odata.context\":");
        shape::write_text(
            &mut out,
            &format!("{}/v1.0/$metadata#{set}{selected}{suffix}", self.root),
        );
        out
    }

    /// The address of the next page: this one's with another paging token.
    fn next_link(&self, next: u32) -> String {
        let is_token =
            |part: &&str| part.starts_with("$skiptoken=") || part.starts_with("%24skiptoken=");
        let kept = self
            .call
            .raw_query
            .split('&')
            .filter(|part| !part.is_empty() && !is_token(part));
        let query: String = kept.flat_map(|part| [part, "&"]).collect();
        format!("{}{}?{query}$skiptoken={next}", self.root, self.call.path)
    }

    fn domains(self) -> Result<Reply, Refusal> {
        let domains = self.tenant.world.domains.iter();
        let values: Vec<_> = domains
            .map(|(name, kind)| self.selected(domain_value(name, kind)))
            .collect::<Result<_, _>>()?;
        Ok(self.plain_list("domains", values))
    }

    fn domain(self, name: &str) -> Result<Reply, Refusal> {
        let kind = self
            .tenant
            .world
            .domains
            .find(name)
            .ok_or_else(|| Refusal::NotFound(name.to_owned()))?;
        let mut body = self.selected(domain_value(&name.to_ascii_lowercase(), kind))?;
        body.insert(
            "@odata.context".to_owned(),
            json!(format!("{}/v1.0/$metadata#domains/$entity", self.root)),
        );
        Ok(Reply::value(StatusCode::OK, &Value::Object(body)))
    }

    fn organization(self) -> Result<Reply, Refusal> {
        let verified: Vec<_> = self
            .tenant
            .world
            .domains
            .iter()
            .map(|(name, kind)| verified_domain(name, kind))
            .collect();
        let organization = json!({
            "id": TENANT_ID,
            "displayName": "Contoso (simulated)",
            "tenantType": "AAD",
            "onPremisesSyncEnabled": true,
            "verifiedDomains": verified,
        });
        let value = self.selected(organization)?;
        Ok(self.plain_list("organization", vec![value]))
    }

    fn plain_list(&self, set: &str, values: Vec<Map<String, Value>>) -> Reply {
        let context = format!("{}/v1.0/$metadata#{set}", self.root);
        Reply::value(
            StatusCode::OK,
            &json!({"@odata.context": context, "value": values}),
        )
    }

    /// Objects other than users know only `$select`.
    fn selected(&self, value: Value) -> Result<Map<String, Value>, Refusal> {
        let Value::Object(object) = value else {
            return Ok(Map::new());
        };
        let options = self
            .call
            .pairs
            .iter()
            .filter(|(name, _)| name.starts_with('$'));
        let mut chosen = None;
        for (name, value) in options {
            if name != "$select" {
                return Err(Refusal::UnsupportedQuery(format!(
                    "The simulated tenant does not support {name} here."
                )));
            }
            chosen = Some(value);
        }
        let Some(names) = chosen else {
            return Ok(object);
        };
        let pick = |name: &str| match object.get(name) {
            Some(value) => Ok((name.to_owned(), value.clone())),
            None => Err(Refusal::UnknownProperty(name.to_owned())),
        };
        names.split(',').map(str::trim).map(pick).collect()
    }
}

fn domain_value(name: &str, kind: Authentication) -> Value {
    json!({
        "id": name,
        "authenticationType": kind.name(),
        "availabilityStatus": null,
        "isAdminManaged": true,
        "isDefault": name == INITIAL_DOMAIN,
        "isInitial": name == INITIAL_DOMAIN,
        "isRoot": true,
        "isVerified": true,
        "passwordNotificationWindowInDays": 14,
        "passwordValidityPeriodInDays": 90,
        "supportedServices": ["Email", "OfficeCommunicationsOnline"],
        "state": null,
    })
}

fn verified_domain(name: &str, kind: Authentication) -> Value {
    json!({
        "name": name,
        "type": kind.name(),
        "capabilities": "Email, OfficeCommunicationsOnline",
        "isDefault": name == INITIAL_DOMAIN,
        "isInitial": name == INITIAL_DOMAIN,
    })
}
