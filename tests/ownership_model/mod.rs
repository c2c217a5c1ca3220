//! An explicit model of owner, lease, fence, intent, answer and watch: every order in which hosts, database, wire and cloud can
//! act on one saga with one create step, its undo, and a later step that succeeds or fails. With all rules on nothing is violated
//! in any state that can be reached; without any one of them what it prevents is found, with a shortest trace.
//!
//! | file | noun |
//! |---|---|
//! | `world` | one moment of everything |
//! | `moves` | what can happen next |
//! | `ownership` | leases, claims, verbs that take a saga, and the watch over one that has ended |
//! | `owner` | the step's two phases as its owner calls them |
//! | `cloud` | one create, from its host's last check to what it makes, and back to the journal |
//! | `rules`, `properties` | what can be switched off; what must hold |
//! | `search` | breadth first, and back from where everything rests |
//!
//! # What each rule prevents, where it lives, and which test of the real thing shows it
//!
//! | rule | without it | in the code | shown by |
//! |---|---|---|---|
//! | `FencedWrites`: a write changes rows only for the saga's owner, under its fence | a host that doesn't know yet sends a second create | `store` contract 3 | `store::contract`, `store::differential` |
//! | `RaisedFence`: every change of owner raises the fence | a saga comes back to a host whose old call goes on | `Store::claim`, `Store::take` | `several_hosts::a_cancel_through_another_host_takes_the_saga_over` |
//! | `RunOutLease`: only sagas of hosts whose lease has run out by the database's clock are claimed | a living host sends what others have given up | `Store::claim` | `store::contract` |
//! | `LostForEver`: a lost host never comes back | the same | `Store::heartbeat` | `store::ownership` |
//! | `LeaseChecked`: before a create leaves its host checks that its lease has a margin | the same | `engine::lease`, `cloud::leave` | `several_hosts::a_host_without_its_database_sends_nothing_more_and_another_makes_no_second_droplet` |
//! | `IntentFirst`: a create leaves only once its intent is durable | nobody knows of what it made | `cloud::write` | `cloud_once::a_request_leaves_only_after_its_intent_is_durable` |
//! | `AnswersUnfenced`: an answer is recorded whoever owns the saga now | the saga waits for ever for an exchange that has ended; what the answer named is left to people | `store` contract 5 | `several_hosts::a_saga_taken_with_its_request_on_the_wire_hears_of_the_answer_and_makes_no_second_droplet` |
//! | `LateAnswersActedOn`: an answer that comes after the saga's end has it undone once more | what the answer named, and never shows its tag, is left to people | `engine::late` | `several_hosts::an_answer_that_comes_after_the_sagas_end_has_its_droplet_undone` |
//! | `OnePost`: no second create unless the first was refused or never left; in doubt it is looked for, and adopted | two of it | step `create-droplet`, `cloud::write` | `faults::create`, `crash` |
//! | `NothingAfterTheTurn`: creates are intended only while the saga has not turned | something new leaves after a cancel was answered | `store` contract 4 | `store::contract`, `crash::a_cancel_at_any_mutating_request_ends_cancelled_or_is_refused_past_the_pivot` |
//! | `UndoneAfterItsCall`: a step is undone only once its own call and exchange have ended | the inventory has what was deleted | `engine::drive`, `engine::call` | `several_hosts::nothing_is_undone_while_another_host_has_its_request_on_the_wire` |
//! | `LostSendersEnded`: whoever takes a saga counts what its lost hosts had on the wire as ended, also what they recorded after they were lost | the saga waits for ever for the answer to it | `Store::claim`, `Store::take` | `store::ownership` |
//! | `Watched`: a saga that ends in doubt is watched, and what shows up under its tag is undone, or told | it is left, and nobody knows | `engine::late` | `late`, `simulation` |
//! | `NeverSeenIsWatched`: so is one whose undo has never seen what an answer named | the same | `engine::late` | `late::a_droplet_that_was_promised_and_shows_up_only_after_its_step_was_undone_is_undone_too`, `simulation` |
//! | `RowWithId`: the id and the inventory's row are one commit | an id without its row | step `create-droplet` | `crash`, `simulation` |
//!
//! # What can't be closed
//!
//! A process can be stopped after its last check, before the system's write: its create leaves whenever it goes on, whoever owns the
//! saga by then. That is the one way past [`Property::NothingLeavesAfterItsEnd`], and the watch is what bounds it. The guarantee
//! therefore rests on [`Assumption`]s, each of which is seen to be needed: a process goes on, and what was made is seen, before the watch
//! ends. That a host's clock goes on while it is stopped is needed only for the promptness of it: with a clock that stands still (a suspended
//! virtual machine) creates leave late, and the watch finds them.
//!
//! # How time is modelled
//!
//! Only its order. A settle window can't end before what takes no longer than it has shown up; one create of a run may take longer, and
//! those of stopped processes always do. A lease doesn't run out between its host's check and the write, unless the host is
//! stopped there: that is what the margin is for. Everything else may come at any time.
//!
//! # Why no library
//!
//! The model checkers there are bring a web server for looking at states, and can't say that from every state a quiet end can be
//! reached. What is needed of them is the hundred lines of `search`.

