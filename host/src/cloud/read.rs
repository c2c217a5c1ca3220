//! Requests that change nothing: not journaled, and shared between calls where these accept it.

use std::sync::Arc;

use tokio::{sync::oneshot, time::Instant};

use super::{
    FetchError, Journal, Response,
    exchange::{Ending, WireAnswer, exchange},
    judge::{FORBIDDEN, judge_read, response_of},
    leave::NotGiven,
    service::{Prepared, Service},
    shared::{Lead, Lookup, Question},
};
use crate::saga::id::hash_of;

pub(super) async fn fetch(
    service: &Arc<Service>,
    journal: Arc<dyn Journal>,
    prepared: Prepared,
) -> Result<Response, FetchError> {
    let deadline = Instant::now() + prepared.timeout;
    let work = async {
        match prepared.asked.max_age_ms {
            None => ask(service, &journal, &prepared, None)
                .await
                .map(|answer| response_of(answer, 0)),
            Some(max_age_ms) => shared(service, &journal, &prepared, max_age_ms).await,
        }
    };
    tokio::time::timeout_at(deadline, work)
        .await
        .unwrap_or(Err(FetchError::Timeout))
}

async fn shared(
    service: &Arc<Service>,
    journal: &Arc<dyn Journal>,
    prepared: &Prepared,
    max_age_ms: u32,
) -> Result<Response, FetchError> {
    let (saga, _, _) = journal.owner();
    let question = question(prepared);
    loop {
        match service
            .shared
            .lookup(question, saga, max_age_ms, service.now_ms())
        {
            Lookup::Hit(held) => {
                let age_ms = service.now_ms() - held.arrived_ms;
                return Ok(response_of(
                    held.answer.clone(),
                    u64::try_from(age_ms).unwrap_or(0),
                ));
            }
            Lookup::Join(mut answer) => {
                // An error: whoever asked has failed, so ask oneself.
                if answer.changed().await.is_ok() {
                    let arrived = answer.borrow_and_update().clone();
                    if let Some(arrived) = arrived
                        && service.shared.suits(saga, &arrived)
                    {
                        let age_ms = service.now_ms() - arrived.arrived_ms;
                        return Ok(response_of(
                            arrived.answer.clone(),
                            u64::try_from(age_ms).unwrap_or(0),
                        ));
                    }
                }
            }
            Lookup::Lead(lead) => {
                let answer = ask(service, journal, prepared, Some(lead)).await?;
                return Ok(response_of(answer, 0));
            }
        }
    }
}

/// Sends it in a task of the host: those who joined must not lose their answer when the call that asked is cut off.
async fn ask(
    service: &Arc<Service>,
    journal: &Arc<dyn Journal>,
    prepared: &Prepared,
    lead: Option<Lead>,
) -> Result<WireAnswer, FetchError> {
    let credential = service.credentials.now();
    let request = service.outgoing(prepared, &credential)?;
    let slot = service.slot(journal.owner())?;
    let limit = prepared.timeout.min(service.exchange_limit);
    let (tell, told) = oneshot::channel();
    let service = Arc::clone(service);
    let journal = Arc::clone(journal);
    let (method, path) = (prepared.target.method, prepared.target.path.clone());
    service.handle.clone().spawn(async move {
        let ending = match service.gate.check(&service.name) {
            Ok(()) if !service.leave.is_given() => Ending::Unsent(NotGiven.to_string()),
            Ok(()) => exchange(&*service.transport, request, limit, credential.secret.as_ref()).await,
            Err(paused) => Ending::Unsent(paused.to_string()),
        };
        tracing::debug!(
            service = service.name,
            method,
            path,
            status = ending.head().map(|head| head.status),
            "read"
        );
        let forbidden = ending.head().is_some_and(|head| head.status == 403);
        slot.close(&ending, journal.now_ms());
        let result = if forbidden && service.refuses_everything(journal.now_ms()).await {
            Err(FetchError::Unavailable(FORBIDDEN.to_owned()))
        } else {
            judge_read(ending).map(|answer| match lead {
                Some(lead) => lead.finish(answer, service.now_ms()).answer.clone(),
                None => answer,
            })
        };
        // Nobody may be waiting any more.
        let _ = tell.send(result);
    });
    told.await
        .unwrap_or_else(|_| Err(FetchError::Interrupted("the exchange was cut off".to_owned())))
}

/// What makes two GETs the same: everything that the answer may depend on.
fn question(prepared: &Prepared) -> Question {
    let mut parts: Vec<&[u8]> = vec![prepared.target.path.as_bytes(), prepared.query().as_bytes()];
    for (name, value) in &prepared.asked.headers {
        parts.push(name.as_bytes());
        parts.push(value.as_bytes());
    }
    hash_of(&parts)
}
