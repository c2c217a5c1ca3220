//! A machine: one host after another on it, its own lines to the database and to the cloud, and the troubles that it has.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rand::{RngExt as _, rngs::StdRng};

use super::super::{
    line::{Delays, Line},
    nodes::{LEASE, Place, address_of, by},
};
use crate::support::host::Host;

pub struct Machine {
    pub host: Host,
    pub to_cloud: Line,
    to_database: Line,
    /// The hosts that ran here, each from when on.
    pub lives: Vec<(i64, String)>,
    cure_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    Killed,
    AskedToEnd,
    Stopped(Duration),
    DatabaseCut(Duration),
    DatabaseSlow(Duration, Duration),
    CloudCut(Duration),
    CloudSlow(Duration, Duration),
}

impl Trouble {
    pub fn any(rng: &mut StdRng) -> Trouble {
        let lease_ms = u64::try_from(LEASE.as_millis()).unwrap();
        let mut ms = |from: u64, to: u64| Duration::from_millis(rng.random_range(from..to));
        // Past the lease, or not.
        let (short, long) = (ms(50, lease_ms / 2), ms(lease_ms, lease_ms * 2));
        let (delay, while_slow) = (ms(10, 300), ms(500, lease_ms));
        match rng.random_range(0..12) {
            0..3 => Trouble::Killed,
            3 => Trouble::AskedToEnd,
            4 => Trouble::Stopped(short),
            5..7 => Trouble::Stopped(long),
            7 => Trouble::DatabaseCut(if rng.random() { short } else { long }),
            8 => Trouble::DatabaseSlow(delay, while_slow),
            9 => Trouble::DatabaseSlow(delay * 4, long),
            10 => Trouble::CloudCut(short),
            _ => Trouble::CloudSlow(delay, while_slow),
        }
    }
}

impl Machine {
    pub async fn start(place: &mut Place) -> Machine {
        let cloud = place.simulator.api_url();
        let (to_database, to_cloud) = (
            Line::to(address_of(&place.database)),
            Line::to(address_of(&cloud)),
        );
        let (database, cloud) = (by(&place.database, &to_database), by(&cloud, &to_cloud));
        let from_ms = Timestamp::now().as_millisecond();
        let mut machine = Machine {
            host: place.host_by(&database, &cloud).await,
            to_cloud,
            to_database,
            lives: Vec::new(),
            cure_at: None,
        };
        machine.lives(from_ms).await;
        machine
    }

    /// The one that runs here now.
    async fn lives(&mut self, from_ms: i64) {
        let hosts = self.host.get("/v1/hosts").await;
        let mut hosts = hosts["items"].as_array().unwrap().iter();
        let this = hosts.find(|host| host["this"] == true).unwrap();
        self.lives
            .push((from_ms, this["id"].as_str().unwrap().to_owned()));
    }

    /// The host that sent something then.
    pub fn host_at(&self, at_ms: i64) -> String {
        let lives = self.lives.iter().rev();
        let mut before = lives.filter(|(from_ms, _)| *from_ms <= at_ms);
        before
            .next()
            .expect("nothing is sent before the first life")
            .1
            .clone()
    }

    pub fn is_well(&self) -> bool {
        self.cure_at.is_none()
    }

    pub async fn suffer(&mut self, trouble: Trouble) {
        let cure_after = match trouble {
            Trouble::Killed => {
                self.restart().await;
                return;
            }
            Trouble::AskedToEnd => {
                self.host.signal("TERM");
                return;
            }
            Trouble::Stopped(still) => {
                self.host.signal("STOP");
                still
            }
            Trouble::DatabaseCut(cut) => {
                self.to_database.cut();
                cut
            }
            Trouble::DatabaseSlow(delay, slow) => {
                self.to_database.slow(Delays::each_way(delay));
                slow
            }
            Trouble::CloudCut(cut) => {
                self.to_cloud.cut();
                cut
            }
            Trouble::CloudSlow(delay, slow) => {
                self.to_cloud.slow(Delays::each_way(delay));
                slow
            }
        };
        self.cure_at = Some(Instant::now() + cure_after);
    }

    /// Ends a trouble that has lasted long enough, and starts what has ended.
    pub async fn look_after(&mut self) {
        if self.host.has_ended() {
            self.restart().await;
        } else if self.cure_at.is_some_and(|at| at <= Instant::now()) {
            self.cure();
        }
    }

    pub fn cure(&mut self) {
        self.cure_at = None;
        self.to_database.mend();
        self.to_cloud.mend();
        if !self.host.has_ended() {
            self.host.signal("CONT");
        }
    }

    async fn restart(&mut self) {
        self.host.kill();
        self.cure_at = None;
        self.to_database.mend();
        self.to_cloud.mend();
        let from_ms = Timestamp::now().as_millisecond();
        self.host.restart().await;
        self.lives(from_ms).await;
    }
}
