//! What every handler shares: the engine, the tokens, and the limits on what is done at once.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::{
    headers::Wait,
    problem::{Code, Problem},
};
use crate::{
    engine::{Engine, Standing, Store, StoreError, tokens::Tokens},
    saga::SagaId,
};

/// Most requests that are worked on at once; more are told to come back.
pub const MAX_REQUESTS: usize = 1_024;
/// Most of them that wait for a saga; more are answered at once, without waiting.
pub const MAX_WAITS: usize = 512;
/// Most streams that are open at once; more are told to come back.
pub const MAX_STREAMS: usize = 256;
/// Most uploads at once, each of which holds its component in memory; more wait.
pub const MAX_UPLOADS: usize = 2;

#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

struct Inner {
    engine: Arc<Engine>,
    tokens: Arc<Tokens>,
    replaces: bool,
    requests: Semaphore,
    waits: Semaphore,
    streams: Arc<Semaphore>,
    uploads: Semaphore,
    closing: CancellationToken,
}

impl ApiState {
    /// `replaces`: a version may come again with other bytes, which only development wants.
    pub fn new(engine: Arc<Engine>, tokens: Arc<Tokens>, replaces: bool) -> ApiState {
        ApiState(Arc::new(Inner {
            engine,
            tokens,
            replaces,
            requests: Semaphore::new(MAX_REQUESTS),
            waits: Semaphore::new(MAX_WAITS),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            uploads: Semaphore::new(MAX_UPLOADS),
            closing: CancellationToken::new(),
        }))
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.0.engine.store().as_ref()
    }

    pub(super) fn tokens(&self) -> &Arc<Tokens> {
        &self.0.tokens
    }

    pub(super) fn replaces(&self) -> bool {
        self.0.replaces
    }

    /// The server ends: nobody waits any longer.
    pub(super) fn close(&self) {
        self.0.closing.cancel();
    }

    pub(super) fn request_permit(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.0.requests.try_acquire().map_err(|_| {
            let detail = format!("{MAX_REQUESTS} requests are being worked on; nothing was done, ask again");
            Problem::new(Code::Overloaded, detail).retry_after(1)
        })
    }

    /// Comes true when the server ends.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    pub(super) fn stream_permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.0.streams.clone().try_acquire_owned().map_err(|_| {
            let detail = format!("{MAX_STREAMS} streams are open; close one, or ask again");
            Problem::new(Code::Overloaded, detail).retry_after(5)
        })
    }

    pub(super) async fn upload_permit(&self, within: Duration) -> Result<SemaphorePermit<'_>, Problem> {
        let permit = tokio::time::timeout(within, self.0.uploads.acquire()).await;
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                let detail = format!("{MAX_UPLOADS} uploads are being taken; nothing was done, ask again");
                Err(Problem::new(Code::Overloaded, detail).retry_after(5))
            }
        }
    }

    /// How far the saga is once its revision differs from `revision` (`None`: once it rests), or now when the time is up,
    /// the server ends, or too many wait already: then `wait` says that nobody waited.
    pub(super) async fn wait(
        &self,
        saga: SagaId,
        revision: Option<u64>,
        wait: &mut Wait,
    ) -> Result<Option<Standing>, StoreError> {
        let now = || self.0.engine.standing(saga, None, Duration::ZERO);
        let Some(time) = wait.0 else {
            return now().await;
        };
        let Ok(_permit) = self.0.waits.try_acquire() else {
            wait.0 = None;
            return now().await;
        };
        tokio::select! {
            standing = self.0.engine.standing(saga, revision, time) => standing,
            () = self.0.closing.cancelled() => now().await,
        }
    }
}