mod cloud;
mod moves;
mod owner;
mod ownership;
mod properties;
mod rules;
mod search;
mod world;

use properties::Property;
use rules::{Assumption, Rule, Setup};
use search::Search;

/// `ARCADIA_MODEL_HOSTS=3` searches five million states, which takes a minute or two.
fn hosts() -> usize {
    let asked = std::env::var("ARCADIA_MODEL_HOSTS").ok();
    let hosts = asked.and_then(|text| text.parse().ok()).unwrap_or(2);
    hosts.clamp(2, world::HOSTS)
}

/// What is looked for when a rule is off.
fn prevented(rule: Rule) -> Property {
    match rule {
        Rule::FencedWrites | Rule::RaisedFence | Rule::OnePost => Property::OneSurvivor,
        Rule::RunOutLease | Rule::LostForEver | Rule::LeaseChecked => Property::NothingLeavesAfterItsEnd,
        Rule::IntentFirst | Rule::Watched | Rule::NeverSeenIsWatched => Property::Accounted,
        Rule::AnswersUnfenced | Rule::LateAnswersActedOn => Property::AnswersCount,
        Rule::LostSendersEnded => Property::EverySagaCanEnd,
        Rule::NothingAfterTheTurn => Property::NothingIntendedAfterTheTurn,
        Rule::UndoneAfterItsCall => Property::InventoryTrue,
        Rule::RowWithId => Property::RowWithId,
    }
}

#[test]
fn with_every_rule_on_nothing_is_violated_in_any_state() {
    let search = Search::run(Setup::all_on(hosts()), None);
    let traces: Vec<String> = search
        .violations
        .keys()
        .map(|property| search.trace(*property))
        .collect();
    assert!(traces.is_empty(), "{}", traces.join("\n"));
    println!("{} states", search.states());
    assert!(
        search.states() > 100_000,
        "the model has shrunk to {} states",
        search.states()
    );
}

#[test]
fn without_any_one_rule_what_it_prevents_is_found() {
    for rule in Rule::ALL {
        let search = Search::run(Setup::without(2, rule), Some(prevented(rule)));
        let trace = search.trace(prevented(rule));
        assert!(
            search.violations.contains_key(&prevented(rule)),
            "{rule:?}: {trace}"
        );
        println!("{trace}\n");
    }
}

#[test]
fn what_is_assumed_of_the_world_is_needed() {
    for assumption in [Assumption::SeenWithinTheWatch, Assumption::WokenWithinTheWatch] {
        let search = Search::run(Setup::without_assuming(2, assumption), Some(Property::Accounted));
        let trace = search.trace(Property::Accounted);
        assert!(search.violations.contains_key(&Property::Accounted), "{trace}");
        println!("{trace}\n");
    }
}

/// A suspended machine is what the lease's check can't see; the watch bounds it.
#[test]
fn a_host_whose_clock_stands_still_sends_late_and_nothing_worse_comes_of_it() {
    let search = Search::run(Setup::without_assuming(2, Assumption::ClockGoesOn), None);
    let violated: Vec<Property> = search.violations.keys().copied().collect();
    assert_eq!(violated, [Property::NothingLeavesAfterItsEnd]);
    println!("{}", search.trace(Property::NothingLeavesAfterItsEnd));
}
