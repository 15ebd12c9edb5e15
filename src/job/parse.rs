//! From the text of a job file to a [`Job`], or to all of its mistakes at once.
//!
//! The walk follows the order of the file's sections. A mistake never ends it: a placeholder takes the place of what could
//! not be read, and the job is handed out only if no mistake was noted.

use super::expr::{Expr, Json, Text};
use super::source::{At, Mistakes, Table};
use super::{
    InDoubt, Job, JobMistakes, Limits, LookAt, Lookup, Objection, Observe, Param, RequestPlan,
    Step, Undo, Verb, names,
};
use crate::batch::{Column, Digest, Kind, Layout};
use std::sync::Arc;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// The format of job files this program reads.
const FORMAT: u32 = 1;

/// Most steps of a job: their number is stored in a byte.
const STEPS_MAX: usize = 100;

/// Reads a job file. `origin` names it in messages.
///
/// # Errors
/// [`JobMistakes`] with every mistake, each with line and column.
pub fn parse(origin: &str, source: &str) -> Result<Job, JobMistakes> {
    let mistakes = Mistakes::new(source);
    let (root, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        mistakes.note(&span, error.message(), None);
    }
    let job = if errors.is_empty() {
        let job = read(&Table::root(&root, &mistakes), source);
        names::check(&job, &mistakes);
        Some(job.into_job())
    } else {
        None
    };
    let mistakes = mistakes.into_sorted();
    match job {
        Some(job) if mistakes.is_empty() => Ok(job),
        Some(_) | None => Err(JobMistakes {
            origin: origin.to_owned(),
            mistakes,
        }),
    }
}

/// A job with the places of its expressions, for the checks that need the whole.
pub(super) struct Draft {
    job: Job,
    /// Every expression with what it may see and where it stands.
    pub(super) uses: Vec<names::Use>,
    /// Where the steps stand, in order.
    pub(super) step_spans: Vec<std::ops::Range<usize>>,
    /// Where the file has its goal.
    pub(super) has_exposure: bool,
}

impl Draft {
    pub(super) fn job(&self) -> &Job {
        &self.job
    }

    fn into_job(self) -> Job {
        self.job
    }
}

fn read(root: &Table<'_, '_>, source: &str) -> Draft {
    let mut reader = Reader { uses: Vec::new() };
    format(root);
    let name = root
        .required_text("name")
        .map_or_else(String::new, |at| at.value);
    let title = root
        .required_text("title")
        .map_or_else(String::new, |at| at.value);
    let layout = layout(root);
    let params = params(root);
    let lookups = reader.lookups(root);
    let derived = reader.named_exprs(root, "derive", names::Place::Derive);
    let checks = reader.objections(root, "check", names::Place::Check);
    let observe = reader.observe(root);
    let facts = reader.named_exprs(root, "facts", names::Place::Fact);
    let refusals = reader.objections(root, "refuse", names::Place::State);
    let steps = root.tables("step");
    let step_spans = steps.iter().map(|table| table.span.clone()).collect();
    if steps.is_empty() || steps.len() > STEPS_MAX {
        let message = format!("a job needs between 1 and {STEPS_MAX} steps ([[step]])");
        root.note(message, None);
    }
    let steps = steps.into_iter().map(|table| reader.step(table)).collect();
    let exposed = reader.exposure(root);
    let goal = reader.goal(root);
    let report = reader
        .named_exprs(root, "report", names::Place::Report)
        .into_iter()
        .map(|(name, expr)| (name.to_string(), expr))
        .collect();
    let limits = limits(root);
    for (key, _) in root.entries() {
        if !SECTIONS.contains(&key.value.as_str()) {
            let help = format!("known here: {}", SECTIONS.join(", "));
            let message = format!("`{}` is not a section of a job", key.value);
            root.mistakes().note(&key.span, message, Some(help));
        }
    }
    Draft {
        has_exposure: exposed.is_some(),
        job: Job {
            name,
            title,
            source: Arc::from(source),
            digest: Digest::of(source.as_bytes()),
            layout,
            params,
            lookups,
            derived,
            checks,
            observe,
            facts,
            refusals,
            steps,
            exposed,
            goal,
            report,
            limits,
        },
        uses: reader.uses,
        step_spans,
    }
}

const SECTIONS: &[&str] = &[
    "format", "name", "title", "columns", "params", "lookups", "derive", "check", "observe",
    "facts", "refuse", "step", "exposure", "goal", "report", "limits",
];

fn format(root: &Table<'_, '_>) {
    match root.count("format") {
        Some(FORMAT) => {}
        Some(other) => root.note(
            format!("format {other} is not known to this version of cutover, which reads format {FORMAT}"),
            Some("use the version of cutover that the job was written for".into()),
        ),
        None if root.has("format") => {}
        None => root.note("`format` is missing", Some(format!("write `format = {FORMAT}` first"))),
    }
}

