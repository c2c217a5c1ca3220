//! One round: sagas are asked for, a host dies at some moment, what was not answered is asked for again, and the next host starts.

use std::time::{Duration, Instant};

use rand::{RngExt as _, rngs::StdRng};
use tokio::{sync::oneshot, task::JoinSet};

use super::{
    asking::Asking,
    history::Listening,
    moment::{Asked, Moment},
    order::{Order, Wish},
    site::Site,
    wire::Standing,
};

/// How long a round waits for a request that may not come.
const PATIENCE: Duration = Duration::from_secs(4);
/// Sagas in flight; with more, hosts that live for so short a time would never get to the end of one.
const IN_FLIGHT: usize = 25;
/// Requests for sagas at once, when it is the accepting that is hit.
const MANY: usize = 8;

/// What was asked in this round, and may be answered or not.
struct Open {
    starts: JoinSet<(Order, Option<String>)>,
    /// With the index in `Site::accepted`.
    cancels: JoinSet<(usize, Option<bool>)>,
    /// The host that was asked has died.
    unanswered: Vec<Order>,
}

/// Who dies when.
struct Blow {
    victim: usize,
    standing: Option<Standing>,
    /// It is the moment that was meant.
    met: bool,
}

impl Site {
    pub async fn round(&mut self, rng: &mut StdRng) {
        self.replace_lost().await;
        let in_flight = self.in_flight().await;
        let has_spare = self.has_spare().await;
        let moment = self.deck.draw(rng, |moment| match moment {
            Moment::At(Asked::Snapshot | Asked::DeleteSnapshot | Asked::Destroy, _) => has_spare,
            Moment::At(Asked::Create | Asked::Tag, _)
            | Moment::Random
            | Moment::Accepting
            | Moment::Accepted => true,
        });
        let orders = self.orders(rng, moment, in_flight).await;
        let listening = Listening::to(self.any_host(rng), self.newest());
        let any = rng.random_range(0..self.hosts.len());
        let share = rng.random();
        let told = match moment {
            Moment::At(asked, point) => Some(self.wire.arm(asked, point, point.delay(share))),
            Moment::Random | Moment::Accepting | Moment::Accepted => None,
        };
        let mut open = self.ask(rng, moment, any, orders);
        let blow = self.await_moment(rng, moment, any, told, &mut open).await;
        self.hosts[blow.victim].kill();
        let died = Instant::now();
        self.wire.died(blow.victim);
        self.wire.disarm();
        if let Some(standing) = blow.standing {
            // Nobody waits for it when there was only an answer to wait for.
            let _ = standing.over.send(died);
        }
        self.deck.came(rng, moment, blow.met);
        self.histories.heard(listening).await;
        if self.hosts.len() == 1 {
            self.hosts[blow.victim].restart().await;
        }
        self.settle(open).await;
        if self.hosts.len() > 1 {
            self.hosts[blow.victim].restart().await;
        }
    }

    /// Sends everything at once; `victim` is the host that dies if it is the accepting that is hit.
    fn ask(&self, rng: &mut StdRng, moment: Moment, victim: usize, orders: Vec<Order>) -> Open {
        let mut open = Open {
            starts: JoinSet::new(),
            cancels: JoinSet::new(),
            unanswered: Vec::new(),
        };
        for order in orders {
            let host = match moment {
                Moment::Accepting | Moment::Accepted => self.asking_of(victim),
                Moment::Random | Moment::At(..) => self.any_host(rng),
            };
            open.starts.spawn(async move {
                let answer = host.start(&order).await;
                (order, answer)
            });
        }
        for (at, accepted) in self.accepted.iter().enumerate() {
            if (accepted.order.wish, accepted.cancelled) == (Wish::Cancel, None) && rng.random_bool(0.3) {
                let (host, saga) = (self.any_host(rng), accepted.saga.clone());
                open.cancels.spawn(async move { (at, host.cancel(&saga).await) });
            }
        }
        open
    }

    async fn await_moment(
        &mut self,
        rng: &mut StdRng,
        moment: Moment,
        any: usize,
        told: Option<oneshot::Receiver<Standing>>,
        open: &mut Open,
    ) -> Blow {
        let (mut victim, mut standing, mut met) = (any, None, true);
        match (moment, told) {
            (Moment::At(_, point), Some(told)) => match tokio::time::timeout(PATIENCE, told).await {
                Ok(Ok(stands)) => {
                    if point.stands() {
                        self.while_it_stands(rng, &stands, open).await;
                    }
                    victim = stands.host;
                    standing = Some(stands);
                }
                Ok(Err(_)) | Err(_) => met = false,
            },
            (Moment::Accepted, _) => {
                let first = open.starts.join_next().await.unwrap();
                met = self.started(first.unwrap(), open);
            }
            (Moment::Accepting, _) => {
                tokio::time::sleep(Duration::from_micros(rng.random_range(0..3_000))).await;
                if let Some(first) = open.starts.try_join_next() {
                    self.started(first.unwrap(), open);
                    met = false;
                }
            }
            (Moment::Random | Moment::At(..), _) => {
                // With enough to do, hosts live a little longer.
                let longest_ms = if rng.random_bool(0.8) { 600 } else { 2_000 };
                tokio::time::sleep(Duration::from_millis(rng.random_range(0..longest_ms))).await;
            }
        }
        Blow {
            victim,
            standing,
            met,
        }
    }

