//! The parts of a job file that hold expressions: each is compiled, and remembered with its place for the checks that need
//! the whole job.

use super::expr::{Expr, Json, Text};
use super::names;
use super::source::{At, Table};
use super::{
    AlsoRead, Claims, DirectoryPlan, Kept, KeptForm, LookAt, Lookup, Objection, Observe,
    PassedOver, Permission,
};
use std::sync::Arc;
use toml::de::DeValue;

/// Compiles expressions and remembers each with its place.
pub(super) struct Reader {
    pub(super) uses: Vec<names::Use>,
}

impl Reader {
    fn expr(&mut self, table: &Table<'_, '_>, text: &At<String>, place: names::Place) -> Expr {
        match Expr::compile(&text.value) {
            Ok(expr) => {
                self.remember(&expr, place, text);
                expr
            }
            Err(message) => {
                table.mistakes().note(&text.span, message, None);
                placeholder()
            }
        }
    }

    fn remember(&mut self, expr: &Expr, place: names::Place, text: &At<String>) {
        self.uses.push(names::Use {
            variables: expr.variables(),
            place,
            span: text.span.clone(),
        });
    }

    pub(super) fn required_expr(
        &mut self,
        table: &Table<'_, '_>,
        key: &str,
        place: names::Place,
    ) -> Expr {
        match table.required_text(key) {
            Some(text) => self.expr(table, &text, place),
            None => placeholder(),
        }
    }

    fn optional_expr(
        &mut self,
        table: &Table<'_, '_>,
        key: &str,
        place: names::Place,
    ) -> Option<Expr> {
        let text = table.text(key)?;
        Some(self.expr(table, &text, place))
    }

    fn text(&mut self, table: &Table<'_, '_>, text: &At<String>, place: names::Place) -> Text {
        match Text::compile(&text.value) {
            Ok(compiled) => {
                for expr in compiled.exprs() {
                    self.remember(expr, place, text);
                }
                compiled
            }
            Err(message) => {
                table.mistakes().note(&text.span, message, None);
                Text::default()
            }
        }
    }

    fn required_text(&mut self, table: &Table<'_, '_>, key: &str, place: names::Place) -> Text {
        match table.required_text(key) {
            Some(text) => self.text(table, &text, place),
            None => Text::default(),
        }
    }

    fn optional_text(
        &mut self,
        table: &Table<'_, '_>,
        key: &str,
        place: names::Place,
    ) -> Option<Text> {
        let text = table.text(key)?;
        Some(self.text(table, &text, place))
    }

    /// A path, which begins with a slash: it stands under the service's version root.
    pub(super) fn path(
        &mut self,
        table: &Table<'_, '_>,
        key: &str,
        place: names::Place,
    ) -> Option<Text> {
        let text = table.text(key)?;
        if !text.value.starts_with('/') {
            let help = "it stands under the service's version root, as in `/users/…`";
            let message = format!("`{key}` must begin with `/`");
            table
                .mistakes()
                .note(&text.span, message, Some(help.into()));
        }
        let path = self.text(table, &text, place);
        if path
            .literals()
            .any(|text| text.contains(char::is_whitespace))
        {
            let message = format!("`{key}` has white space in it, which no address may have");
            let help = "write `%20` for it, as in `$filter=mail%20eq%20'…'`";
            table
                .mistakes()
                .note(&text.span, message, Some(help.into()));
        }
        Some(path)
    }

    fn required_path(&mut self, table: &Table<'_, '_>, key: &str, place: names::Place) -> Text {
        if !table.has(key) {
            table.missing(key);
        }
        self.path(table, key, place).unwrap_or_default()
    }

