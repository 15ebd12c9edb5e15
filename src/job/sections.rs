//! The sections of a job file, in their order; the steps have a file of their own.
//!
//! A mistake never ends the walk: a placeholder takes the place of what could not be read.

use super::fragments::{JobReader, headers};
use super::names::Visible;
use super::{
    Claims, DirectoryPlan, ExtraRead, Job, Kept, KeptForm, Limits, LookAt, Lookup, Objection, Observe, Param,
    PassedOver, Permission,
};
use crate::batch::{Column, Digest, Layout};
use crate::core::config::{At, Table};
use crate::values::{CellKind, KINDS};
use std::sync::Arc;
use std::time::Duration;

/// The format of job files this program reads.
const FORMAT: u32 = 1;

impl JobReader {
    pub(super) fn job(&mut self, root: &Table<'_>, source: &str) -> Job {
        format(root);
        let layout = layout(root);
        Job {
            source: Arc::from(source),
            digest: Digest::of(source.as_bytes()),
            name: root.required_string("name"),
            title: root.required_string("title"),
            column_names: layout.columns.iter().map(|column| column.name.clone()).collect(),
            layout,
            params: root.each_named("params", param),
            permissions: root.each("permission", |table| self.permission(table)),
            lookups: self.lookups(root),
            obstacles: self.objections(root, "obstacle", Visible::OBSTACLE),
            directory: root.section("directory", |table| self.directory(table)),
            derived: self.named(root, "derive", Visible::derived),
            checks: self.objections(root, "check", Visible::CHECK),
            observe: root.required_section("observe", |table| self.observe(table)).unwrap_or_default(),
            facts: self.named(root, "facts", Visible::fact),
            claims: root.section("claims", |table| self.claims(table)),
            refusals: self.objections(root, "refuse", Visible::STATE),
            warnings: self.objections(root, "warn", Visible::STATE),
            steps: self.steps(root),
            exposed: root.section("exposure", |table| self.required(table, "when", Visible::STATE)),
            goal: root
                .required_section("goal", |table| self.required(table, "when", Visible::STATE))
                .unwrap_or_default(),
            report: self
                .exprs(root, "report", |_| Visible::REPORT)
                .into_iter()
                .map(|(name, expr)| (name.value, expr))
                .collect(),
            limits: root.section("limits", limits).unwrap_or_default(),
        }
    }

    fn permission(&mut self, table: &Table<'_>) -> Permission {
        let any = table.strings("any");
        if any.is_empty() {
            let help = "write `any = [\"User.ReadWrite.All\"]`; one of those named is enough";
            table.note("`any` names no permission", Some(help));
        }
        Permission {
            any,
            why: table.required_string("why"),
            when: self.optional(table, "when", Visible::PARAMETERS),
            optional: table.flag("optional"),
        }
    }

    fn lookups(&mut self, root: &Table<'_>) -> Vec<Lookup> {
        let mut at = 0;
        root.each_named("lookups", |name, table| {
            let each = self.optional(table, "each", Visible::lookup(at));
            let path = match each {
                Some(_) => Visible::lookup_each(at),
                None => Visible::lookup(at),
            };
            let lookup = Lookup {
                name: name.value,
                get: self.required_path(table, "get", path),
                value: self.required(table, "value", Visible::lookup_value(at)),
                headers: headers(table),
                each,
                optional: table.flag("optional"),
            };
            at += 1;
            lookup
        })
    }

    fn directory(&mut self, table: &Table<'_>) -> DirectoryPlan {
        let mut kept = kept(table, "guids", KeptForm::Guid);
        let texts = self::kept(table, "texts", KeptForm::Text);
        for text in &texts {
            if kept.iter().any(|guid| guid.name == text.name) {
                table.note(format!("`{}` is kept twice", text.name), None);
            }
        }
        kept.extend(texts);
        if kept.is_empty() {
            let help = "write [directory.guids] or [directory.texts] with lines such as `object_guid = \"objectGUID\"`";
            table.note("`directory` keeps nothing of what it finds", Some(help));
        }
        DirectoryPlan {
            when: self.optional(table, "when", Visible::CHECK),
            among: ldap_filter(table, "among"),
            attribute: attribute(table, table.required_text("attribute")),
            equals: self.required(table, "equals", Visible::CHECK),
            kept,
        }
    }

    fn objections(&mut self, root: &Table<'_>, section: &str, place: Visible) -> Vec<Objection> {
        root.each(section, |table| Objection {
            code: table.required_string("code"),
            when: self.required(table, "when", place),
            reason: self.required(table, "reason", place),
            advice: table.required_string("advice"),
            holders: self.optional(table, "holders", place),
            freed: self.constants(table, "freed"),
        })
    }

    fn claims(&mut self, table: &Table<'_>) -> Claims {
        let values = self.exprs(table, "values", |_| Visible::STATE).into_iter();
        Claims {
            values: values.map(|(name, expr)| (Arc::from(name.value), expr)).collect(),
            account: self.required(table, "account", Visible::STATE),
            gives_way: self.optional(table, "gives_way", Visible::STATE),
        }
    }

    fn observe(&mut self, table: &Table<'_>) -> Observe {
        let properties = table.strings("properties");
        if properties.is_empty() {
            let message = "`observe.properties` must name what is kept of a person";
            table.note(message, None);
        }
        let looks = table.each("look", |look| self.look(look));
        if looks.is_empty() {
            table.note("`observe` needs at least one look ([[observe.look]])", None);
        }
        let extra_reads = table.each("also", |read| self.extra_read(read));
        Observe {
            select: properties.join(",").into(),
            properties: properties.into_iter().map(Arc::from).collect(),
            looks,
            extra_reads,
            if_several: table.text("if_several").map(|at| at.value),
        }
    }

