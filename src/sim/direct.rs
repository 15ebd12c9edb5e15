//! The simulated tenant without a server: a request in, an answer out, and the time is an argument. Tests that must run
//! the same way twice, and faster than time, talk to it here; what they meet is the service behind the HTTP edge, whole.

use axum::http::{Request, Response};

use super::{Call, GraphReply, Options, SimClock, SimError, SimService, SimTime, TokenSubject, build, control};

/// The root that links to further pages begin with.
const ROOT: &str = "http://127.0.0.1:9";

/// A simulated tenant inside the caller.
#[derive(Debug)]
pub struct Direct {
    service: SimService,
}

impl Direct {
    /// Builds the tenant as it is at `now_ms`, in Unix milliseconds. Port and latency have no meaning here; the seed decides all
    /// else.
    ///
    /// # Errors
    /// When the faults are impossible or the state directory is unusable or another tenant's.
    pub fn new(options: &Options, now_ms: i64) -> Result<Direct, SimError> {
        Ok(Direct { service: build(options.clone(), ROOT.to_owned(), SimClock::start(), SimTime(now_ms))? })
    }

    /// The root that links to further pages begin with.
    #[must_use]
    pub fn root(&self) -> &'static str {
        ROOT
    }

    /// A token that is good from `now_ms` (Unix milliseconds) on for as long as the options say.
    #[must_use]
    pub fn token(&self, now_ms: i64) -> String {
        let identity = self.service.sequencer.next("POST", "/token");
        let access = &mut *self.service.access.lock();
        let issued = self.service.issue(access, TokenSubject::App, SimTime(now_ms), &identity);
        issued["access_token"].as_str().unwrap_or_default().to_owned()
    }

    /// Another app makes so many writes a second from `now_ms` on.
    pub fn change_other_app(&self, writes_per_s: f64, now_ms: i64) {
        self.service.change_other_app(writes_per_s, SimTime(now_ms));
    }

    /// Answers a request to Graph or to the tenant's own pages (`/sim/…`) at `now_ms`, in Unix milliseconds; None is the end of
    /// the connection, and no reply.
    #[must_use]
    pub fn answer(&self, request: Request<Vec<u8>>, now_ms: i64) -> Option<Response<Vec<u8>>> {
        let (parts, body) = request.into_parts();
        let mut call = Call::new(&self.service, &parts, SimTime(now_ms));
        let reply = control::serve(&self.service, &call).or_else(|| {
            call.body = body;
            self.service.serve(&call, &mut call.identity.dice())
        });
        reply.map(GraphReply::into_response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Faults, Population, ServiceLimits};

    fn options() -> Options {
        Options {
            population: Population::Generated { users: 20 },
            faults: Faults::none(),
            limits: ServiceLimits::off(),
            token_life_s: 60,
            ..Options::default()
        }
    }

    fn status(tenant: &Direct, token: &str, now_ms: i64) -> u16 {
        let request = Request::get("/v1.0/users?$select=id")
            .header("authorization", format!("Bearer {token}"))
            .body(Vec::new())
            .unwrap();
        match tenant.answer(request, now_ms) {
            Some(reply) => reply.status().as_u16(),
            None => panic!("cut"),
        }
    }

    #[test]
    fn the_time_is_the_callers() {
        let tenant = Direct::new(&options(), 0).unwrap();
        let token = tenant.token(0);
        assert_eq!(status(&tenant, &token, 59_000), 200);
        assert_eq!(status(&tenant, &token, 61_000), 401);
        assert_eq!(status(&tenant, "nonsense", 0), 401);
    }

    #[test]
    fn the_tenants_own_pages_are_there_too() {
        let tenant = Direct::new(&options(), 0).unwrap();
        let request = Request::get("/sim/users").body(Vec::new()).unwrap();
        let Some(reply) = tenant.answer(request, 0) else {
            panic!("cut");
        };
        assert!(String::from_utf8(reply.into_body()).unwrap().lines().count() > 10);
    }
}