    fn json(&mut self, table: &Table<'_, '_>, at: &At<&DeValue<'_>>, place: names::Place) -> Json {
        if let Some(text) = at.value.as_str() {
            let text = At {
                value: text.to_owned(),
                span: at.span.clone(),
            };
            return self.json_text(table, &text, place);
        }
        if let Some(flag) = at.value.as_bool() {
            return Json::Constant(flag.into());
        }
        if let Some(number) = at.value.as_integer() {
            let parsed = i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_default();
            return Json::Constant(parsed.into());
        }
        if let Some(items) = at.value.as_array() {
            let items = items.iter().map(|item| {
                let item = At {
                    value: item.get_ref(),
                    span: item.span(),
                };
                self.json(table, &item, place)
            });
            return Json::List(items.collect());
        }
        if let Some(fields) = at.value.as_table() {
            let fields = fields.iter().map(|(key, value)| {
                let value = At {
                    value: value.get_ref(),
                    span: value.span(),
                };
                (key.get_ref().to_string(), self.json(table, &value, place))
            });
            return Json::Object(fields.collect());
        }
        let message = format!("{} cannot be written as JSON here", at.value.type_str());
        table.mistakes().note(&at.span, message, None);
        Json::Constant(serde_json::Value::Null)
    }

    pub(super) fn json_text(
        &mut self,
        table: &Table<'_, '_>,
        text: &At<String>,
        place: names::Place,
    ) -> Json {
        match Json::from_text(&text.value) {
            Ok(json) => {
                json.visit_exprs(&mut |expr| self.remember(expr, place, text));
                json
            }
            Err(message) => {
                table.mistakes().note(&text.span, message, None);
                Json::Constant(serde_json::Value::Null)
            }
        }
    }

    pub(super) fn fields(
        &mut self,
        table: &Table<'_, '_>,
        key: &str,
        place: names::Place,
    ) -> Option<Vec<(String, Json)>> {
        let inner = table.table(key)?;
        let entries = inner.entries();
        let fields = entries
            .iter()
            .map(|(key, value)| (key.value.clone(), self.json(&inner, value, place)));
        Some(fields.collect())
    }

    pub(super) fn named_exprs(
        &mut self,
        root: &Table<'_, '_>,
        section: &str,
        place: names::Place,
    ) -> Vec<(Arc<str>, Expr)> {
        let Some(table) = root.table(section) else {
            return Vec::new();
        };
        let mut named = Vec::new();
        for (name, _) in table.entries() {
            let Some(text) = table.text(&name.value) else {
                continue;
            };
            let place = place.at(named.len());
            let expr = self.expr(&table, &text, place);
            named.push((Arc::from(name.value), expr));
        }
        named
    }

    pub(super) fn lookups(&mut self, root: &Table<'_, '_>) -> Vec<Lookup> {
        let mut lookups = Vec::new();
        for (name, table) in root.named_tables("lookups") {
            let at = lookups.len();
            let each = self.optional_expr(&table, "each", names::Place::Lookup(at));
            let path = match each {
                Some(_) => names::Place::LookupEach(at),
                None => names::Place::Lookup(at),
            };
            lookups.push(Lookup {
                name: name.value,
                get: self.required_path(&table, "get", path),
                value: self.required_expr(&table, "value", names::Place::LookupValue(at)),
                headers: headers(&table),
                each,
                optional: table.flag("optional"),
            });
            table.finish();
        }
        lookups
    }

    pub(super) fn directory(&mut self, root: &Table<'_, '_>) -> Option<DirectoryPlan> {
        let table = root.table("directory")?;
        let mut kept = kept(&table, "guids", KeptForm::Guid);
        kept.extend(kept_texts(&table, &kept));
        if kept.is_empty() {
            let help = "write [directory.guids] or [directory.texts] with lines such as `object_guid = \"objectGUID\"`";
            table.note(
                "`directory` keeps nothing of what it finds",
                Some(help.into()),
            );
        }
        let plan = DirectoryPlan {
            when: self.optional_expr(&table, "when", names::Place::Check),
            among: ldap_filter(&table, "among"),
            attribute: attribute(&table, table.required_text("attribute")),
            equals: self.required_expr(&table, "equals", names::Place::Check),
            kept,
        };
        table.finish();
        Some(plan)
    }