    fn look(&mut self, table: &Table<'_>) -> LookAt {
        let list = table.flag("list");
        let pick = self.optional(table, "pick", Visible::PICK);
        if list && pick.is_none() {
            let help = "say which `item` of the list is the row's person";
            table.note("a look at a list needs `pick`", Some(help));
        }
        LookAt {
            name: table.required_string("name"),
            when: self.optional(table, "when", Visible::LOOK),
            get: self.required_path(table, "get", Visible::LOOK),
            if_unsupported: self.path(table, "if_unsupported", Visible::LOOK),
            headers: headers(table),
            list,
            pick,
            set: self.constants(table, "set"),
            with_next: table.flag("with_next"),
            tell: self.optional(table, "tell", Visible::PICK),
            passed_over: table.section("passed_over", |inner| PassedOver {
                reason: self.required(inner, "reason", Visible::PICK),
                advice: inner.required_string("advice"),
            }),
        }
    }

    fn extra_read(&mut self, table: &Table<'_>) -> ExtraRead {
        let list = table.flag("list");
        let value = match list {
            true => Visible::EXTRA_ITEMS,
            false => Visible::EXTRA_ITEM,
        };
        ExtraRead {
            name: table.required_string("name"),
            when: self.optional(table, "when", Visible::STATE),
            get: self.required_path(table, "get", Visible::STATE),
            headers: headers(table),
            list,
            value: self.required(table, "value", value),
            optional: table.flag("optional"),
            always: table.flag("always"),
            follows: false,
        }
    }
}

fn format(root: &Table<'_>) {
    match root.count("format") {
        Some(FORMAT) => {}
        Some(other) => root.note(
            format!("format {other} is not known to this version of cutover, which reads format {FORMAT}"),
            Some("use the version of cutover that the job was written for"),
        ),
        None if root.has("format") => {}
        None => {
            let help = format!("write `format = {FORMAT}` first");
            root.note("`format` is missing", Some(&help));
        }
    }
}

fn layout(root: &Table<'_>) -> Layout {
    let mut keys = Vec::new();
    let mut at = 0;
    let columns = root.each_named("columns", |name, table| {
        let key = table.flag("key");
        if key {
            keys.push(at);
        }
        at += 1;
        let unique = table.text("unique").map(|at| at.value);
        if key && unique.is_none() {
            let message = format!("the key column `{}` needs `unique`", name.value);
            let help = "write `unique = \"…\"` with a name for the group of values";
            table.note(message, Some(help));
        }
        Column {
            name: name.value,
            kind: kind(table),
            aliases: table.strings("aliases"),
            required: table.flag("required") || key,
            unique,
        }
    });
    if keys.len() != 1 {
        let message = format!("a job has exactly one key column, not {}", keys.len());
        root.note(message, Some("write `key = true` in one of [columns.…]"));
    }
    Layout { columns, key: keys.first().copied().unwrap_or(0) }
}

fn kind(table: &Table<'_>) -> CellKind {
    table.require("kind");
    let kind = table.one_of("kind", "a kind of column", KINDS);
    kind.unwrap_or(CellKind::Text)
}

fn param(name: At<String>, table: &Table<'_>) -> Param {
    let default = table.required_text("default");
    let param = Param {
        name: name.value,
        values: table.strings("values"),
        default: default.as_ref().map_or_else(String::new, |at| at.value.clone()),
        help: table.required_string("help"),
    };
    if let Some(default) = default.filter(|at| !param.accepts(&at.value)) {
        let message = format!("the default `{}` is not one of `values`", default.value);
        table.note_at(&default.span, message, None);
    }
    param
}

fn limits(table: &Table<'_>) -> Limits {
    let usual = Limits::default();
    let seconds = |key| Some(Duration::from_secs(u64::from(table.count(key)?)));
    Limits {
        attempts: table.count("attempts").unwrap_or(usual.attempts),
        undo_attempts: table.count("undo_attempts").unwrap_or(usual.undo_attempts),
        replication: seconds("replication_s").unwrap_or(usual.replication),
        doubt: seconds("doubt_s").unwrap_or(usual.doubt),
    }
}

/// A filter of LDAP, checked for its form.
fn ldap_filter(table: &Table<'_>, key: &str) -> String {
    let Some(text) = table.required_text(key) else {
        return String::new();
    };
    if !text.value.starts_with('(') || ldap3::parse_filter(&text.value).is_err() {
        let help = "write one in parentheses, as in `(&(objectCategory=person)(objectClass=user))`";
        table.note_at(&text.span, format!("`{key}` is not a filter of LDAP"), Some(help));
    }
    text.value
}

/// The name of an attribute. It stands in a filter unescaped.
fn attribute(table: &Table<'_>, text: Option<At<String>>) -> String {
    let Some(At { value, span }) = text else {
        return String::new();
    };
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let begins = value.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if !begins || !value.chars().all(is_letter) {
        let help = "letters, digits and dashes, as in `userPrincipalName`";
        table.note_at(&span, format!("`{value}` is not the name of an attribute"), Some(help));
    }
    value
}

fn kept(table: &Table<'_>, section: &str, form: KeptForm) -> Vec<Kept> {
    let kept = table.section(section, |inner| {
        let names = inner.entries().into_iter();
        let kept = |(name, _): (At<String>, _)| Kept {
            attribute: attribute(inner, inner.text(&name.value)),
            name: name.value,
            form,
        };
        names.map(kept).collect()
    });
    kept.unwrap_or_default()
}
