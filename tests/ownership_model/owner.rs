//! The create step's `run` and `compensate`, as the saga's owner calls them. Whatever a host believes, a write changes rows only
//! as [`write`] lets it.

use super::{
    moves::{Move, Next},
    rules::{Rule, Setup},
    world::{Belief, Call, Exchange, Phase, Post, Record, Row, Thing, World},
};

pub fn moves(next: &mut Next<'_>, host: usize) {
    let (world, setup) = (next.world, next.setup);
    let this = world.hosts[host];
    if !this.alive || this.believes == Belief::Stranger {
        return;
    }
    match this.call {
        Call::None | Call::Waits(_) => {}
        Call::Clear if !setup.has(Rule::IntentFirst) => {
            next.add(Move::CreatesWithoutIntent(host), |world| {
                open(world, host, Record::Absent)
            });
        }
        Call::Clear => next.add(Move::Intends(host), |world| intend(world, setup, host)),
        Call::Keeps(post) => next.add(Move::WritesDown(host), |world| {
            write(world, setup, host, |world| keep(world, setup, host, post));
        }),
        Call::KeepsRow(post) => next.add(Move::WritesTheRow(host), |world| {
            write(world, setup, host, |world| {
                world.rows[usize::from(post)] = Row::Live
            });
        }),
        Call::GivesUp => next.add(Move::GivesUp(host), |world| {
            write(world, setup, host, |world| {
                if world.phase == Phase::Running {
                    world.phase = Phase::Undoing;
                    name_candidates(world);
                }
            });
        }),
    }
    if !world.owns(host) {
        return;
    }
    match world.phase {
        Phase::Running if this.call == Call::None => run(next, host),
        Phase::Made if this.call == Call::None => {
            next.add(Move::LaterStepSucceeds(host), |world| {
                world.phase = Phase::Completed;
                world.watched = setup.has(Rule::Watched) && is_open(world);
            });
            next.add(Move::LaterStepFails(host), |world| world.phase = Phase::Undoing);
        }
        Phase::Undoing => undo(next, host),
        Phase::Running | Phase::Made | Phase::Completed | Phase::Compensated => {}
    }
}

/// The guard of every write but an answer. The call is over when it is refused.
fn write(world: &mut World, setup: &Setup, host: usize, change: impl FnOnce(&mut World)) {
    let is_owner = world.owns(host);
    if !is_owner && setup.has(Rule::FencedWrites) {
        world.hosts[host].believes = Belief::Stranger;
        world.hosts[host].call = Call::None;
        return;
    }
    world.stale_write |= !is_owner;
    world.hosts[host].call = Call::None;
    change(world);
}

fn intend(world: &mut World, setup: &Setup, host: usize) {
    let turned = world.phase != Phase::Running;
    if turned && world.owns(host) && setup.has(Rule::NothingAfterTheTurn) {
        world.hosts[host].call = Call::None;
        return;
    }
    write(world, setup, host, |world| {
        world.intended_after_turn |= turned;
        open(world, host, Record::Open { ended: false });
    });
}

fn open(world: &mut World, host: usize, record: Record) {
    let Some(index) = world.posts.iter().position(Option::is_none) else {
        return;
    };
    world.posts[index] = Some(Post {
        sender: host as u8,
        fenced: !world.owns(host),
        record,
        exchange: Exchange::Intended,
        thing: Thing::Nothing,
        late: false,
        acted_on: false,
        named: false,
        told: false,
    });
    world.hosts[host].call = Call::Waits(index as u8);
}

fn keep(world: &mut World, setup: &Setup, host: usize, post: u8) {
    world.kept = Some(post);
    if setup.has(Rule::RowWithId) {
        world.rows[usize::from(post)] = Row::Live;
    } else {
        world.hosts[host].call = Call::KeepsRow(post);
    }
    if world.phase == Phase::Running {
        world.phase = Phase::Made;
    }
}

/// In doubt: also after an answer that proves nothing.
fn is_open(world: &World) -> bool {
    world
        .sent()
        .any(|(_, post)| matches!(post.record, Record::Open { .. }))
}

fn is_on_the_wire(world: &World) -> bool {
    world
        .sent()
        .any(|(_, post)| post.record == (Record::Open { ended: false }))
}

/// Nothing that takes no longer than the settle window is outstanding: the window may be over.
fn may_be_settled(world: &World) -> bool {
    world.sent().all(|(_, post)| {
        let pending = matches!(post.thing, Thing::Coming | Thing::Hidden | Thing::Untagged);
        !pending || post.late
    })
}

fn tagged(world: &World) -> Option<usize> {
    world
        .sent()
        .find(|(_, post)| post.thing == Thing::Tagged)
        .map(|(index, _)| index)
}

fn run(next: &mut Next<'_>, host: usize) {
    let (world, setup) = (next.world, next.setup);
    let answered = world.sent().find(|(_, post)| post.record == Record::Created);
    let room = world.posts.iter().any(Option::is_none);
    let call = if let Some((index, _)) = answered {
        Call::Keeps(index as u8)
    } else if is_on_the_wire(world) {
        return;
    } else if let Some(index) = tagged(world) {
        Call::Keeps(index as u8)
    } else if is_open(world) && setup.has(Rule::OnePost) {
        if !may_be_settled(world) {
            return;
        }
        Call::GivesUp
    } else if is_open(world) && !may_be_settled(world) {
        return;
    } else if room {
        Call::Clear
    } else {
        Call::GivesUp
    };
    next.add(Move::RecallsAndLooks(host), |world| world.hosts[host].call = call);
}

/// Known by an answer or by the context.
fn is_known(world: &World, index: usize, post: &Post) -> bool {
    post.record == Record::Created || world.kept == Some(index as u8)
}

fn undo(next: &mut Next<'_>, host: usize) {
    let (world, setup) = (next.world, next.setup);
    if setup.has(Rule::UndoneAfterItsCall) {
        let call = world.hosts[host].call != Call::None;
        let sends = world
            .sent()
            .any(|(_, post)| usize::from(post.sender) == host && post.exchange != Exchange::Over);
        if call || sends || is_on_the_wire(world) {
            return;
        }
    }
    let deletable = world.sent().find(|(index, post)| match post.thing {
        Thing::Tagged => true,
        Thing::Untagged => is_known(world, *index, post),
        Thing::Nothing | Thing::Coming | Thing::Refused | Thing::Hidden | Thing::Deleted => false,
    });
    if let Some((index, _)) = deletable {
        return next.add(Move::Deletes(host, index), |world| {
            if let Some(post) = &mut world.posts[index] {
                post.thing = Thing::Deleted;
            }
        });
    }
    let unseen = world
        .sent()
        .any(|(index, post)| is_known(world, index, post) && post.thing != Thing::Deleted);
    if (is_open(world) || unseen) && !may_be_settled(world) {
        return;
    }
    next.add(Move::EndsTheUndo(host), |world| {
        let opens = is_open(world) || (unseen && setup.has(Rule::NeverSeenIsWatched));
        world.watched |= setup.has(Rule::Watched) && opens;
        world.phase = Phase::Compensated;
        name_candidates(world);
        for post in world.posts.iter_mut().flatten() {
            post.acted_on |= post.record == Record::Created;
        }
        for row in &mut world.rows {
            if *row == Row::Live {
                *row = Row::Deleted;
            }
        }
    });
}

/// What has the right name and no tag after the window is a person's.
fn name_candidates(world: &mut World) {
    for post in world.posts.iter_mut().flatten() {
        post.named |= post.thing == Thing::Untagged;
    }
}
