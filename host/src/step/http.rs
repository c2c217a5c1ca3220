//! `http`: the call's own budget here; grants, credentials and rate budgets belong to the host behind it.

use crate::{
    cloud::{FetchError, Once, Outgoing, Response},
    saga::Phase,
};

use super::{
    Recorded,
    bindings::arcadia::step::{
        http::{self, Host, HttpError},
        types,
    },
    limits::{LimitHit, MAX_REQUESTS, MAX_RESPONSE_BYTES},
    state::{GuestState, Used},
};

impl Host for GuestState {
    async fn fetch(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, HttpError>> {
        let call = self.enter("http.fetch")?;
        if call.fenced {
            return Ok(Err(HttpError::Fenced));
        }
        if call.used.requests >= MAX_REQUESTS || call.used.response_bytes >= MAX_RESPONSE_BYTES {
            return Ok(Err(HttpError::BudgetExhausted));
        }
        call.used.requests += 1;
        if !call.grants.iter().any(|grant| grant.service == request.service) {
            return Ok(Err(HttpError::Denied(format!("service {:?}", request.service))));
        }
        let (host, outgoing) = (call.host.clone(), outgoing(request));
        let answer = call
            .ask("http.fetch", async move { host.fetch(outgoing).await })
            .await?;
        Ok(match answer {
            Ok(response) => {
                call.used.answer(&response);
                Ok(response_of(response))
            }
            Err(error) => {
                call.starved |= error.starves();
                call.fenced |= error == FetchError::Fenced;
                Err(error_of(error))
            }
        })
    }

    async fn recall(&mut self, phase: types::Phase, key: String) -> wasmtime::Result<http::Recorded> {
        let call = self.enter("http.recall")?;
        call.used.recalls += 1;
        if call.used.recalls > MAX_REQUESTS || call.used.response_bytes >= MAX_RESPONSE_BYTES {
            return Err(wasmtime::Error::new(LimitHit::Recalls));
        }
        let phase = match phase {
            types::Phase::Run => Phase::Run,
            types::Phase::Compensate => Phase::Compensate,
        };
        let host = call.host.clone();
        let recorded = call
            .ask("http.recall", async move { host.recall(phase, &key).await })
            .await?;
        Ok(match recorded {
            Recorded::Never => http::Recorded::Never,
            Recorded::Open(ended_ms_ago) => http::Recorded::Open(ended_ms_ago),
            Recorded::Refused(response) => {
                call.used.answer(&response);
                http::Recorded::Refused(response_of(response))
            }
            Recorded::Answered(response) => {
                call.used.answer(&response);
                http::Recorded::Answered(response_of(response))
            }
        })
    }
}

impl Used {
    fn answer(&mut self, response: &Response) {
        let headers: usize = response
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.response_bytes = self
            .response_bytes
            .saturating_add(response.body.len())
            .saturating_add(headers);
    }
}

fn outgoing(request: http::Request) -> Outgoing {
    Outgoing {
        service: request.service,
        method: request.method,
        path: request.path,
        query: request.query,
        headers: request.headers,
        body: request.body,
        timeout_ms: request.timeout_ms,
        max_age_ms: request.max_age_ms,
        once: request.once.map(|once| Once {
            key: once.key,
            refusals: once.refusals,
        }),
    }
}

fn response_of(response: Response) -> http::Response {
    http::Response {
        status: response.status,
        headers: response.headers,
        body: response.body,
        replayed: response.replayed,
        age_ms: response.age_ms,
    }
}

fn error_of(error: FetchError) -> HttpError {
    match error {
        FetchError::Denied(what) => HttpError::Denied(what),
        FetchError::InvalidRequest(why) => HttpError::InvalidRequest(why),
        FetchError::Connect(why) => HttpError::Connect(why),
        FetchError::RateLimited(wait_ms) => HttpError::RateLimited(wait_ms),
        FetchError::Unavailable(why) => HttpError::Unavailable(why),
        FetchError::BudgetExhausted => HttpError::BudgetExhausted,
        FetchError::Interrupted(why) => HttpError::Interrupted(why),
        FetchError::Timeout => HttpError::Timeout,
        FetchError::ResponseTooLarge(bytes) => HttpError::ResponseTooLarge(bytes),
        FetchError::InDoubt => HttpError::InDoubt,
        FetchError::KeyReused => HttpError::KeyReused,
        FetchError::Cancelled => HttpError::Cancelled,
        FetchError::Fenced => HttpError::Fenced,
    }
}