fn layout(root: &Table<'_, '_>) -> Layout {
    let mut columns = Vec::new();
    let mut keys = Vec::new();
    for (name, table) in root.named_tables("columns") {
        let key = table.flag("key");
        if key {
            keys.push(columns.len());
        }
        let unique = table.text("unique").map(|at| at.value);
        if key && unique.is_none() {
            table.note(
                format!("the key column `{}` needs `unique`", name.value),
                Some("write `unique = \"…\"` with a name for the group of values".into()),
            );
        }
        columns.push(Column {
            name: name.value,
            kind: kind(&table),
            aliases: table
                .texts("aliases")
                .into_iter()
                .map(|at| at.value)
                .collect(),
            required: table.flag("required") || key,
            unique,
        });
        table.finish();
    }
    if keys.len() != 1 {
        let message = format!("a job has exactly one key column, not {}", keys.len());
        root.note(
            message,
            Some("write `key = true` in one of [columns.…]".into()),
        );
    }
    Layout {
        columns,
        key: keys.first().copied().unwrap_or(0),
    }
}

fn kind(table: &Table<'_, '_>) -> Kind {
    let Some(text) = table.required_text("kind") else {
        return Kind::Text;
    };
    let known = [
        ("upn", Kind::Upn),
        ("guid", Kind::Guid),
        ("immutable-id", Kind::ImmutableId),
        ("text", Kind::Text),
    ];
    match known.iter().find(|(name, _)| *name == text.value) {
        Some((_, kind)) => *kind,
        None => {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let message = format!("`{}` is not a kind of column", text.value);
            let help = format!("one of {}", names.join(", "));
            table.mistakes().note(&text.span, message, Some(help));
            Kind::Text
        }
    }
}

fn params(root: &Table<'_, '_>) -> Vec<Param> {
    let mut params = Vec::new();
    for (name, table) in root.named_tables("params") {
        let default = table.required_text("default");
        let param = Param {
            name: name.value,
            values: table
                .texts("values")
                .into_iter()
                .map(|at| at.value)
                .collect(),
            default: default
                .as_ref()
                .map_or_else(String::new, |at| at.value.clone()),
            help: table
                .required_text("help")
                .map_or_else(String::new, |at| at.value),
        };
        if let Some(default) = default.filter(|at| !param.accepts(&at.value)) {
            let message = format!("the default `{}` is not one of `values`", default.value);
            table.mistakes().note(&default.span, message, None);
        }
        params.push(param);
        table.finish();
    }
    params
}

fn limits(root: &Table<'_, '_>) -> Limits {
    let mut limits = Limits::default();
    let Some(table) = root.table("limits") else {
        return limits;
    };
    limits.attempts = table.count("attempts").unwrap_or(limits.attempts);
    limits.undo_attempts = table.count("undo_attempts").unwrap_or(limits.undo_attempts);
    limits.replication = seconds(&table, "replication_s").unwrap_or(limits.replication);
    limits.doubt = seconds(&table, "doubt_s").unwrap_or(limits.doubt);
    table.finish();
    limits
}

fn seconds(table: &Table<'_, '_>, key: &str) -> Option<Duration> {
    Some(Duration::from_secs(u64::from(table.count(key)?)))
}

/// Compiles expressions and remembers each with its place.
struct Reader {
    uses: Vec<names::Use>,
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

