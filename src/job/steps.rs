//! The steps of a job file: what each of them sends, what that changes, and how it is undone.
//!
//! A step may name others that it stands for. Which steps there are is known only when all of them were read, so the names
//! are bound at the end.

use super::expr::{Json, Text};
use super::names;
use super::reader::Reader;
use super::source::{At, Mistakes, Table};
use super::{InDoubt, RequestPlan, Step, StepId, Undo, Way};
use crate::core::Method;

/// The names of the steps that one step is undone as, by its place.
pub(super) struct UndoneAs {
    step: usize,
    names: Vec<At<String>>,
}

impl Reader {
    /// All steps, and where they stand.
    pub(super) fn steps(
        &mut self,
        tables: Vec<Table<'_, '_>>,
        mistakes: &Mistakes<'_>,
    ) -> Vec<Step> {
        let mut undone_as = Vec::new();
        let mut steps = Vec::new();
        for table in tables {
            undone_as.push(UndoneAs {
                step: steps.len(),
                names: table.texts("undone_as"),
            });
            steps.push(self.step(table));
        }
        for others in undone_as {
            bind(&mut steps, &others, mistakes);
        }
        steps
    }

    fn request(&mut self, table: &Table<'_, '_>) -> RequestPlan {
        let methods = [
            ("post", Method::Post),
            ("patch", Method::Patch),
            ("put", Method::Put),
            ("delete", Method::Delete),
        ];
        let given: Vec<_> = methods.iter().filter(|(key, _)| table.has(key)).collect();
        if given.len() != 1 {
            table.note(
                "a request has exactly one of `post`, `patch`, `put`, `delete`, with its path",
                None,
            );
        }
        let mut plan = RequestPlan {
            method: Method::Post,
            path: Text::default(),
            body: None,
        };
        for (key, method) in given {
            plan.method = *method;
            plan.path = self
                .path(table, key, names::Place::State)
                .unwrap_or_default();
        }
        plan.body = self.body(table);
        plan
    }

    /// A table, or one expression for the whole.
    fn body(&mut self, table: &Table<'_, '_>) -> Option<Json> {
        if let Some(text) = table.text_or_table("body") {
            return Some(self.json_text(table, &text, names::Place::State));
        }
        self.fields(table, "body", names::Place::State)
            .map(Json::Object)
    }

    /// A PATCH changes what its body says; for anything else the job has to say it.
    fn effect(&mut self, table: &Table<'_, '_>, request: &RequestPlan) -> Vec<(String, Json)> {
        if let Some(effect) = self.fields(table, "effect", names::Place::State) {
            return effect;
        }
        match (&request.method, &request.body) {
            (Method::Patch, Some(Json::Object(fields))) => fields.clone(),
            (Method::Get | Method::Post | Method::Patch | Method::Put | Method::Delete, _) => {
                Vec::new()
            }
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
        let otherwise = table.table("otherwise").map(|way| self.way(way));
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
            undone_as: Vec::new(),
            otherwise,
            if_taken: table.text("if_taken").map(|at| at.value),
            if_refused: table.text("if_refused").map(|at| at.value),
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

    fn way(&mut self, table: Table<'_, '_>) -> Way {
        let request = self.request(&table);
        let effect = self.effect(&table, &request);
        table.finish();
        Way { request, effect }
    }
}

fn bind(steps: &mut [Step], others: &UndoneAs, mistakes: &Mistakes<'_>) {
    for name in &others.names {
        match known(steps, others.step, &name.value) {
            Ok(id) => steps[others.step].undone_as.push(id),
            Err(message) => mistakes.note(&name.span, message, None),
        }
    }
    if let Some(first) = others
        .names
        .first()
        .filter(|_| steps[others.step].undo.is_some())
    {
        let message = "a step has an `undo` of its own, or it is undone as others are";
        mistakes.note(&first.span, message, None);
    }
}

/// The step of that name, if `of` can be undone as it is.
fn known(steps: &[Step], of: usize, name: &str) -> Result<StepId, String> {
    let found = steps.iter().position(|step| step.name == name);
    match found {
        Some(at) if at == of => Err("a step cannot be undone as itself".into()),
        Some(at) if steps[at].undo.is_some() => match u8::try_from(at) {
            Ok(id) => Ok(StepId(id)),
            // More steps than that are a mistake of their own.
            Err(_) => Err(format!("there are too many steps before `{name}`")),
        },
        Some(_) => Err(format!("step `{name}` has no undo")),
        None => {
            let all: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
            Err(format!(
                "there is no step `{name}`; there are: {}",
                all.join(", ")
            ))
        }
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
