//! When a host is killed.

use std::{collections::BTreeMap, fmt, time::Duration};

use rand::{RngExt as _, rngs::StdRng, seq::SliceRandom as _};

/// A request that may change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    Create,
    Destroy,
    Snapshot,
    DeleteSnapshot,
    Tag,
}

/// Where on its way that request is when its host dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// It has left the host, and never arrives.
    Leaving,
    /// It has left the host, and arrives when that is dead.
    Late,
    /// It has had its effect, and its answer never arrives.
    Effected,
    /// Its answer has just arrived at the host.
    Answered,
    /// The step that sent it has heard its answer, and asks for more: that stands.
    Followed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    Random,
    /// Requests for new sagas are with it, and none is answered.
    Accepting,
    /// It has just answered the first of many requests for new sagas.
    Accepted,
    At(Asked, Point),
}

impl Asked {
    pub const ALL: [Asked; 5] = [
        Asked::Create,
        Asked::Destroy,
        Asked::Snapshot,
        Asked::DeleteSnapshot,
        Asked::Tag,
    ];

    /// `None`: the request changes nothing.
    pub fn of(method: &str, path: &str) -> Option<Asked> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method, &parts[..]) {
            ("POST", ["v2", "droplets"]) => Some(Asked::Create),
            ("DELETE", ["v2", "droplets", _]) => Some(Asked::Destroy),
            ("POST", ["v2", "droplets", _, "actions"]) => Some(Asked::Snapshot),
            ("DELETE", ["v2", "snapshots", _]) => Some(Asked::DeleteSnapshot),
            ("POST", ["v2", "tags"]) => Some(Asked::Tag),
            ("GET", _) => None,
            (method, _) => panic!("no step sends {method} {path}"),
        }
    }
}

impl Point {
    /// The request stands still until its host is dead.
    pub fn stands(self) -> bool {
        match self {
            Point::Leaving | Point::Late | Point::Effected | Point::Followed => true,
            Point::Answered => false,
        }
    }

    /// Between the kill and what is late, or between an answer and the kill. `share`: below 1, of the longest that makes sense.
    pub fn delay(self, share: f64) -> Duration {
        match self {
            Point::Late => Duration::from_millis(200).mul_f64(share),
            Point::Answered => Duration::from_millis(5).mul_f64(share),
            Point::Leaving | Point::Effected | Point::Followed => Duration::ZERO,
        }
    }
}

impl Moment {
    pub fn all() -> Vec<Moment> {
        let points = [Point::Leaving, Point::Late, Point::Effected, Point::Answered];
        let standing = Asked::ALL
            .into_iter()
            .flat_map(|asked| points.map(|point| Moment::At(asked, point)));
        let mut all: Vec<Moment> = standing.collect();
        // The others' next requests come in calls of their own, long after.
        all.push(Moment::At(Asked::Tag, Point::Followed));
        all.extend([Moment::Random, Moment::Accepting, Moment::Accepted]);
        all
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Random => f.write_str("at random"),
            Moment::Accepting => f.write_str("amid accepting"),
            Moment::Accepted => f.write_str("at the first 202 of many"),
            Moment::At(asked, Point::Leaving) => write!(f, "{asked:?} left and lost"),
            Moment::At(asked, Point::Late) => write!(f, "{asked:?} left and late"),
            Moment::At(asked, Point::Effected) => write!(f, "{asked:?} done, answer lost"),
            Moment::At(asked, Point::Answered) => write!(f, "{asked:?} just answered"),
            Moment::At(asked, Point::Followed) => write!(f, "{asked:?} answered and followed"),
        }
    }
}

/// Moments in random order, each as often as it is wanted; one that wasn't met goes back.
#[derive(Debug, Default)]
pub struct Deck {
    cards: Vec<Moment>,
    met: BTreeMap<Moment, usize>,
    missed: usize,
}

impl Deck {
    /// The next moment that can be had now.
    pub fn draw(&mut self, rng: &mut StdRng, can_be_had: impl Fn(Moment) -> bool) -> Moment {
        if self.cards.is_empty() {
            self.cards = Moment::all();
            self.cards.extend([Moment::Random; 4]);
            self.cards.extend([Moment::Accepted; 2]);
            self.cards.shuffle(rng);
        }
        match self.cards.iter().rposition(|&moment| can_be_had(moment)) {
            Some(at) => self.cards.remove(at),
            None => Moment::Random,
        }
    }

    /// What it came to; a moment that didn't come in time goes back.
    pub fn came(&mut self, rng: &mut StdRng, drawn: Moment, met: bool) {
        if met {
            *self.met.entry(drawn).or_default() += 1;
        } else {
            self.missed += 1;
            let at = rng.random_range(0..=self.cards.len());
            self.cards.insert(at, drawn);
        }
    }

    pub fn never_met(&self) -> Vec<Moment> {
        let all = Moment::all().into_iter();
        all.filter(|moment| !self.met.contains_key(moment)).collect()
    }
}

impl fmt::Display for Deck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (moment, count) in &self.met {
            writeln!(f, "{count:5}  {moment}")?;
        }
        write!(f, "{:5}  chosen, and did not come in time", self.missed)
    }
}
