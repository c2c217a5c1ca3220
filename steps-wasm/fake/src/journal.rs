//! What the host remembers of requests under a `once` key.

use guest::{Recorded, Request, Response};

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Method, path, query and body.
    pub what: String,
    pub state: State,
}

#[derive(Clone, Debug)]
pub(crate) enum State {
    /// No answer; the exchange ended then.
    Open {
        ended_ms: u64,
    },
    /// The answer arrives, or arrived, then.
    Answered {
        at_ms: u64,
        response: Response,
    },
    Refused {
        at_ms: u64,
        response: Response,
    },
}

impl Entry {
    pub(crate) fn recorded(&self, now_ms: u64) -> Recorded {
        let aged = |response: &Response, at_ms: u64| Response {
            age_ms: now_ms - at_ms,
            replayed: true,
            ..response.clone()
        };
        match &self.state {
            State::Open { ended_ms } => Recorded::Open(now_ms.checked_sub(*ended_ms)),
            State::Answered { at_ms, .. } if *at_ms > now_ms => Recorded::Open(None),
            State::Answered { at_ms, response } => Recorded::Answered(aged(response, *at_ms)),
            State::Refused { at_ms, response } => Recorded::Refused(aged(response, *at_ms)),
        }
    }
}

pub(crate) fn identity(request: &Request) -> String {
    let body = request
        .body
        .as_deref()
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    format!("{} {} {:?} {body}", request.method, request.path, request.query)
}
