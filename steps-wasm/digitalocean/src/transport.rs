//! The one thing the client asks of its surroundings: send this request, bring the answer.

/// At most once under this key; the statuses prove that nothing happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    pub key: &'static str,
    pub refusals: &'static [u16],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: &'static str,
    /// Absolute path below the service's base URL, without a query.
    pub path: String,
    pub query: Vec<(String, String)>,
    /// JSON.
    pub body: Option<String>,
    /// For a GET: an answer shared with others is welcome if it is at most this old.
    pub max_age_ms: Option<u32>,
    pub once: Option<Once>,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: String) -> Request {
        Request {
            method,
            path,
            query: Vec::new(),
            body: None,
            max_age_ms: None,
            once: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// A header by its name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Sends one request. An answer of any status is `Ok`; `Error` means that there is no answer to read.
pub trait Transport {
    type Error;
    fn send(&self, request: Request) -> Result<Response, Self::Error>;
}
