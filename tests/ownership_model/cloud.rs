//! One create: from its host's last check to what it makes, and back to the journal.

use super::{
    moves::{Move, Next},
    rules::{Assumption, Rule},
    world::{Answer, Call, Exchange, Lease, Post, Record, Thing, World},
};

pub fn moves(next: &mut Next<'_>, index: usize) {
    let Some(post) = next.world.posts[index] else {
        return;
    };
    sender(next, index, post);
    thing(next, index, post);
}

fn set(world: &mut World, index: usize, change: impl FnOnce(&mut Post)) {
    if let Some(post) = &mut world.posts[index] {
        change(post);
    }
}

fn sender(next: &mut Next<'_>, index: usize, post: Post) {
    let (world, setup) = (next.world, next.setup);
    let host = usize::from(post.sender);
    match post.exchange {
        Exchange::Intended => {
            let sees_lease = setup.has(Rule::LeaseChecked) && setup.assumes(Assumption::ClockGoesOn);
            let exchange = if sees_lease && world.hosts[host].lease != Lease::Held {
                Exchange::Answered(Answer::Unsent)
            } else {
                Exchange::Cleared
            };
            next.add(Move::Checks(index), |world| {
                set(world, index, |post| post.exchange = exchange)
            });
        }
        Exchange::Cleared | Exchange::Stopped => leave(next, index, post),
        Exchange::OnTheWire => {
            if post.record == Record::Absent {
                next.add(Move::IntendsAfterwards(index), |world| {
                    set(world, index, |post| post.record = Record::Open { ended: false });
                });
            }
            let answer = match post.thing {
                Thing::Hidden | Thing::Untagged | Thing::Tagged => Some(Answer::Created),
                Thing::Refused => Some(Answer::Refused),
                Thing::Nothing | Thing::Coming | Thing::Deleted => None,
            };
            if let Some(answer) = answer {
                next.add(Move::HearsTheAnswer(index), |world| {
                    set(world, index, |post| post.exchange = Exchange::Answered(answer));
                });
            }
            next.add(Move::LosesTheAnswer(index), |world| {
                set(world, index, |post| {
                    post.exchange = Exchange::Answered(Answer::Lost)
                });
            });
        }
        Exchange::Answered(answer) => next.add(Move::Journals(index), |world| {
            if setup.has(Rule::AnswersUnfenced) || !post.fenced {
                journal(world, index, answer);
            }
            set(world, index, |post| {
                post.exchange = Exchange::Over;
                post.told |= answer == Answer::Created;
            });
            let call = &mut world.hosts[host].call;
            if *call == Call::Waits(index as u8) {
                *call = Call::None;
            }
        }),
        Exchange::Over => {}
    }
}

/// Only an open record is changed: the first end that proves something stays.
fn journal(world: &mut World, index: usize, answer: Answer) {
    set(world, index, |post| {
        if matches!(post.record, Record::Open { .. }) {
            post.record = match answer {
                Answer::Created => Record::Created,
                Answer::Refused => Record::Refused,
                Answer::Unsent => Record::Unsent,
                Answer::Lost => Record::Open { ended: true },
            };
        }
    });
}

fn leave(next: &mut Next<'_>, index: usize, post: Post) {
    let stopped = post.exchange == Exchange::Stopped;
    if !stopped {
        next.add(Move::IsStopped(index), |world| {
            set(world, index, |post| post.exchange = Exchange::Stopped);
        });
    }
    next.add(Move::Leaves(index), |world| {
        let ended = post.record == (Record::Open { ended: true });
        world.left_after_end |= ended && !stopped;
        set(world, index, |post| {
            post.exchange = Exchange::OnTheWire;
            post.thing = Thing::Coming;
            post.late |= stopped || ended;
        });
    });
}

fn thing(next: &mut Next<'_>, index: usize, post: Post) {
    let mut becomes = |made: Move, thing: Thing| {
        next.add(made, |world| set(world, index, |post| post.thing = thing));
    };
    match post.thing {
        Thing::Coming => {
            becomes(Move::TakesEffect(index), Thing::Hidden);
            becomes(Move::IsRefused(index), Thing::Refused);
            becomes(Move::NeverArrives(index), Thing::Nothing);
        }
        Thing::Hidden => becomes(Move::ShowsUntagged(index), Thing::Untagged),
        Thing::Untagged => becomes(Move::ShowsTag(index), Thing::Tagged),
        Thing::Nothing | Thing::Refused | Thing::Tagged | Thing::Deleted => {}
    }
    let pending = matches!(post.thing, Thing::Coming | Thing::Hidden | Thing::Untagged);
    if pending && !post.late && next.world.delays > 0 {
        next.add(Move::TakesLong(index), |world| {
            world.delays -= 1;
            set(world, index, |post| post.late = true);
        });
    }
}
