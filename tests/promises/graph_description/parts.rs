//! The parts of a job that send requests. A job is tagged: each part's path gets a fragment that names the part, which is cut off
//! again before the request is looked at. So it is known what every request comes from, and which part sent none.

use cutover::job::{Job, Text};
use std::fmt;
use std::str::FromStr as _;

/// Something in a job that sends requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part(String);

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands between the path and the part; a path's own `#` are percent-encoded.
const MARK: char = '#';

/// A job whose parts are tagged, and all of them.
pub struct Tagged {
    pub job: Job,
    pub reads: Vec<Part>,
    /// The looks that are asked in another way where a service does not support them, and that way.
    pub instead: Vec<(Part, Part)>,
    pub steps: Vec<Part>,
    /// The steps' other ways, and their undos.
    pub more_writes: Vec<Part>,
}

impl Tagged {
    pub fn new(mut job: Job) -> Tagged {
        let (mut reads, mut instead) = (Vec::new(), Vec::new());
        for lookup in &mut job.lookups {
            reads.push(tag(&mut lookup.get, format!("lookup {}", lookup.name)));
        }
        for look in &mut job.observe.looks {
            let part = tag(&mut look.get, format!("look {}", look.name));
            if let Some(text) = &mut look.if_unsupported {
                let name = format!("look {}, where that is not supported", look.name);
                instead.push((part.clone(), tag(text, name)));
            }
            reads.push(part);
        }
        for read in &mut job.observe.extra_reads {
            reads.push(tag(&mut read.get, format!("further read {}", read.name)));
        }
        let (mut steps, mut more_writes) = (Vec::new(), Vec::new());
        for step in &mut job.steps {
            let name = &step.name;
            steps.push(tag(&mut step.write.path, format!("step {name}")));
            if let Some(way) = &mut step.otherwise {
                more_writes.push(tag(&mut way.path, format!("other way of {name}")));
            }
            if let Some(undo) = &mut step.undo {
                more_writes.push(tag(&mut undo.write.path, format!("undo {name}")));
            }
        }
        Tagged { job, reads, instead, steps, more_writes }
    }

    /// Every part, once.
    pub fn all(&self) -> impl Iterator<Item = &Part> {
        let instead = self.instead.iter().map(|(_, instead)| instead);
        let reads = self.reads.iter().chain(instead);
        reads.chain(&self.steps).chain(&self.more_writes)
    }
}

/// What is sent before any part of a job, for every job.
pub fn preflight() -> Part {
    Part("preflight".to_owned())
}

fn tag(path: &mut Text, name: String) -> Part {
    *path = Text::from_str(&format!("{path}{MARK}{name}")).unwrap();
    Part(name)
}

/// A path without its tag, and the part that it names.
pub fn untagged(path: &str) -> (&str, Option<Part>) {
    match path.split_once(MARK) {
        Some((path, name)) => (path, Some(Part(name.to_owned()))),
        None => (path, None),
    }
}
