//! Every state that can be reached, breadth first, so that the first violation found has a shortest trace.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};

use super::{
    moves::{Move, Next},
    properties::{Property, is_at_rest},
    rules::Setup,
    world::World,
};

/// A world is some fifty small numbers, and this code isn't optimised: the standard hasher takes most of the time.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, number: u8) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u8(number as u8);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u8(number as u8);
    }
}

pub struct Search {
    setup: Setup,
    states: Vec<World>,
    /// From which state each was reached first, and by which move.
    parents: Vec<Option<(usize, Move)>>,
    /// The first state that violates it.
    pub violations: BTreeMap<Property, usize>,
}

impl Search {
    /// Everything; or only until `wanted` is violated.
    pub fn run(setup: Setup, wanted: Option<Property>) -> Search {
        let first = World::first(setup.hosts);
        let mut search = Search {
            setup,
            states: vec![first],
            parents: vec![None],
            violations: BTreeMap::new(),
        };
        let mut known: HashMap<World, usize, BuildHasherDefault<Mixer>> = HashMap::default();
        known.insert(first, 0);
        let mut edges: Vec<(u32, u32)> = Vec::new();
        let mut at = 0;
        while at < search.states.len() {
            search.judge(at);
            if wanted.is_some_and(|wanted| search.violations.contains_key(&wanted)) {
                return search;
            }
            let world = search.states[at];
            for (made, after) in Next::of(&setup, &world) {
                let next = *known.entry(after).or_insert_with(|| {
                    search.states.push(after);
                    search.parents.push(Some((at, made)));
                    search.states.len() - 1
                });
                edges.push((next as u32, at as u32));
            }
            at += 1;
        }
        search.find_stuck(edges);
        search
    }

    fn judge(&mut self, at: usize) {
        for property in Property::OF_STATES {
            if !self.violations.contains_key(&property) && !property.holds(&self.setup, &self.states[at]) {
                self.violations.insert(property, at);
            }
        }
    }

    /// `edges`: to and from. Goes back from the states at rest.
    fn find_stuck(&mut self, mut edges: Vec<(u32, u32)>) {
        edges.sort_unstable();
        let mut can_end: Vec<bool> = self
            .states
            .iter()
            .map(|world| is_at_rest(&self.setup, world))
            .collect();
        let mut queue: VecDeque<usize> = (0..can_end.len()).filter(|at| can_end[*at]).collect();
        while let Some(at) = queue.pop_front() {
            let begin = edges.partition_point(|(to, _)| (*to as usize) < at);
            let into = edges[begin..].iter().take_while(|(to, _)| *to as usize == at);
            for (_, from) in into {
                let from = *from as usize;
                if !can_end[from] {
                    can_end[from] = true;
                    queue.push_back(from);
                }
            }
        }
        if let Some(stuck) = can_end.iter().position(|can_end| !can_end) {
            self.violations.insert(Property::EverySagaCanEnd, stuck);
        }
    }

    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// The moves to the first violation, one a line, and what is then.
    pub fn trace(&self, property: Property) -> String {
        let Some(&end) = self.violations.get(&property) else {
            return format!("{property:?} is not violated");
        };
        let mut moves = Vec::new();
        let mut at = end;
        while let Some((before, made)) = self.parents[at] {
            moves.push(made);
            at = before;
        }
        let mut text = format!(
            "{}: {property:?} is violated after {} moves\n",
            self.setup,
            moves.len()
        );
        for (number, made) in moves.iter().rev().enumerate() {
            text += &format!("  {:2}. {made}\n", number + 1);
        }
        text + &format!("  {:?}", self.states[end])
    }
}