    pub(super) fn objections(
        &mut self,
        root: &Table<'_, '_>,
        section: &str,
        place: names::Place,
    ) -> Vec<Objection> {
        let mut objections = Vec::new();
        for table in root.tables(section) {
            objections.push(Objection {
                code: table
                    .required_text("code")
                    .map_or_else(String::new, |at| at.value),
                when: self.required_expr(&table, "when", place),
                reason: self.required_text(&table, "reason", place),
                advice: table
                    .required_text("advice")
                    .map_or_else(String::new, |at| at.value),
                holders: self.optional_expr(&table, "holders", place),
                freed: self.constants(&table, "freed"),
            });
            table.finish();
        }
        objections
    }

    pub(super) fn claims(&mut self, root: &Table<'_, '_>) -> Option<Claims> {
        let table = root.table("claims")?;
        let claims = Claims {
            account: self.required_expr(&table, "account", names::Place::State),
            values: self.named_exprs(&table, "values", names::Place::State),
            gives_way: self.optional_expr(&table, "gives_way", names::Place::State),
        };
        table.finish();
        Some(claims)
    }

    /// Fields with values that do not depend on anything.
    fn constants(&mut self, table: &Table<'_, '_>, key: &str) -> Vec<(String, serde_json::Value)> {
        let fields = self.fields(table, key, names::Place::Parameters);
        let fields = fields.unwrap_or_default().into_iter();
        let constants = fields.filter_map(|(field, value)| match value.constant() {
            Some(constant) => Some((field, constant)),
            None => {
                table.note(format!("`{key}.{field}` must be a constant"), None);
                None
            }
        });
        constants.collect()
    }

    fn passed_over(&mut self, table: &Table<'_, '_>) -> Option<PassedOver> {
        let inner = table.table("passed_over")?;
        let passed_over = PassedOver {
            reason: self.required_text(&inner, "reason", names::Place::Pick),
            advice: inner
                .required_text("advice")
                .map_or_else(String::new, |at| at.value),
        };
        inner.finish();
        Some(passed_over)
    }

    pub(super) fn permissions(&mut self, root: &Table<'_, '_>) -> Vec<Permission> {
        let mut permissions = Vec::new();
        for table in root.tables("permission") {
            let any: Vec<String> = table.texts("any").into_iter().map(|at| at.value).collect();
            if any.is_empty() {
                let help = "write `any = [\"User.ReadWrite.All\"]`; one of those named is enough";
                table.note("`any` names no permission", Some(help.into()));
            }
            permissions.push(Permission {
                any,
                why: table
                    .required_text("why")
                    .map_or_else(String::new, |at| at.value),
                when: self.optional_expr(&table, "when", names::Place::Parameters),
                optional: table.flag("optional"),
            });
            table.finish();
        }
        permissions
    }

    pub(super) fn observe(&mut self, root: &Table<'_, '_>) -> Observe {
        let Some(table) = root.table("observe") else {
            root.missing("observe");
            return Observe {
                properties: Vec::new(),
                looks: Vec::new(),
                also: Vec::new(),
                if_several: None,
            };
        };
        let properties: Vec<String> = table
            .texts("properties")
            .into_iter()
            .map(|at| at.value)
            .collect();
        if properties.is_empty() {
            table.note(
                "`observe.properties` must name what is kept of a person",
                None,
            );
        }
        let tables = table.tables("look");
        if tables.is_empty() {
            table.note("`observe` needs at least one look ([[observe.look]])", None);
        }
        let looks = tables.into_iter().map(|look| self.look(look)).collect();
        let also = table.tables("also").into_iter();
        let also = also.map(|read| self.also(read)).collect();
        let if_several = table.text("if_several").map(|at| at.value);
        table.finish();
        Observe {
            properties,
            looks,
            also,
            if_several,
        }
    }

    fn also(&mut self, table: Table<'_, '_>) -> AlsoRead {
        let list = table.flag("list");
        let value = if list {
            names::Place::AlsoItems
        } else {
            names::Place::AlsoItem
        };
        let read = AlsoRead {
            name: table
                .required_text("name")
                .map_or_else(String::new, |at| at.value),
            when: self.optional_expr(&table, "when", names::Place::State),
            get: self.required_path(&table, "get", names::Place::State),
            headers: headers(&table),
            list,
            value: self.required_expr(&table, "value", value),
            optional: table.flag("optional"),
            always: table.flag("always"),
            follows: false,
        };
        table.finish();
        read
    }

