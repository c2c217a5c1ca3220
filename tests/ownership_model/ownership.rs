//! Who owns the saga, for how long, and who looks after it once it has ended.

use super::{
    moves::{Move, Next},
    rules::{Assumption, Rule, Setup},
    world::{Belief, Call, Exchange, Lease, Phase, Post, Record, Thing, World},
};

pub fn moves(next: &mut Next<'_>, host: usize) {
    lease(next, host);
    if next.world.hosts[host].alive {
        takeover(next, host);
        watch(next, host);
    }
}

fn lease(next: &mut Next<'_>, host: usize) {
    let (world, setup) = (next.world, next.setup);
    let this = world.hosts[host];
    // One host is always left: without any nothing happens, which is safe.
    let another =
        |world: &World| (0..setup.hosts).any(|other| other != host && world.hosts[other].is_sound());
    // What was let go within the margin is on the wire before the lease is over.
    let lets_go = world
        .sent()
        .any(|(_, post)| usize::from(post.sender) == host && post.exchange == Exchange::Cleared);
    let margin = setup.has(Rule::LeaseChecked) && setup.assumes(Assumption::ClockGoesOn);
    if this.lease == Lease::Held && another(world) && !(this.alive && lets_go && margin) {
        next.add(Move::LeaseRunsOut(host), |world| {
            world.hosts[host].lease = Lease::RanOut
        });
    }
    let comes_back =
        this.lease == Lease::RanOut || (this.lease == Lease::Lost && !setup.has(Rule::LostForEver));
    if this.alive && comes_back {
        next.add(Move::Heartbeat(host), |world| {
            world.hosts[host].lease = Lease::Held
        });
    }
    if this.lease == Lease::RanOut {
        next.add(Move::FoundLost(host), |world| {
            world.hosts[host].lease = Lease::Lost;
            end_exchanges(world, |sender| sender == host);
        });
    }
    if this.alive && another(world) {
        next.add(Move::Killed(host), |world| kill(world, host));
    }
}

fn kill(world: &mut World, host: usize) {
    world.hosts[host].alive = false;
    world.hosts[host].believes = Belief::Stranger;
    world.hosts[host].call = Call::None;
    for post in world.posts.iter_mut().flatten() {
        if usize::from(post.sender) == host {
            post.exchange = Exchange::Over;
        }
    }
}

/// What these senders had on the wire is in doubt from now on.
fn end_exchanges(world: &mut World, which: impl Fn(usize) -> bool) {
    for post in world.posts.iter_mut().flatten() {
        if which(usize::from(post.sender)) && post.record == (Record::Open { ended: false }) {
            post.record = Record::Open { ended: true };
        }
    }
}

fn takeover(next: &mut Next<'_>, host: usize) {
    let (world, setup) = (next.world, next.setup);
    let owner = usize::from(world.owner);
    let claimable = world.hosts[owner].lease == Lease::Lost || !setup.has(Rule::RunOutLease);
    if !world.phase.is_ended() && owner != host && claimable {
        next.add(Move::Claims(host), |world| {
            if !setup.has(Rule::RunOutLease) {
                end_exchanges(world, |sender| sender == owner);
            }
            take(world, setup, host);
        });
    }
    if world.verbs == 0 || world.phase.is_ended() {
        return;
    }
    if owner != host {
        next.add(Move::Takes(host), |world| {
            world.verbs -= 1;
            take(world, setup, host);
        });
    }
    if matches!(world.phase, Phase::Running | Phase::Made) {
        next.add(Move::Cancels(host), |world| {
            world.verbs -= 1;
            take(world, setup, host);
            world.phase = Phase::Undoing;
        });
    }
}

/// By a claim or by a verb; nothing, when it is the host's already.
fn take(world: &mut World, setup: &Setup, host: usize) {
    if world.owns(host) {
        return;
    }
    world.owner = host as u8;
    for post in world.posts.iter_mut().flatten() {
        post.fenced = true;
    }
    if setup.has(Rule::RaisedFence) {
        for host in &mut world.hosts {
            if host.believes == Belief::Fence {
                host.believes = Belief::OldFence;
            }
        }
    }
    // A host that doesn't know yet that it is lost may have recorded them since.
    if setup.has(Rule::LostSendersEnded) {
        let lost = world.hosts.map(|host| host.lease == Lease::Lost);
        end_exchanges(world, |sender| lost[sender]);
    }
    let this = &mut world.hosts[host];
    // Calls that were begun under another fence are cut.
    if this.believes != Belief::Fence {
        this.call = Call::None;
    }
    this.believes = Belief::Fence;
}

fn watch(next: &mut Next<'_>, host: usize) {
    let (world, setup) = (next.world, next.setup);
    if world.phase != Phase::Compensated {
        return;
    }
    let again = |world: &mut World| {
        take(world, setup, host);
        world.phase = Phase::Undoing;
    };
    for (index, post) in world.sent() {
        if world.watched && can_be_undone(post) {
            next.add(Move::WatchUndoes(host, index), again);
        }
        let evidence = setup.has(Rule::LateAnswersActedOn) && post.record == Record::Created;
        if evidence && !post.acted_on {
            next.add(Move::ActsOnLateAnswer(host, index), again);
        }
    }
}

/// By its tag, or by the id that its answer named.
fn can_be_undone(post: &Post) -> bool {
    post.thing == Thing::Tagged || (post.thing == Thing::Untagged && post.record == Record::Created)
}

/// Whether the watch would do something about it at its next look.
fn is_news(world: &World, index: usize) -> bool {
    let Some(post) = world.posts[index] else {
        return false;
    };
    let visible = matches!(post.thing, Thing::Tagged | Thing::Untagged);
    match world.phase {
        Phase::Compensated => can_be_undone(&post) || (visible && !post.named),
        Phase::Completed => visible && !post.named && world.kept != Some(index as u8),
        Phase::Running | Phase::Made | Phase::Undoing => false,
    }
}

pub fn watch_ends(next: &mut Next<'_>) {
    let (world, setup) = (next.world, next.setup);
    if !world.phase.is_ended() || !world.watched {
        return;
    }
    for index in 0..world.posts.len() {
        let undone =
            world.phase == Phase::Compensated && world.posts[index].is_some_and(|post| can_be_undone(&post));
        if is_news(world, index) && !undone {
            next.add(Move::WatchNames(index), |world| {
                if let Some(post) = &mut world.posts[index] {
                    post.named = true;
                }
            });
        }
    }
    let news = (0..world.posts.len()).any(|index| is_news(world, index));
    let unseen = world
        .sent()
        .any(|(_, post)| matches!(post.thing, Thing::Coming | Thing::Hidden));
    let may_leave = world.sent().any(|(_, post)| {
        matches!(
            post.exchange,
            Exchange::Intended | Exchange::Cleared | Exchange::Stopped
        )
    });
    let over = !(news
        || (unseen && setup.assumes(Assumption::SeenWithinTheWatch))
        || (may_leave && setup.assumes(Assumption::WokenWithinTheWatch)));
    if over {
        next.add(Move::WatchEnds, |world| world.watched = false);
    }
}
