//! Whose account a service reaches: read and shown before the first saga is accepted.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    cloud::{FetchError, Identity, IntentRefused, Journal, Outgoing, ServiceConfig, Services},
    saga::{Answer, Intent, JournalRecord, Phase, SagaId, StepIndex},
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub droplet_limit: u64,
    pub email: String,
    pub status: String,
}

/// The account that a token belongs to, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RealAccount {
    Known(Account),
    Unreadable { unreadable: String },
}

impl RealAccount {
    /// Asks the provider, for at most ten seconds.
    pub async fn read(services: &Services, config: &ServiceConfig) -> RealAccount {
        match ask(services, config).await {
            Ok(account) => RealAccount::Known(account),
            Err(unreadable) => RealAccount::Unreadable { unreadable },
        }
    }
}

impl fmt::Display for RealAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RealAccount::Known(Account {
                droplet_limit,
                email,
                status,
            }) => write!(
                f,
                "steps use the REAL DigitalOcean account of {email} ({status}, at most {droplet_limit} droplets)"
            ),
            RealAccount::Unreadable { unreadable } => {
                write!(
                    f,
                    "steps use a REAL DigitalOcean account, which can't be read now: {unreadable}"
                )
            }
        }
    }
}

async fn ask(services: &Services, config: &ServiceConfig) -> Result<Account, String> {
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
        .map_err(|error| error.to_string())?;
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

    async fn admits(&self, _: &str, _: &Identity) -> Result<(), FetchError> {
        Ok(())
    }

    async fn intend(&self, _: Intent) -> Result<(), IntentRefused> {
        Err(IntentRefused::Unavailable("only reads are allowed here".into()))
    }

    async fn answer(&self, _: Answer) {}

    async fn latest(&self, _: Phase, _: &str) -> Result<Option<JournalRecord>, IntentRefused> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::server::digitalocean_at,
        simulator::{Options, Rules, Simulator, Token},
    };

    async fn account_with(token: &str) -> String {
        let rules = Rules {
            tokens: vec![Token::full("right"), Token::scoped("narrow", &["droplet:read"])],
            droplet_limit: 25,
            ..Rules::default()
        };
        let options = Options {
            rules,
            ..Options::default()
        };
        let simulator = Simulator::start(options).await.unwrap();
        let config = digitalocean_at(&simulator.api_url(), token);
        let services = Services::new(vec![config.clone()]).unwrap();
        RealAccount::read(&services, &config).await.to_string()
    }

    #[tokio::test]
    async fn the_account_and_its_limit_are_read() {
        let told = account_with("right").await;
        assert!(told.contains("(active, at most 25 droplets)"), "{told}");
    }

    #[tokio::test]
    async fn a_refused_token_and_a_narrow_one_are_told_apart() {
        let wrong = account_with("wrong").await;
        assert!(
            wrong.contains("can't be read now") && wrong.contains("401"),
            "{wrong}"
        );
        let narrow = account_with("narrow").await;
        assert!(narrow.contains("is answered 403"), "{narrow}");
    }
}
