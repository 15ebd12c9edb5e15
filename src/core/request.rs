//! A request as a job wants it and a service gets it, in no protocol's words. Jobs render requests and services send them,
//! and neither room knows the other, so the type is here.

use serde_json::Value;
use std::fmt;

/// The service that a request goes to, by the name that jobs and connection files have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServiceName(pub &'static str);

impl ServiceName {
    /// Microsoft Graph, where a job names no other.
    pub const GRAPH: ServiceName = ServiceName("graph");
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What is done to the thing that a path names; its text is the method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::AsRefStr, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE")]
pub enum Method {
    /// Reads it.
    Get,
    /// Creates it, or does what the path names.
    Post,
    /// Changes some of its properties.
    Patch,
    /// Replaces it.
    Put,
    /// Removes it.
    Delete,
}

/// What a good reply brings. A reply that brings anything else did not come from the service, whatever its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expects {
    /// One object that is read.
    Object,
    /// A list that is read for one row.
    Page,
    /// A list that is read once a run, and may be larger.
    Survey,
    /// Confirmation of a change: nothing more, or an object.
    Done,
}

/// One request, whole but for the name of the attempt.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// Who gets it.
    pub service: ServiceName,
    /// What is done.
    pub method: Method,
    /// Under the root of the service's API, beginning with `/` and percent-encoded; or the address of a list's next page.
    pub path: String,
    /// Further headers, name and value.
    pub headers: Vec<(String, String)>,
    /// The JSON body.
    pub body: Option<Value>,
    /// What a good reply brings.
    pub expects: Expects,
}

impl Request {
    /// Reads `path`.
    pub fn get(path: impl Into<String>, expects: Expects) -> Request {
        let (service, method) = (ServiceName::GRAPH, Method::Get);
        Request { service, method, path: path.into(), headers: Vec::new(), body: None, expects }
    }

    /// Changes what `path` names.
    pub fn write(method: Method, path: impl Into<String>, body: Option<Value>) -> Request {
        Request { method, body, ..Request::get(path, Expects::Done) }
    }

    /// With these headers.
    #[must_use]
    pub fn with_headers(self, headers: &[(String, String)]) -> Request {
        Request { headers: headers.to_vec(), ..self }
    }

    /// Whether it may change something. What may not can be sent again at will.
    pub fn is_write(&self) -> bool {
        match self.expects {
            Expects::Done => true,
            Expects::Object | Expects::Page | Expects::Survey => false,
        }
    }
}

impl fmt::Debug for Request {
    /// Without headers and body, which may carry generated passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("service", &self.service.0)
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_header_and_no_body() {
        let body = serde_json::json!({"password": "hush"});
        let request = Request::write(Method::Patch, "/users/1", Some(body))
            .with_headers(&[("Prefer".to_owned(), "hush".to_owned())]);
        let shown = format!("{request:?}");
        assert!(shown.contains("/users/1") && !shown.contains("hush"), "{shown}");
    }
}
