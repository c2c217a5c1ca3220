//! One simulator for the whole run, and host after host on one database: each a process of the real binary.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use arcadia::simulator::{Options, Rules, Simulator, Token};
use serde_json::{Value, json};

use super::{
    asking::Asking,
    history::Histories,
    moment::Deck,
    order::{Order, Wish},
    wire::{self, Wire},
};
use crate::support::{host::Host, simulator::Control};

const SCRIPTED: &[u8] = include_bytes!("../../steps-wasm/examples/components/scripted.wasm");
/// How long whoever asks goes on asking before that is an error.
const ANSWERS_IN: Duration = Duration::from_secs(60);
/// How long all sagas may take to come to rest once nobody is killed any more.
const RESTS_IN: Duration = Duration::from_secs(120);

/// Where the hosts keep their sagas.
#[derive(Debug, Clone)]
pub enum Database {
    /// In the folder of the one host.
    Folder,
    /// Two hosts share it.
    Postgres(String),
}

/// A saga that a host has said it has accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub order: Order,
    pub saga: String,
    /// Whether a cancel was answered 200, once one was answered.
    pub cancelled: Option<bool>,
}

impl Accepted {
    /// Asked twice, it may have been in time only once.
    pub fn cancel_answered(&mut self, answer: Option<bool>) {
        if let Some(in_time) = answer {
            self.cancelled = Some(in_time || self.cancelled == Some(true));
        }
    }
}

pub struct Site {
    pub control: Control,
    pub wire: Wire,
    pub accepted: Vec<Accepted>,
    pub histories: Histories,
    pub deck: Deck,
    /// Hosts that ended by themselves, as one has to that couldn't keep its lease on a busy machine.
    pub leases_lost: usize,
    pub hosts: Vec<Host>,
    /// Of all hosts.
    token: String,
    http: reqwest::Client,
    /// Sagas whose droplet nothing is asked about yet, oldest first: index in `accepted`.
    pub spare: VecDeque<usize>,
    pub orders: usize,
    _simulator: Simulator,
}

impl Site {
    pub async fn open(database: &Database) -> Site {
        let (hosts, arguments): (usize, Vec<String>) = match database {
            Database::Folder => (1, Vec::new()),
            Database::Postgres(url) => {
                let arguments = ["--database", url, "--lease-ms", "2000", "--heartbeat-ms", "400"];
                (2, arguments.map(str::to_owned).into())
            }
        };
        let rules = json!({
            "tokens": (0..hosts).map(|host| Token::full(&wire::credential(host))).collect::<Vec<_>>(),
            "activation_ms": 200, "delete_ms": 100, "snapshot_ms": 200,
            // Who sends again what a look doesn't find at once makes a second one.
            "lag": { "list_ms": 700, "tag_ms": 700, "name_ms": 700, "get_ms": 0 },
            "rate_per_minute": 1_000_000, "rate_per_hour": 10_000_000, "droplet_limit": 100_000,
        });
        let rules: Rules = serde_json::from_value(rules).unwrap();
        let simulator = Simulator::start(Options {
            rules,
            ..Options::default()
        })
        .await
        .unwrap();
        let wire = Wire::to(simulator.api_url(), hosts).await;
        let mut started: Vec<Host> = Vec::new();
        for number in 0..hosts {
            let token = started.first().map(Host::token);
            let host = Host::start_as(&wire::credential(number), &wire.url, &arguments, token).await;
            if number == 0 {
                host.upload(SCRIPTED).await;
            }
            started.push(host);
        }
        Site {
            control: Control::of(&simulator),
            wire,
            accepted: Vec::new(),
            histories: Histories::default(),
            deck: Deck::default(),
            leases_lost: 0,
            token: started[0].token(),
            http: crate::support::http::client(),
            hosts: started,
            spare: VecDeque::new(),
            orders: 0,
            _simulator: simulator,
        }
    }

    /// Hosts that have lost their lease have ended, and say so.
    pub async fn replace_lost(&mut self) {
        let alone = self.hosts.len() == 1;
        for (number, host) in self.hosts.iter_mut().enumerate() {
            if !host.has_ended() {
                continue;
            }
            let code = host.ends_within(Duration::ZERO).await;
            assert!(
                code == Some(8) && !alone,
                "host {number} ended by itself, with {code:?}: {}",
                host.log()
            );
            self.leases_lost += 1;
            self.wire.died(number);
            host.restart().await;
        }
    }