    /// Things go on beside it: the saga is cancelled, or another branch of it fails.
    async fn while_it_stands(&mut self, rng: &mut StdRng, standing: &Standing, open: &mut Open) {
        let dwell = Duration::from_millis(rng.random_range(100..500));
        let at_once: bool = rng.random();
        while let Some(asked) = open.starts.try_join_next() {
            self.started(asked.unwrap(), open);
        }
        let name = standing.name.as_deref();
        let mut accepted = self.accepted.iter();
        let order = accepted.position(|accepted| Some(accepted.order.name().as_str()) == name);
        match order.map(|at| (at, self.accepted[at].order.wish)) {
            Some((at, Wish::Cancel)) => {
                let host = self.any_host(rng);
                let answer = tokio::time::timeout(dwell, host.cancel(&self.accepted[at].saga)).await;
                self.accepted[at].cancel_answered(answer.ok().flatten());
            }
            Some((_, Wish::Torn)) => tokio::time::sleep(dwell).await,
            _ if at_once => {}
            _ => tokio::time::sleep(dwell).await,
        }
    }

    /// Whether it was answered.
    fn started(&mut self, (order, answer): (Order, Option<String>), open: &mut Open) -> bool {
        match answer {
            Some(saga) => {
                self.keep(order, saga);
                true
            }
            None => {
                open.unanswered.push(order);
                false
            }
        }
    }

    /// A host of this round is dead: what it hasn't answered is asked for again.
    async fn settle(&mut self, mut open: Open) {
        while let Some(cancelled) = open.cancels.join_next().await {
            let (at, answer) = cancelled.unwrap();
            self.accepted[at].cancel_answered(answer);
        }
        while let Some(asked) = open.starts.join_next().await {
            self.started(asked.unwrap(), &mut open);
        }
        for order in open.unanswered {
            let saga = self.start_anywhere(&order).await;
            self.keep(order, saga);
        }
    }

    /// What brings the moment about, and a few more.
    async fn orders(&mut self, rng: &mut StdRng, moment: Moment, in_flight: usize) -> Vec<Order> {
        let makers = [Wish::Keep, Wish::Cancel, Wish::Fail, Wish::Torn];
        let maker = makers[rng.random_range(0..makers.len())];
        let fails: bool = rng.random();
        let mut wishes = match moment {
            Moment::Random => Vec::new(),
            Moment::Accepting | Moment::Accepted => vec![Wish::Nothing; MANY],
            Moment::At(Asked::Create, _) => vec![maker],
            Moment::At(Asked::Tag, _) => vec![Wish::Tag],
            Moment::At(asked @ (Asked::Destroy | Asked::Snapshot | Asked::DeleteSnapshot), _) => {
                let spare = self.spare_droplet().await.into_iter();
                let of = |droplet| match asked {
                    Asked::Destroy => Wish::Destroy { droplet },
                    Asked::Snapshot if !fails => Wish::Snapshot { droplet },
                    _ => Wish::FailSnapshot { droplet },
                };
                spare.map(of).collect()
            }
        };
        for _ in 0..rng.random_range(1..=3).min(IN_FLIGHT.saturating_sub(in_flight)) {
            // More are kept than anything else: they are what the others need.
            let keep: bool = rng.random();
            let other = makers[rng.random_range(0..makers.len())];
            wishes.push(if keep { Wish::Keep } else { other });
        }
        let orders = wishes.into_iter().map(|wish| {
            self.orders += 1;
            Order {
                number: self.orders,
                wish,
            }
        });
        orders.collect()
    }

    /// How many sagas have not ended.
    async fn in_flight(&mut self) -> usize {
        let mut open = 0;
        for status in ["running", "compensating"] {
            let page = self.get(&format!("/v1/sagas?status={status}&limit=100")).await;
            open += page["items"].as_array().unwrap().len();
        }
        open
    }

    fn newest(&self) -> Vec<String> {
        let newest = self.accepted.iter().rev();
        let newest = newest.filter(|accepted| accepted.order.wish != Wish::Nothing);
        newest
            .take(IN_FLIGHT)
            .map(|accepted| accepted.saga.clone())
            .collect()
    }

    async fn has_spare(&mut self) -> bool {
        while let Some(&at) = self.spare.front() {
            let path = format!("/v1/sagas/{}", self.accepted[at].saga);
            match self.get(&path).await["status"].as_str() {
                Some("completed") => return true,
                Some("running") => return false,
                // It ended in doubt.
                _ => drop(self.spare.pop_front()),
            }
        }
        false
    }

    /// Of the oldest saga that has made one, and is done with it.
    async fn spare_droplet(&mut self) -> Option<i64> {
        let name = self.accepted[self.spare.pop_front()?].order.name();
        let droplets = self.control.state().await.droplets;
        let mut droplets = droplets.iter();
        let droplet = droplets.find(|droplet| droplet.name == name && droplet.live);
        droplet.map(|droplet| droplet.id)
    }

    fn any_host(&self, rng: &mut StdRng) -> Asking {
        self.asking_of(rng.random_range(0..self.hosts.len()))
    }
}