    fn required_expr(&mut self, table: &Table<'_, '_>, key: &str, place: names::Place) -> Expr {
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

    /// A path, which begins with a slash: it stands under the service's version root.
    fn path(&mut self, table: &Table<'_, '_>, key: &str, place: names::Place) -> Option<Text> {
        let text = table.text(key)?;
        if !text.value.starts_with('/') {
            let help = "it stands under the service's version root, as in `/users/…`";
            let message = format!("`{key}` must begin with `/`");
            table
                .mistakes()
                .note(&text.span, message, Some(help.into()));
        }
        Some(self.text(table, &text, place))
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

    fn json_text(&mut self, table: &Table<'_, '_>, text: &At<String>, place: names::Place) -> Json {
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

    fn fields(
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

    fn named_exprs(
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

    fn lookups(&mut self, root: &Table<'_, '_>) -> Vec<Lookup> {
        let mut lookups = Vec::new();
        for (name, table) in root.named_tables("lookups") {
            lookups.push(Lookup {
                name: name.value,
                get: self.required_path(&table, "get", names::Place::Lookup),
                value: self.required_expr(&table, "value", names::Place::LookupValue),
            });
            table.finish();
        }
        lookups
    }

    fn objections(
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
            });
            table.finish();
        }
        objections
    }

    fn observe(&mut self, root: &Table<'_, '_>) -> Observe {
        let Some(table) = root.table("observe") else {
            root.missing("observe");
            return Observe {
                properties: Vec::new(),
                looks: Vec::new(),
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
        table.finish();
        Observe { properties, looks }
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
        let headers = table.table("headers").map_or_else(Vec::new, |headers| {
            let names = headers.entries();
            let pairs = names.iter().filter_map(|(name, _)| {
                Some((name.value.clone(), headers.text(&name.value)?.value))
            });
            pairs.collect()
        });
        let set = self
            .fields(&table, "set", names::Place::Lookup)
            .unwrap_or_default();
        let set = set.into_iter().filter_map(|(key, value)| match value {
            Json::Constant(constant) => Some((key, constant)),
            Json::Expr(_) | Json::Text(_) | Json::List(_) | Json::Object(_) => {
                table.note(format!("`set.{key}` must be a constant"), None);
                None
            }
        });
        let look = LookAt {
            set: set.collect(),
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
        };
        table.finish();
        look
    }

    fn request(&mut self, table: &Table<'_, '_>) -> RequestPlan {
        let verbs = [
            ("post", Verb::Post),
            ("patch", Verb::Patch),
            ("put", Verb::Put),
            ("delete", Verb::Delete),
        ];
        let given: Vec<_> = verbs.iter().filter(|(key, _)| table.has(key)).collect();
        if given.len() != 1 {
            table.note(
                "a request has exactly one of `post`, `patch`, `put`, `delete`, with its path",
                None,
            );
        }
        let mut plan = RequestPlan {
            method: Verb::Post,
            path: Text::default(),
            body: None,
        };
        for (key, verb) in given {
            plan.method = *verb;
            plan.path = self
                .path(table, key, names::Place::State)
                .unwrap_or_default();
        }
        plan.body = self
            .fields(table, "body", names::Place::State)
            .map(Json::Object);
        plan
    }

    /// A PATCH changes what its body says; for anything else the job has to say it.
    fn effect(&mut self, table: &Table<'_, '_>, request: &RequestPlan) -> Vec<(String, Json)> {
        if let Some(effect) = self.fields(table, "effect", names::Place::State) {
            return effect;
        }
        match (&request.method, &request.body) {
            (Verb::Patch, Some(Json::Object(fields))) => fields.clone(),
            (Verb::Post | Verb::Patch | Verb::Put | Verb::Delete, _) => Vec::new(),
        }
    }

    fn step(&mut self, table: Table<'_, '_>) -> Step {
        let request = self.request(&table);
        let effect = self.effect(&table, &request);
        let once = in_doubt(&table);
        let observe_after = table.flag("observe_after");
        if effect.is_empty() && once.is_none() && !observe_after {
            table.note(
                "nothing tells what this step changes",
                Some("write `effect = { … }`, or `observe_after = true`, or `once = \"repeat\"` / `\"hold\"` if it leaves no trace".into()),
            );
        }
        let undo = table.table("undo").map(|undo| self.undo(undo));
        let step = Step {
            name: table
                .required_text("name")
                .map_or_else(String::new, |at| at.value),
            title: table
                .required_text("title")
                .map_or_else(String::new, |at| at.value),
            when: self.required_expr(&table, "when", names::Place::State),
            request,
            effect,
            observe_after,
            exposes: table.flag("exposes"),
            ends_exposure: table.flag("ends_exposure"),
            once,
            undo,
        };
        table.finish();
        step
    }

    fn undo(&mut self, table: Table<'_, '_>) -> Undo {
        let request = self.request(&table);
        let effect = self.effect(&table, &request);
        let undo = Undo {
            when: self.required_expr(&table, "when", names::Place::State),
            request,
            effect,
        };
        table.finish();
        undo
    }

    fn exposure(&mut self, root: &Table<'_, '_>) -> Option<Expr> {
        let table = root.table("exposure")?;
        let when = self.required_expr(&table, "when", names::Place::State);
        table.finish();
        Some(when)
    }

    fn goal(&mut self, root: &Table<'_, '_>) -> Expr {
        let Some(table) = root.table("goal") else {
            root.missing("goal");
            return placeholder();
        };
        let when = self.required_expr(&table, "when", names::Place::State);
        table.finish();
        when
    }
}

fn in_doubt(table: &Table<'_, '_>) -> Option<InDoubt> {
    let text = table.text("once")?;
    match text.value.as_str() {
        "repeat" => Some(InDoubt::Repeat),
        "hold" => Some(InDoubt::Hold),
        other => {
            let message = format!("`once` cannot be `{other}`");
            let help = "`repeat` or `hold`: what to do when the step is in doubt";
            table
                .mistakes()
                .note(&text.span, message, Some(help.into()));
            None
        }
    }
}

/// Stands in for an expression that could not be read; a job with one is never handed out.
fn placeholder() -> Expr {
    Expr::never()
}