    /// Every cancel is answered.
    async fn cancel_rest(&mut self) {
        for at in 0..self.accepted.len() {
            while (self.accepted[at].order.wish, self.accepted[at].cancelled) == (Wish::Cancel, None) {
                let answer = self.asking_of(0).cancel(&self.accepted[at].saga).await;
                self.accepted[at].cancel_answered(answer);
            }
        }
    }

    /// Asks one host after the other until it is answered.
    pub async fn start_anywhere(&mut self, order: &Order) -> String {
        let deadline = Instant::now() + ANSWERS_IN;
        loop {
            for host in 0..self.hosts.len() {
                if let Some(saga) = self.asking_of(host).start(order).await {
                    return saga;
                }
            }
            assert!(
                Instant::now() < deadline,
                "nobody accepts {order:?}: {}",
                self.log_tail()
            );
            self.replace_lost().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn keep(&mut self, order: Order, saga: String) {
        if order.wish == Wish::Keep {
            self.spare.push_back(self.accepted.len());
        }
        self.accepted.push(Accepted {
            order,
            saga,
            cancelled: None,
        });
    }

    pub fn asking_of(&self, host: usize) -> Asking {
        Asking {
            http: self.http.clone(),
            url: self.hosts[host].url().to_owned(),
            token: self.token.clone(),
        }
    }

    /// From whichever host answers.
    pub async fn get(&mut self, path: &str) -> Value {
        let deadline = Instant::now() + ANSWERS_IN;
        loop {
            for host in 0..self.hosts.len() {
                if let Some(body) = self.asking_of(host).get(path).await {
                    return body;
                }
            }
            assert!(
                Instant::now() < deadline,
                "nobody answers GET {path}: {}",
                self.log_tail()
            );
            self.replace_lost().await;
        }
    }

    /// All pages of a list; `path` has a query already.
    pub async fn list(&mut self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = path.to_owned();
        loop {
            let mut page = self.get(&next).await;
            items.append(page["items"].as_array_mut().unwrap());
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("{path}&cursor={cursor}"),
                None => return items,
            }
        }
    }

    /// The newest lines of all hosts.
    pub fn log_tail(&self) -> String {
        let tail = |host: &Host| {
            let log = host.log();
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(100)..].join("\n")
        };
        let tails: Vec<String> = self.hosts.iter().map(tail).collect();
        tails.join("\n---\n")
    }

    pub fn has_panicked(&self) -> bool {
        self.hosts.iter().any(|host| host.log().contains("panicked"))
    }

    /// Nobody is killed any more: waits until every saga rests.
    pub async fn come_to_rest(&mut self) {
        self.cancel_rest().await;
        let deadline = Instant::now() + RESTS_IN;
        for at in 0..self.accepted.len() {
            let saga = self.accepted[at].saga.clone();
            loop {
                let row = self.get(&format!("/v1/sagas/{saga}")).await;
                match row["status"].as_str() {
                    Some("running" | "compensating") => {}
                    Some("needs-attention") if self.is_in_crash_loop(&saga).await => {
                        // Unanswered, it is asked again.
                        let _ = self.asking_of(0).retry(&saga).await;
                    }
                    _ => break,
                }
                assert!(
                    Instant::now() < deadline,
                    "{saga} doesn't come to rest: {row}\n{}",
                    self.log_tail()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn is_in_crash_loop(&mut self, saga: &str) -> bool {
        let findings = self.list(&format!("/v1/findings?saga={saga}&limit=200")).await;
        !findings.is_empty() && findings.iter().all(|finding| finding["code"] == "crash-loop")
    }

    /// Asks for everything once more.
    pub async fn ask_again(&mut self) -> Vec<(usize, String)> {
        let mut again = Vec::new();
        for accepted in self.accepted.clone() {
            let saga = self.start_anywhere(&accepted.order).await;
            again.push((accepted.order.number, saga));
        }
        again
    }
}
