//! What each address does: reads and writes of the tenant, turned into Graph's replies. Admission, tokens and
//! faults are over when a request comes here.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::call::Call;
use super::change::{Change, RestoreOptions};
use super::domains::{Authentication, INITIAL_DOMAIN};
use super::envelope::{Envelope, Head};
use super::errors::Refusal;
use super::permission;
use super::query::{self, Advanced, Options};
use super::read::{Collection, Reader};
use super::reply::Reply;
use super::risk::{self, RiskAction};
use super::roles::{self, RoleList};
use super::route::{Place, no_such_path};
use super::shape;
use super::tenant::Tenant;
use super::token::{Rights, TENANT_ID};
use super::user::{User, UserId, UserKey};
use super::world::{Actor, Planned};

/// Carries a request out on the tenant; `root` is the server's own address, `rights` what the request's token allows.
pub(super) fn carry_out(
    tenant: &mut Tenant,
    call: &Call,
    root: &str,
    rights: &Rights,
) -> Result<Reply, Refusal> {
    permission::check(&rights.permissions, call)?;
    let operation = Operation {
        tenant,
        call,
        root,
        rights,
    };
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
        (Place::RoleAssignments, "GET") => operation.roles(RoleList::Assignments),
        (Place::RoleEligibilities, "GET") => operation.roles(RoleList::Eligibilities),
        (Place::GroupMembers { group, cast }, "GET") => operation.members(group, cast),
        (Place::RiskyUsers, "GET") => operation.risky_users(),
        (Place::RiskyUser(id), "GET") => operation.risky_user(id),
        // A batch within a batch.
        (Place::Batch, _) => Err(no_such_path(&call.path)),
        (Place::RiskAction(action), "POST") => operation.act_on_risk(action),
        (
            Place::Users
            | Place::User(_)
            | Place::DeletedUsers
            | Place::Deleted(_)
            | Place::Restore(_)
            | Place::Domains
            | Place::Domain(_)
            | Place::Organization
            | Place::RoleAssignments
            | Place::RoleEligibilities
            | Place::GroupMembers { .. }
            | Place::RiskyUsers
            | Place::RiskyUser(_)
            | Place::RiskAction(_)
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
    rights: &'a Rights,
}

impl Operation<'_> {
    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            call: self.call,
            root: self.root,
        }
    }

    fn actor(&self) -> Actor {
        Actor {
            role: self.rights.role,
            at: self.call.now,
        }
    }

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
        let wants_count = options.advanced == Advanced::Yes && options.from == 0;
        let head = Head {
            set: query::described(set, &options),
            count: wants_count.then(|| reader.count(collection, options.filter.as_ref())),
            next: page.next,
        };
        Ok(self.envelope().page(&head, page.users, |out, user| {
            out.push(b'{');
            shape::write_properties(out, user, &options.select);
            out.push(b'}');
        }))
    }

    fn create(mut self) -> Result<Reply, Refusal> {
        // Read first, as everything that can refuse a request must come before its write.
        let options = self.call.options()?;
        let change = Change::parse(self.call.json_body()?, self.call.version())?;
        let planned =
            self.tenant
                .world
                .plan_create(self.actor(), &change, self.tenant.ledger.next_seq())?;
        let id = self.write(planned)?;
        self.written_entity(StatusCode::CREATED, id, "users", &options)
    }

    fn patch(mut self, key: &UserKey) -> Result<Reply, Refusal> {
        let change = Change::parse(self.call.json_body()?, self.call.version())?;
        if change.clears_identifier() {
            permission::check_identifier(&self.rights.permissions)?;
        }
        let planned = self.tenant.world.plan_patch(self.actor(), key, &change)?;
        self.write(planned).map(|_| Reply::no_content())
    }

    fn delete(mut self, key: &UserKey) -> Result<Reply, Refusal> {
        let planned = self.tenant.world.plan_delete(self.actor(), key)?;
        self.write(planned).map(|_| Reply::no_content())
    }

    fn purge(mut self, id: UserId) -> Result<Reply, Refusal> {
        let planned = self.tenant.world.plan_purge(self.actor(), id)?;
        self.write(planned).map(|_| Reply::no_content())
    }

    fn restore(mut self, id: UserId) -> Result<Reply, Refusal> {
        let options = self.call.options()?;
        let wishes = RestoreOptions::parse(self.call.json_body()?)?;
        let planned = self.tenant.world.plan_restore(self.actor(), id, &wishes)?;
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
        let described = query::described(set, options);
        let mut out = self.envelope().open(&format!("{described}/$entity"));
        if set != "users" {
            out.extend_from_slice(b",\"@odata.type\":\"#microsoft.graph.user\"");
        }
        out.push(b',');
        shape::write_properties(&mut out, user, &options.select);
        out.push(b'}');
        Reply::json(status, out)
    }

    fn roles(self, list: RoleList) -> Result<Reply, Refusal> {
        roles::list(&self.tenant.world, list, self.envelope())
    }

    fn members(self, group: Uuid, cast: bool) -> Result<Reply, Refusal> {
        roles::members(&self.tenant.world, group, cast, self.envelope())
    }

    fn risky_users(self) -> Result<Reply, Refusal> {
        let directory = &self.tenant.world.directory;
        risk::list(&self.tenant.risks, directory, self.envelope())
    }

    fn risky_user(self, id: UserId) -> Result<Reply, Refusal> {
        let directory = &self.tenant.world.directory;
        risk::get(&self.tenant.risks, directory, id, self.envelope())
    }

    fn act_on_risk(self, action: RiskAction) -> Result<Reply, Refusal> {
        let body = self.call.json_body()?;
        let directory = &self.tenant.world.directory;
        let now = self.call.now;
        let planned = self.tenant.risks.plan(directory, action, body, now)?;
        self.tenant.write_risks(planned)?;
        Ok(Reply::no_content())
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
            json!(self.envelope().context("domains/$entity")),
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
        let context = self.envelope().context(set);
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
