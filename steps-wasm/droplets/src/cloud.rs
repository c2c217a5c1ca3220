//! The DigitalOcean client over the host's HTTP, and what its errors mean for a call that only reads.

use digitalocean::{Client, Error};
use guest::{Host, HttpError, Stop, again, permanent};

/// The service's name in the operator's configuration.
const SERVICE: &str = "digitalocean";

/// Carried by every droplet that a saga makes: one listing of it serves all sagas.
pub const SHARED_TAG: &str = "managed-by-arcadia-cloud";

/// How long the host may wait for an answer, in milliseconds. The exchange itself goes on after that.
const ANSWER_MS: u32 = 30_000;

pub type Cloud<'a> = Client<Wire<'a>>;
pub type CloudError = Error<HttpError>;

pub fn cloud(host: &dyn Host) -> Cloud<'_> {
    Client::new(Wire { host })
}

/// Sends by the host's `http` interface.
pub struct Wire<'a> {
    host: &'a dyn Host,
}

impl digitalocean::Transport for Wire<'_> {
    type Error = HttpError;

    fn send(&self, request: digitalocean::Request) -> Result<digitalocean::Response, HttpError> {
        let headers = match request.body {
            Some(_) => vec![("content-type".to_owned(), "application/json".to_owned())],
            None => Vec::new(),
        };
        let response = self.host.fetch(&guest::Request {
            service: SERVICE.to_owned(),
            method: request.method.to_owned(),
            path: request.path,
            query: request.query,
            headers,
            body: request.body.map(String::into_bytes),
            timeout_ms: Some(ANSWER_MS),
            max_age_ms: request.max_age_ms,
            once: request.once.map(|once| guest::Once {
                key: once.key.to_owned(),
                refusals: once.refusals.to_vec(),
            }),
        })?;
        Ok(as_answer(response))
    }
}

/// An answer in the client's words, fresh or recalled.
pub fn as_answer(response: guest::Response) -> digitalocean::Response {
    digitalocean::Response {
        status: response.status,
        headers: response.headers,
        body: response.body,
    }
}

/// The end of a call that couldn't read what it needs. `wait_ms` is the wait where the answer doesn't say.
pub fn stop_reading(host: &dyn Host, error: CloudError, wait_ms: u64) -> Stop {
    match error {
        Error::Transport(error) if is_unclear(&error) => again(wait_ms, "the provider didn't answer"),
        Error::Transport(error) => error.into(),
        Error::Refused(refusal) if refusal.status == 429 => again(
            refusal.wait_ms(host.now_ms()).unwrap_or(wait_ms),
            "waiting for the provider's rate limit",
        ),
        Error::Refused(refusal) if refusal.status >= 500 => {
            again(wait_ms, format!("the provider answered {refusal}"))
        }
        Error::Refused(refusal) => permanent("provider-refused", format!("the provider answered {refusal}")),
        Error::Unreadable { status, what } => {
            again(wait_ms, format!("the provider answered {what} (status {status})"))
        }
    }
}

/// Whether a mutating request that ended like this may have taken effect. Answers are not judged here.
pub fn is_unclear(error: &HttpError) -> bool {
    match error {
        HttpError::Interrupted(_)
        | HttpError::Timeout
        | HttpError::ResponseTooLarge(_)
        | HttpError::InDoubt
        | HttpError::Other(_) => true,
        HttpError::Denied(_)
        | HttpError::InvalidRequest(_)
        | HttpError::Connect(_)
        | HttpError::RateLimited(_)
        | HttpError::Unavailable(_)
        | HttpError::BudgetExhausted
        | HttpError::KeyReused
        | HttpError::Cancelled
        | HttpError::Fenced => false,
    }
}
