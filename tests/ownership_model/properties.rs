//! What must hold, whatever happens.

use super::{
    rules::{Rule, Setup},
    world::{Phase, Post, Record, Row, World},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// At most one resource per create step exists at any time.
    OneSurvivor,
    /// What exists is in the inventory, or named in a finding, or its saga's intent has yet to be seen to, or is watched.
    Accounted,
    /// Once the watch is over and all is quiet: completed means made and kept, compensated means nothing is left that no
    /// finding names.
    EndsTrue,
    /// What the inventory of an ended saga says lives, does.
    InventoryTrue,
    /// An id that is written down has its row.
    RowWithId,
    /// A write under an old fence changes nothing.
    NoStaleWrite,
    /// Once others count an exchange as ended nothing of it leaves, but from a process that was stopped after its last check.
    NothingLeavesAfterItsEnd,
    /// No create is intended once its saga has turned.
    NothingIntendedAfterTheTurn,
    /// What an answer has named to a host is never left to people.
    AnswersCount,
    /// From every state a quiet end can be reached.
    EverySagaCanEnd,
}

impl Property {
    /// Those that one state shows.
    pub const OF_STATES: [Property; 9] = [
        Property::OneSurvivor,
        Property::Accounted,
        Property::EndsTrue,
        Property::InventoryTrue,
        Property::RowWithId,
        Property::NoStaleWrite,
        Property::NothingLeavesAfterItsEnd,
        Property::NothingIntendedAfterTheTurn,
        Property::AnswersCount,
    ];

    /// Of [`Property::EverySagaCanEnd`] a single state says nothing.
    pub fn holds(self, setup: &Setup, world: &World) -> bool {
        let mut live = world.sent().filter(|(_, post)| post.thing.is_live());
        match self {
            Property::OneSurvivor => live.count() <= 1,
            Property::Accounted => live.all(|(index, post)| is_accounted(world, index, post)),
            Property::EndsTrue => !is_at_rest(setup, world) || ends_true(world),
            Property::InventoryTrue => {
                let rows = world.rows.iter().zip(&world.posts);
                !world.phase.is_ended()
                    || rows
                        .filter(|(row, _)| **row == Row::Live)
                        .all(|(_, post)| post.is_some_and(|post| post.thing.is_live()))
            }
            Property::RowWithId => world
                .kept
                .is_none_or(|post| world.rows[usize::from(post)] != Row::None),
            Property::NoStaleWrite => !world.stale_write,
            Property::NothingLeavesAfterItsEnd => !world.left_after_end,
            Property::NothingIntendedAfterTheTurn => !world.intended_after_turn,
            Property::AnswersCount => {
                !is_at_rest(setup, world)
                    || world.phase != Phase::Compensated
                    || live.all(|(_, post)| !post.told)
            }
            Property::EverySagaCanEnd => true,
        }
    }
}

fn is_accounted(world: &World, index: usize, post: &Post) -> bool {
    let intended = post.record != Record::Absent;
    world.rows[index] == Row::Live || post.named || (intended && (!world.phase.is_ended() || world.watched))
}

fn ends_true(world: &World) -> bool {
    match world.phase {
        Phase::Completed => world.kept.is_some_and(|kept| {
            let kept = usize::from(kept);
            world.rows[kept] == Row::Live && world.posts[kept].is_some_and(|post| post.thing.is_live())
        }),
        Phase::Compensated => world.sent().all(|(_, post)| !post.thing.is_live() || post.named),
        Phase::Running | Phase::Made | Phase::Undoing => false,
    }
}

/// Nothing comes of itself any more.
pub fn is_at_rest(setup: &Setup, world: &World) -> bool {
    let pending = setup.has(Rule::LateAnswersActedOn)
        && world.phase == Phase::Compensated
        && world
            .sent()
            .any(|(_, post)| post.record == Record::Created && !post.acted_on);
    world.phase.is_ended() && !world.watched && !pending && world.is_quiet()
}
