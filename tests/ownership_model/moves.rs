//! What can happen next, each move one database transaction, one request or one fault.

use std::fmt;

use super::{
    cloud, owner, ownership,
    rules::Setup,
    world::{POSTS, World},
};

/// Numbers are the host's and the create's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    // Hosts and the saga's owner.
    LeaseRunsOut(usize),
    Heartbeat(usize),
    FoundLost(usize),
    Killed(usize),
    Claims(usize),
    Takes(usize),
    Cancels(usize),
    // The owner's calls.
    RecallsAndLooks(usize),
    Intends(usize),
    CreatesWithoutIntent(usize),
    WritesDown(usize),
    WritesTheRow(usize),
    GivesUp(usize),
    LaterStepSucceeds(usize),
    LaterStepFails(usize),
    Deletes(usize, usize),
    EndsTheUndo(usize),
    // The watch.
    WatchUndoes(usize, usize),
    WatchNames(usize),
    WatchEnds,
    ActsOnLateAnswer(usize, usize),
    // One exchange, from the check on.
    Checks(usize),
    IsStopped(usize),
    Leaves(usize),
    IntendsAfterwards(usize),
    HearsTheAnswer(usize),
    LosesTheAnswer(usize),
    Journals(usize),
    // The cloud.
    TakesEffect(usize),
    ShowsUntagged(usize),
    ShowsTag(usize),
    IsRefused(usize),
    NeverArrives(usize),
    TakesLong(usize),
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Move::LeaseRunsOut(host) => write!(f, "the lease of host {host} runs out"),
            Move::Heartbeat(host) => write!(f, "a heartbeat of host {host} arrives"),
            Move::FoundLost(host) => write!(f, "host {host} is marked as lost; its exchanges count as ended"),
            Move::Killed(host) => write!(f, "host {host} dies"),
            Move::Claims(host) => write!(f, "host {host} claims the saga"),
            Move::Takes(host) => write!(f, "a verb takes the saga to host {host}"),
            Move::Cancels(host) => write!(f, "a cancel through host {host} turns the saga"),
            Move::RecallsAndLooks(host) => {
                write!(
                    f,
                    "host {host} calls run: it recalls the journal and looks by tag"
                )
            }
            Move::Intends(host) => write!(f, "host {host} records its intent"),
            Move::CreatesWithoutIntent(host) => {
                write!(f, "host {host} is about to create, without an intent")
            }
            Move::WritesDown(host) => write!(f, "host {host} writes down what was made"),
            Move::WritesTheRow(host) => write!(f, "host {host} writes the inventory's row"),
            Move::GivesUp(host) => write!(f, "host {host} records that the create failed for good"),
            Move::LaterStepSucceeds(host) => write!(f, "host {host} completes the saga"),
            Move::LaterStepFails(host) => write!(f, "a later step fails on host {host}: the saga turns"),
            Move::Deletes(host, post) => {
                write!(
                    f,
                    "host {host} calls compensate: it deletes what create {post} made"
                )
            }
            Move::EndsTheUndo(host) => {
                write!(f, "host {host} calls compensate: nothing is left, the saga ends")
            }
            Move::WatchUndoes(host, post) => {
                write!(
                    f,
                    "the watch on host {host} sees what create {post} made: undone again"
                )
            }
            Move::WatchNames(post) => write!(f, "the watch sees what create {post} made: a finding names it"),
            Move::WatchEnds => write!(f, "the watch is over"),
            Move::ActsOnLateAnswer(host, post) => {
                write!(
                    f,
                    "host {host} undoes once more for the late answer to create {post}"
                )
            }
            Move::Checks(post) => write!(f, "the sender of create {post} checks its lease"),
            Move::IsStopped(post) => write!(f, "the sender of create {post} is stopped before it sends"),
            Move::Leaves(post) => write!(f, "create {post} leaves"),
            Move::IntendsAfterwards(post) => write!(f, "the intent of create {post} is recorded afterwards"),
            Move::HearsTheAnswer(post) => write!(f, "the answer to create {post} arrives"),
            Move::LosesTheAnswer(post) => write!(f, "the answer to create {post} is lost"),
            Move::Journals(post) => write!(f, "the end of create {post} is journaled by its sender"),
            Move::TakesEffect(post) => write!(f, "create {post} takes effect"),
            Move::ShowsUntagged(post) => write!(f, "what create {post} made can be seen, without its tag"),
            Move::ShowsTag(post) => write!(f, "what create {post} made shows its tag"),
            Move::IsRefused(post) => write!(f, "create {post} is refused"),
            Move::NeverArrives(post) => write!(f, "create {post} never arrives"),
            Move::TakesLong(post) => write!(f, "create {post} will take longer than the settle window"),
        }
    }
}

/// The moves that can be made, and what follows.
pub struct Next<'a> {
    pub setup: &'a Setup,
    pub world: &'a World,
    pub found: Vec<(Move, World)>,
}

impl<'a> Next<'a> {
    pub fn of(setup: &'a Setup, world: &'a World) -> Vec<(Move, World)> {
        let mut next = Next {
            setup,
            world,
            found: Vec::with_capacity(16),
        };
        for host in 0..setup.hosts {
            ownership::moves(&mut next, host);
            owner::moves(&mut next, host);
        }
        for post in 0..POSTS {
            cloud::moves(&mut next, post);
        }
        ownership::watch_ends(&mut next);
        next.found
    }

    pub fn add(&mut self, made: Move, change: impl FnOnce(&mut World)) {
        let mut world = *self.world;
        change(&mut world);
        self.found.push((made, world.settled()));
    }
}
