//! Requests that may change something: journaled, sent at most once, read to their end.

use std::sync::{Arc, Mutex};

use tokio::{sync::oneshot, time};
use uuid::{ContextV7, Timestamp, Uuid};

use super::{
    FetchError, Identity, Journal, Response,
    credential::Credential,
    exchange::{Ending, exchange},
    judge::{FORBIDDEN, judge},
    leave::NotGiven,
    open::{OpenExchanges, OpenGuard},
    record::replayed,
    redact::redacted_body,
    service::{Prepared, Service},
    slot::Slot,
};
use crate::saga::{Answer, Intent, RecordState};

pub(super) async fn fetch(
    service: &Arc<Service>,
    open: &OpenExchanges,
    journal: Arc<dyn Journal>,
    prepared: Prepared,
    identity: &Identity,
) -> Result<Response, FetchError> {
    let request_hash = service.request_hash(&prepared);
    if let Some(response) = earlier(&*journal, &prepared, &request_hash).await? {
        return Ok(response);
    }
    let credential = service.credentials.now();
    let request = service.outgoing(&prepared, &credential)?;
    // Before the intent: a record of something that couldn't be sent would only have to be taken back.
    let slot = service.slot(journal.owner())?;
    let timeout = prepared.timeout;
    let (tell, told) = oneshot::channel();
    let sending = Sending {
        service: Arc::clone(service),
        intent: intent(service, &*journal, &prepared, request_hash, identity, &credential),
        open: open.enter(journal.owner()),
        journal,
        prepared,
        request,
        credential,
        slot,
    };
    service.handle.spawn(sending.send(tell));
    match time::timeout(timeout, told).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(FetchError::Interrupted("the exchange was cut off".to_owned())),
        Err(_) => Err(FetchError::Timeout),
    }
}

/// What the journal knows about this `once` key: an answer to replay, nothing (so it may be sent), or why not.
async fn earlier(
    journal: &dyn Journal,
    prepared: &Prepared,
    request_hash: &str,
) -> Result<Option<Response>, FetchError> {
    let Some(once) = &prepared.asked.once else {
        return Ok(None);
    };
    let (_, _, phase) = journal.owner();
    let Some(record) = journal.latest(phase, &once.key).await? else {
        return Ok(None);
    };
    match record.state {
        RecordState::Open { .. } => Err(FetchError::InDoubt),
        RecordState::Answered { .. } if record.intent.request_hash != request_hash => {
            Err(FetchError::KeyReused)
        }
        RecordState::Answered { response, at_ms, .. } => {
            Ok(Some(replayed(&response, at_ms, journal.now_ms())))
        }
        RecordState::Refused { .. } | RecordState::Unsent { .. } => Ok(None),
    }
}

fn intent(
    service: &Service,
    journal: &dyn Journal,
    prepared: &Prepared,
    request_hash: String,
    identity: &Identity,
    credential: &Credential,
) -> Intent {
    let (saga, step, phase) = journal.owner();
    let at_ms = journal.now_ms();
    let redacted = prepared.asked.body.as_deref().map(redacted_body);
    Intent {
        id: id_at(at_ms),
        saga,
        step,
        phase,
        once_key: prepared.asked.once.as_ref().map(|once| once.key.clone()),
        service: service.name.clone(),
        identity: Some(identity.as_str().to_owned()),
        method: prepared.target.method.to_owned(),
        path: prepared.target.path.clone(),
        request_hash,
        redacted_body: match &credential.secret {
            Some(secret) => redacted.map(|text| secret.scrub_text(text)),
            None => redacted,
        },
        at_ms,
    }
}

struct Sending {
    service: Arc<Service>,
    journal: Arc<dyn Journal>,
    prepared: Prepared,
    request: reqwest::Request,
    credential: Arc<Credential>,
    intent: Intent,
    slot: Slot,
    open: OpenGuard,
}

impl Sending {
    /// Intent, exchange, answer: each durable before the next. The guest hears of it last.
    async fn send(self, tell: oneshot::Sender<Result<Response, FetchError>>) {
        let Sending {
            service,
            journal,
            prepared,
            request,
            credential,
            intent,
            slot,
            open,
        } = self;
        let id = intent.id;
        let (saga, _, _) = journal.owner();
        if let Err(refused) = journal.intend(intent).await {
            slot.release();
            // Nobody may be waiting any more.
            let _ = tell.send(Err(refused.into()));
            return;
        }
        // The guest was cut off before anything left: then nothing leaves. Its next call under the same key finds it so.
        let ending = if tell.is_closed() {
            Ending::Unsent("the call was cut off".to_owned())
        } else if !service.leave.is_given() {
            Ending::Unsent(NotGiven.to_string())
        } else if let Err(paused) = service.gate.check(&service.name) {
            Ending::Unsent(paused.to_string())
        } else {
            let clock = Arc::clone(&service);
            let _change = service.shared.change(saga, move || clock.now_ms());
            exchange(
                &*service.transport,
                request,
                service.exchange_limit,
                credential.secret.as_ref(),
            )
            .await
        };
        log(&service, &prepared, id, &ending);
        let forbidden = ending.head().is_some_and(|head| head.status == 403);
        slot.close(&ending, journal.now_ms());
        let (verdict, result) = judge(prepared.asked.once.as_ref(), ending);
        let at_ms = journal.now_ms();
        journal
            .answer(Answer {
                intent: id,
                verdict,
                at_ms,
            })
            .await;
        drop(open);
        // What was answered is recorded as it is; only the step waits until the service can be used.
        let result = if forbidden && service.refuses_everything(journal.now_ms()).await {
            Err(FetchError::Unavailable(FORBIDDEN.to_owned()))
        } else {
            result
        };
        let _ = tell.send(result);
    }
}

/// Ids of one process sort by when they were made, even within a millisecond.
fn id_at(at_ms: i64) -> Uuid {
    static ORDER: Mutex<ContextV7> = Mutex::new(ContextV7::new());
    let at_ms = u64::try_from(at_ms).unwrap_or(0);
    let nanoseconds = u32::try_from(at_ms % 1_000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(&ORDER, at_ms / 1_000, nanoseconds))
}

fn log(service: &Service, prepared: &Prepared, intent: Uuid, ending: &Ending) {
    let (service, method, path) = (&service.name, prepared.target.method, &prepared.target.path);
    match ending {
        Ending::Answered(head) if head.status != 401 => {
            tracing::debug!(service, method, path, %intent, status = head.status, "answered");
        }
        Ending::Answered(head) => {
            tracing::warn!(service, method, path, %intent, status = head.status, "the credential is refused");
        }
        Ending::TooLarge(head) => {
            tracing::warn!(service, method, path, %intent, status = head.status, "the answer is too large");
        }
        Ending::Cut(head, reason) => {
            tracing::warn!(service, method, path, %intent, status = head.status, reason, "the answer was cut off");
        }
        Ending::Unsent(reason) => tracing::debug!(service, method, path, %intent, reason, "nothing was sent"),
        Ending::Lost(reason) => tracing::warn!(service, method, path, %intent, reason, "no answer"),
        Ending::TimedOut => tracing::warn!(service, method, path, %intent, "no answer in time"),
    }
}
