//! Whose account a service reaches: read and shown before the first saga is accepted.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    cloud::{FetchError, IntentRefused, Journal, Outgoing, ServiceConfig, Services},
    saga::{Answer, Intent, JournalRecord, Phase, SagaId, StepIndex},
};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    pub droplet_limit: u64,
    pub email: String,
    pub status: String,
}

/// Asks DigitalOcean who the token belongs to. `Err`: why it can't be said, for people.
pub async fn read(services: &Services, config: &ServiceConfig) -> Result<Account, String> {
    #[derive(Deserialize)]
    struct Body {
        account: Account,
    }
    let request = Outgoing {
        service: config.name.clone(),
        method: "GET".into(),
        path: "/v2/account".into(),
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
        timeout_ms: Some(10_000),
        max_age_ms: None,
        once: None,
    };
    let answer = services
        .fetch(&config.allow, Arc::new(ReadOnly), request)
        .await
        .map_err(|error: FetchError| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("GET /v2/account is answered {}", answer.status));
    }
    let body: Body = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("GET /v2/account has an unexpected answer: {error}"))?;
    Ok(body.account)
}

/// Nothing of a saga: reads are not journaled, and anything else is refused.
struct ReadOnly;

#[async_trait]
impl Journal for ReadOnly {
    fn now_ms(&self) -> i64 {
        Timestamp::now().as_millisecond()
    }

    fn owner(&self) -> (SagaId, StepIndex, Phase) {
        (SagaId(Uuid::nil()), 0, Phase::Run)
    }

    async fn intend(&self, _: Intent) -> Result<(), IntentRefused> {
        Err(IntentRefused::Unavailable("only reads are allowed here".into()))
    }

    async fn answer(&self, _: Answer) {}

    async fn latest(&self, _: Phase, _: &str) -> Result<Option<JournalRecord>, IntentRefused> {
        Ok(None)
    }
}
