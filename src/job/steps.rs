//! The steps of a job file: what each of them sends, what that changes, and how it is undone.
//!
//! A step may name others that it stands for. Which steps there are is known only when all of them were read, so the names
//! are bound at the end.

use super::fragments::JobReader;
use super::names::Visible;
use super::text::{Json, Text};
use super::{InDoubt, Step, StepId, Undo, WritePlan};
use crate::core::Method;
use crate::core::config::{At, Table};
use std::ops::Range;

/// Most steps of a job: their number is stored in a byte.
const STEPS_MAX: usize = 100;

const METHODS: [(&str, Method); 4] =
    [("post", Method::Post), ("patch", Method::Patch), ("put", Method::Put), ("delete", Method::Delete)];

/// A step with what can be checked and bound only when all of them were read.
struct ReadStep {
    step: Step,
    span: Range<usize>,
    undone_as: Vec<At<String>>,
}

impl JobReader {
    pub(super) fn steps(&mut self, root: &Table<'_>) -> Vec<Step> {
        let read = root.each("step", |table| ReadStep {
            step: self.step(table),
            span: table.span(),
            undone_as: table.texts("undone_as"),
        });
        if read.is_empty() || read.len() > STEPS_MAX {
            let message = format!("a job needs between 1 and {STEPS_MAX} steps ([[step]])");
            root.note(message, None);
        }
        let bound: Vec<Vec<StepId>> = (0..read.len()).map(|at| bind(root, &read, at)).collect();
        make_sense(root, &read);
        let steps = read.into_iter().zip(bound);
        steps.map(|(read, undone_as)| Step { undone_as, ..read.step }).collect()
    }

    fn write(&mut self, table: &Table<'_>) -> WritePlan {
        let given: Vec<_> = METHODS.iter().filter(|(key, _)| table.has(key)).collect();
        if given.len() != 1 {
            let message = "a request has exactly one of `post`, `patch`, `put`, `delete`, with its path";
            table.note(message, None);
        }
        let mut plan = WritePlan {
            method: Method::Post,
            path: Text::default(),
            body: self.body(table),
            effect: self.fields(table, "effect", Visible::STATE).unwrap_or_default(),
        };
        for (key, method) in given {
            plan.method = *method;
            plan.path = self.path(table, key, Visible::STATE).unwrap_or_default();
        }
        // A PATCH changes what its body says; for anything else the job has to say it.
        if let (Method::Patch, Some(Json::Object(fields)), false) = (plan.method, &plan.body, table.has("effect")) {
            plan.effect.clone_from(fields);
        }
        plan
    }

    /// A table, or one expression for the whole.
    fn body(&mut self, table: &Table<'_>) -> Option<Json> {
        let is_table = table.value("body")?.get_ref().as_table().is_some();
        match is_table {
            true => self.fields(table, "body", Visible::STATE).map(Json::Object),
            false => self.optional(table, "body", Visible::STATE),
        }
    }

    fn step(&mut self, table: &Table<'_>) -> Step {
        let write = self.write(table);
        let in_doubt = [("repeat", InDoubt::Repeat), ("hold", InDoubt::Hold)];
        let once = table.one_of("once", "a way to treat a step in doubt", &in_doubt);
        let observe_after = table.flag("observe_after");
        if write.effect.is_empty() && once.is_none() && !observe_after {
            let help = "write `effect = { … }`, or `observe_after = true`, or `once = \"repeat\"` / `\"hold\"` if it leaves no trace";
            table.note("nothing tells what this step changes", Some(help));
        }
        Step {
            name: table.required_string("name"),
            title: table.required_string("title"),
            when: self.required(table, "when", Visible::STATE),
            write,
            observe_after,
            exposes: table.flag("exposes"),
            ends_exposure: table.flag("ends_exposure"),
            once,
            undo: table.section("undo", |undo| Undo {
                write: self.write(undo),
                when: self.required(undo, "when", Visible::STATE),
            }),
            undone_as: Vec::new(),
            otherwise: table.section("otherwise", |way| self.write(way)),
            if_taken: table.text("if_taken").map(|at| at.value),
            if_refused: table.text("if_refused").map(|at| at.value),
        }
    }
}

/// The steps that a step is undone as.
fn bind(root: &Table<'_>, read: &[ReadStep], of: usize) -> Vec<StepId> {
    let ReadStep { step, undone_as, .. } = &read[of];
    if let Some(first) = undone_as.first().filter(|_| step.undo.is_some()) {
        let message = "a step has an `undo` of its own, or it is undone as others are";
        root.note_at(&first.span, message, None);
    }
    let known = |name: &At<String>| match step_named(read, of, &name.value) {
        Ok(id) => Some(id),
        Err(message) => {
            root.note_at(&name.span, message, None);
            None
        }
    };
    undone_as.iter().filter_map(known).collect()
}

/// The step of that name, if `of` can be undone as it is.
fn step_named(read: &[ReadStep], of: usize, name: &str) -> Result<StepId, String> {
    let Some(at) = read.iter().position(|read| read.step.name == name) else {
        let all: Vec<&str> = read.iter().map(|read| read.step.name.as_str()).collect();
        let all = all.join(", ");
        return Err(format!("there is no step `{name}`; there are: {all}"));
    };
    if at == of {
        return Err("a step cannot be undone as itself".into());
    }
    if read[at].step.undo.is_none() {
        return Err(format!("step `{name}` has no undo"));
    }
    // More steps than that are a mistake of their own.
    let id = u8::try_from(at).map_err(|_| format!("there are too many steps before `{name}`"))?;
    Ok(StepId(id))
}

/// Whether the steps make sense together.
fn make_sense(root: &Table<'_>, read: &[ReadStep]) {
    for (at, ReadStep { step, span, undone_as }) in read.iter().enumerate() {
        let name = &step.name;
        if read[..at].iter().any(|before| before.step.name == *name) {
            root.note_at(span, format!("there are two steps `{name}`"), None);
        }
        if step.exposes && !root.has("exposure") {
            let message = format!("step `{name}` exposes, but nothing says how to see that");
            let help = "write [exposure] with `when = \"…\"` on the observed state";
            root.note_at(span, message, Some(help));
        }
        if step.exposes && step.undo.is_none() && undone_as.is_empty() {
            let message = format!("step `{name}` exposes and has no undo");
            let help = "a person must be able to work again when a later step fails: write [step.undo], or `undone_as`";
            root.note_at(span, message, Some(help));
        }
    }
    let opens = read.iter().position(|read| read.step.exposes);
    let ends = read.iter().rposition(|read| read.step.ends_exposure);
    if let Some(open) = opens.filter(|open| ends.is_none_or(|end| end < *open)) {
        let help = "write `ends_exposure = true` at the step that does";
        root.note_at(&read[open].span, "no later step ends the exposure", Some(help));
    }
}
