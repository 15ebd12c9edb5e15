//! The query options of the lists of directory roles: `$select`, `$expand=principal`, `$top`, the paging token, and the
//! filters that Microsoft's pages show. Everything else is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::errors::Refusal;
use super::query;
use super::roles::{Grant, RoleList};
use super::route::Version;

const ASSIGNMENT_PROPERTIES: &[&str] = &[
    "id",
    "principalId",
    "directoryScopeId",
    "appScopeId",
    "roleDefinitionId",
];
const ELIGIBILITY_PROPERTIES: &[&str] = &[
    "id",
    "principalId",
    "roleDefinitionId",
    "directoryScopeId",
    "appScopeId",
    "startDateTime",
    "endDateTime",
    "memberType",
    "roleEligibilityScheduleId",
];

/// What is shown of the holders of roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expand {
    /// The names of properties; of all kinds of holders, since each kind has its own.
    pub(super) select: Option<Vec<String>>,
    pub(super) version: Version,
}

/// A condition on the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RoleFilter {
    /// Of this holder.
    Principal(Uuid),
    /// Of this role.
    Role(Uuid),
}

impl RoleFilter {
    pub(super) fn matches(&self, grant: &Grant<'_>) -> bool {
        match self {
            Self::Principal(id) => grant.principal_id == *id,
            Self::Role(id) => Uuid::try_parse(grant.role) == Ok(*id),
        }
    }
}

/// The options of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoleOptions {
    pub(super) select: Option<Vec<String>>,
    pub(super) expand: Option<Expand>,
    pub(super) filter: Option<RoleFilter>,
    pub(super) page_size: usize,
    /// How many entries stand on earlier pages.
    pub(super) from: u32,
}

impl RoleOptions {
    pub(super) fn parse(
        pairs: &[(String, String)],
        list: RoleList,
        version: Version,
    ) -> Result<Self, Refusal> {
        let mut options = Self {
            select: None,
            expand: None,
            filter: None,
            page_size: query::PAGE_DEFAULT,
            from: 0,
        };
        for (name, value) in pairs {
            match name.as_str() {
                "$select" => options.select = Some(select(value, list)?),
                "$expand" => options.expand = Some(expand(value, version)?),
                "$filter" => options.filter = Some(filter(value)?),
                "$top" => options.page_size = query::top(value)?,
                "$skiptoken" => options.from = value.parse().map_err(|_| Refusal::PageToken)?,
                _ if name.starts_with('$') => {
                    return Err(Refusal::UnsupportedQuery(format!(
                        "The simulated tenant does not support {name}={value} here."
                    )));
                }
                _ => {}
            }
        }
        Ok(options)
    }

    /// What is selected and expanded, in the form of a description's address.
    pub(super) fn described(&self) -> String {
        let selected = self.select.iter().flatten().cloned();
        let expanded = self.expand.as_ref().map(|expand| {
            let names = expand.select.as_ref().map(|names| names.join(","));
            format!("principal({})", names.unwrap_or_default())
        });
        let parts: Vec<String> = selected.chain(expanded).collect();
        if parts.is_empty() {
            String::new()
        } else {
            format!("({})", parts.join(","))
        }
    }
}

/// The id of an entry, as Entra makes it: the octets of both ids, and how often and in which list it stands.
pub(super) fn grant_id(role: Uuid, principal: Uuid, suffix: &str) -> String {
    let octets = [role.to_bytes_le(), principal.to_bytes_le()].concat();
    format!("{}-1{suffix}", URL_SAFE_NO_PAD.encode(octets))
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_owned()).collect()
}

fn select(value: &str, list: RoleList) -> Result<Vec<String>, Refusal> {
    let known = match list {
        RoleList::Assignments => ASSIGNMENT_PROPERTIES,
        RoleList::Eligibilities => ELIGIBILITY_PROPERTIES,
    };
    let selected = names(value);
    match selected.iter().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(Refusal::UnknownProperty(unknown.clone())),
        None => Ok(selected),
    }
}

/// `principal` or `principal($select=a,b)`, and nothing beside it: role assignments take one expansion only.
fn expand(value: &str, version: Version) -> Result<Expand, Refusal> {
    let unsupported = || {
        Refusal::UnsupportedQuery(format!(
            "The simulated tenant expands 'principal' and nothing else here, not '{value}'."
        ))
    };
    let rest = value
        .trim()
        .strip_prefix("principal")
        .ok_or_else(unsupported)?;
    if rest.is_empty() {
        return Ok(Expand {
            select: None,
            version,
        });
    }
    let inner = rest
        .strip_prefix("($select=")
        .and_then(|inner| inner.strip_suffix(')'));
    match inner {
        Some(inner) if !inner.contains(['(', ')', ';', '$']) => Ok(Expand {
            select: Some(names(inner)),
            version,
        }),
        Some(_) | None => Err(unsupported()),
    }
}

fn filter(value: &str) -> Result<RoleFilter, Refusal> {
    let unsupported = |reason: &str| {
        Refusal::UnsupportedQuery(format!(
            "Unsupported or invalid query filter clause: {reason}."
        ))
    };
    let (property, rest) = value
        .trim()
        .split_once(" eq ")
        .ok_or_else(|| unsupported("a single 'eq' is expected"))?;
    let id = rest
        .trim()
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
        .and_then(|id| Uuid::try_parse(id).ok())
        .ok_or_else(|| unsupported("an id in single quotes is expected"))?;
    match property.trim() {
        "principalId" => Ok(RoleFilter::Principal(id)),
        "roleDefinitionId" => Ok(RoleFilter::Role(id)),
        _ => Err(unsupported("the property cannot be filtered by")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, value: &str) -> Result<RoleOptions, Refusal> {
        let pairs = [(name.to_owned(), value.to_owned())];
        RoleOptions::parse(&pairs, RoleList::Assignments, Version::V1)
    }

    #[test]
    fn the_id_is_made_as_in_microsofts_example() {
        let id = |text| Uuid::try_parse(text).unwrap();
        let role = id("62e90394-69f5-4237-9190-012177145e10");
        let principal = id("ace08ec9-aa11-4ada-9145-addf0398233e");
        assert_eq!(
            grant_id(role, principal, ""),
            "lAPpYvVpN0KRkAEhdxReEMmO4KwRqtpKkUWt3wOYIz4-1"
        );
    }

    #[test]
    fn the_holder_is_expanded_and_selected_from() {
        let options = parse("$expand", "principal($select=id, displayName)").unwrap();
        assert_eq!(options.described(), "(principal(id,displayName))");
        assert_eq!(
            parse("$expand", "principal").unwrap().described(),
            "(principal())"
        );
        for bad in [
            "roleDefinition",
            "principal,roleDefinition",
            "principal($expand=x)",
            "principal($select=id;$expand=x)",
            "principal($select=id),roleDefinition($select=id)",
        ] {
            assert!(parse("$expand", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_are_by_holder_or_role() {
        let id = "62e90394-69f5-4237-9190-012177145e10";
        let filter = |text: &str| parse("$filter", text).map(|options| options.filter);
        let uuid = Uuid::try_parse(id).unwrap();
        assert_eq!(
            filter(&format!("roleDefinitionId eq '{id}'")),
            Ok(Some(RoleFilter::Role(uuid)))
        );
        assert_eq!(
            filter(&format!("principalId eq '{id}'")),
            Ok(Some(RoleFilter::Principal(uuid)))
        );
        assert!(filter("principalId eq 'x'").is_err());
        assert!(filter(&format!("principalId ne '{id}'")).is_err());
        assert!(parse("$select", "id,nothing").is_err());
    }
}