    fn look(&mut self, table: Table<'_, '_>) -> LookAt {
        let list = table.flag("list");
        let pick = self.optional_expr(&table, "pick", names::Place::Pick);
        if list && pick.is_none() {
            table.note(
                "a look at a list needs `pick`",
                Some("say which `item` of the list is the row's person".into()),
            );
        }
        let headers = headers(&table);
        let look = LookAt {
            set: self.constants(&table, "set"),
            name: table
                .required_text("name")
                .map_or_else(String::new, |at| at.value),
            when: self.optional_expr(&table, "when", names::Place::Look),
            get: self.required_path(&table, "get", names::Place::Look),
            if_unsupported: self.path(&table, "if_unsupported", names::Place::Look),
            headers,
            list,
            pick,
            with_next: table.flag("with_next"),
            tell: self.optional_text(&table, "tell", names::Place::Pick),
            passed_over: self.passed_over(&table),
        };
        table.finish();
        look
    }

    pub(super) fn exposure(&mut self, root: &Table<'_, '_>) -> Option<Expr> {
        let table = root.table("exposure")?;
        let when = self.required_expr(&table, "when", names::Place::State);
        table.finish();
        Some(when)
    }

    pub(super) fn goal(&mut self, root: &Table<'_, '_>) -> Expr {
        let Some(table) = root.table("goal") else {
            root.missing("goal");
            return placeholder();
        };
        let when = self.required_expr(&table, "when", names::Place::State);
        table.finish();
        when
    }
}

fn headers(table: &Table<'_, '_>) -> Vec<(String, String)> {
    let Some(headers) = table.table("headers") else {
        return Vec::new();
    };
    let names = headers.entries();
    let pairs = names
        .iter()
        .filter_map(|(name, _)| Some((name.value.clone(), headers.text(&name.value)?.value)));
    pairs.collect()
}

/// A filter of LDAP, checked for its form.
fn ldap_filter(table: &Table<'_, '_>, key: &str) -> String {
    let Some(text) = table.required_text(key) else {
        return String::new();
    };
    if !text.value.starts_with('(') || ldap3::parse_filter(&text.value).is_err() {
        let message = format!("`{key}` is not a filter of LDAP");
        let help = "write one in parentheses, as in `(&(objectCategory=person)(objectClass=user))`";
        let mistakes = table.mistakes();
        mistakes.note(&text.span, message, Some(help.into()));
    }
    text.value
}

/// The name of an attribute. It stands in a filter unescaped.
fn attribute(table: &Table<'_, '_>, text: Option<At<String>>) -> String {
    let Some(text) = text else {
        return String::new();
    };
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let begins = text
        .value
        .starts_with(|letter: char| letter.is_ascii_alphabetic());
    if !begins || !text.value.chars().all(is_letter) {
        let message = format!("`{}` is not the name of an attribute", text.value);
        let help = "letters, digits and dashes, as in `userPrincipalName`";
        let mistakes = table.mistakes();
        mistakes.note(&text.span, message, Some(help.into()));
    }
    text.value
}

fn kept(table: &Table<'_, '_>, section: &str, form: KeptForm) -> Vec<Kept> {
    let Some(inner) = table.table(section) else {
        return Vec::new();
    };
    let mut kept = Vec::new();
    for (name, _) in inner.entries() {
        kept.push(Kept {
            attribute: attribute(&inner, inner.text(&name.value)),
            name: name.value,
            form,
        });
    }
    kept
}

/// The texts beside what is kept already.
fn kept_texts(table: &Table<'_, '_>, guids: &[Kept]) -> Vec<Kept> {
    let texts = kept(table, "texts", KeptForm::Text);
    for text in &texts {
        if guids.iter().any(|guid| guid.name == text.name) {
            let message = format!("`{}` is kept twice", text.name);
            table.note(message, None);
        }
    }
    texts
}

/// Stands in for an expression that could not be read; a job with one is never handed out.
pub(super) fn placeholder() -> Expr {
    Expr::never()
}
