//! The way of one request through the simulator: read, admitted, delayed, held, carried out, held again, answered or cut.
//! When the client goes away, hyper drops this future: whatever had not happened yet doesn't happen.

use std::{collections::BTreeMap, time::Duration};

use axum::extract::Query;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{Request, Response, header};

use super::{
    fault::{Ending, Point},
    journal::Outcome,
    provider::{Admission, Inbound, Performed, Provider},
    reply::{Body, Reply},
};

/// No request of this API comes near it.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The connection ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    #[error("connection reset on purpose")]
    Reset,
    #[error("connection closed on purpose")]
    Close,
}

/// Writes into the journal how a request ended, also when its future is dropped.
struct Ticket<'a> {
    provider: &'a Provider,
    seq: u64,
    outcome: Outcome,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.provider.close(self.seq, self.outcome);
    }
}

/// Takes a request through. Whether its client has gone is asked right before the effect, under the world's lock.
///
/// # Errors
/// The connection is to be cut, on purpose or because the client has gone.
pub(super) async fn pass<B>(
    provider: &Provider,
    client_has_gone: impl FnOnce() -> bool,
    request: Request<B>,
) -> Result<Response<Body>, Cut>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let inbound = read(request).await?;
    let mut admission = provider.admit(&inbound);
    let mut ticket = Ticket {
        provider,
        seq: admission.seq,
        outcome: Outcome::ClientGone,
    };
    sleep(admission.harm.delay_before_ms).await;
    stand_still(&mut admission, Point::BeforeEffect).await;

    let performed = provider.perform(&inbound, &admission, client_has_gone);
    let (truth, ending) = match performed {
        Performed::Answered(answer) => {
            let truth = Reply::of(answer, &admission);
            (Some(truth), admission.harm.ending_at(Point::AfterEffect))
        }
        Performed::Ended(ending) => (None, Some(ending)),
        Performed::Abandoned => return Err(Cut::Close),
    };
    stand_still(&mut admission, Point::AfterEffect).await;
    sleep(admission.harm.delay_after_ms).await;

    let reply = match (ending, truth) {
        (Some(Ending::Answer(fault)), truth) => Reply::of_fault(&fault, truth, &admission),
        (Some(Ending::Reset), _) => {
            ticket.outcome = Outcome::Dropped;
            return Err(Cut::Reset);
        }
        (Some(Ending::Close) | None, None) | (Some(Ending::Close), Some(_)) => {
            ticket.outcome = Outcome::Dropped;
            return Err(Cut::Close);
        }
        (None, Some(truth)) => truth,
    };
    ticket.outcome = Outcome::Answered {
        status: reply.status(),
    };
    Ok(finish(reply, &admission))
}

fn finish(mut reply: Reply, admission: &Admission) -> Response<Body> {
    if let Some(strange) = &admission.harm.strange {
        reply.make_strange(strange);
    }
    reply.into_response(admission)
}

async fn read<B>(request: Request<B>) -> Result<Inbound, Cut>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
    let body = body.map_err(|_| Cut::Close)?.to_bytes();
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = header(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned())
    });
    let query = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri);
    Ok(Inbound {
        method: parts.method.as_str().to_owned(),
        path: without_slash(parts.uri.path()).to_owned(),
        query: query.map(|Query(query)| query).unwrap_or_default(),
        host: header(header::HOST).unwrap_or_default().to_owned(),
        bearer,
        body,
    })
}

/// A slash at the end means nothing to the provider, and some clients write one.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

async fn sleep(delay_ms: u64) {
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
}

async fn stand_still(admission: &mut Admission, point: Point) {
    let grips = std::mem::take(&mut admission.grips);
    let (now, later): (Vec<_>, Vec<_>) = grips.into_iter().partition(|(at, _)| *at == point);
    admission.grips = later;
    for (_, grip) in now {
        grip.wait().await;
    }
}
