//! The engine, its steps and the provider in one process without sockets and without waiting: hosts that die at numbered
//! points, hundreds of times a second, and a promise that is checked each time.
//!
//! Everything is real but the disk, the wire and the time: the engine, the shipped components through wasmtime, the store's
//! model, the simulated provider's world.
//!
//! | file | noun |
//! |---|---|
//! | `points` | where a host may die: around each write and each request |
//! | `clock` | time that stands still while anybody is at work |
//! | `lab` | what all runs share; a host |
//! | `scenario` | what happens but deaths |
//! | `run` | one run: hosts that live one after the other |
//! | `evidence`, `promise` | what is there afterwards; what is wrong with it |
//! | `search` | many runs, and what they come to |
//! | `crash` | each point, each pair |
//! | `lost` | lost, wrong and late answers |

mod clock;
mod crash;
mod evidence;
mod lab;
mod lost;
mod points;
mod promise;
mod run;
mod scenario;
mod search;

use arcadia::saga::Status;

use self::{
    crash::{Pairs, everywhere},
    scenario::{Before, Plan, Scenario, Sharing, Then},
};

const DONE: &[Status] = &[Status::Completed];
const UNDONE: &[Status] = &[Status::Compensated];
/// The host died with the request on the wire, or about to be: nobody knows, and there is no second one.
const DONE_OR_IN_DOUBT: &[Status] = &[Status::Completed, Status::Compensated];
const CANCELLED: &[Status] = &[Status::Cancelled];

/// Of scenarios with thousands of pairs, so many are tried; all with `ARCADIA_SIMULATION=all`.
const SAMPLE: Pairs = Pairs::Some(150);

#[test]
fn a_host_may_die_at_any_two_points_of_a_provision() {
    everywhere(
        &Scenario::new("provision", Plan::Provision, DONE_OR_IN_DOUBT),
        Pairs::All,
    );
}

#[test]
fn a_host_may_die_at_any_two_points_of_a_destroy() {
    everywhere(&Scenario::new("destroy", Plan::Destroy, DONE), Pairs::All);
}

#[test]
fn a_host_may_die_at_any_two_points_of_a_snapshot() {
    everywhere(
        &Scenario::new("snapshot", Plan::Snapshot, DONE_OR_IN_DOUBT),
        Pairs::All,
    );
}

#[test]
fn a_host_may_die_at_any_two_points_of_a_rollback() {
    let scenario = Scenario {
        before: Before::Itself,
        then: Then::Rollback,
        ..Scenario::new("rollback", Plan::Provision, UNDONE)
    };
    everywhere(&scenario, Pairs::All);
}

#[test]
fn a_host_may_die_at_any_point_of_a_provision_that_fails() {
    everywhere(
        &Scenario::new("failing provision", Plan::FailingProvision, UNDONE),
        SAMPLE,
    );
}

#[test]
fn a_host_may_die_at_any_point_of_a_snapshot_that_is_undone() {
    everywhere(
        &Scenario::new("failing snapshot", Plan::FailingSnapshot, UNDONE),
        SAMPLE,
    );
}

#[test]
fn a_host_may_die_at_any_point_of_a_provision_that_is_cancelled() {
    let scenario = Scenario {
        then: Then::Cancel { after_ms: 6_000 },
        ..Scenario::new("cancelled provision", Plan::Provision, CANCELLED)
    };
    everywhere(&scenario, SAMPLE);
}

#[test]
fn a_host_may_die_at_any_point_of_three_branches() {
    everywhere(
        &Scenario::new("three droplets", Plan::Three, DONE_OR_IN_DOUBT),
        SAMPLE,
    );
}

#[test]
fn a_host_may_die_at_any_point_of_three_branches_that_are_undone() {
    everywhere(
        &Scenario::new("three failing", Plan::FailingThree, UNDONE),
        SAMPLE,
    );
}

#[test]
fn a_host_may_die_at_any_point_while_its_lease_still_runs() {
    let leased = |scenario| Scenario {
        sharing: Sharing::Leased,
        ..scenario
    };
    everywhere(
        &leased(Scenario::new(
            "leased provision",
            Plan::Provision,
            DONE_OR_IN_DOUBT,
        )),
        SAMPLE,
    );
    everywhere(
        &leased(Scenario::new("leased failing", Plan::FailingProvision, UNDONE)),
        SAMPLE,
    );
}

#[test]
fn whatever_becomes_of_the_answer_to_a_create_the_end_is_one_that_is_promised() {
    lost::with_deaths("answers to a create", &lost::creates());
}

#[test]
fn whatever_lags_behind_a_create_the_end_is_one_that_is_promised() {
    lost::with_deaths("look-ups that lag", &lost::lags());
}

#[test]
fn whatever_becomes_of_a_droplet_the_end_is_one_that_is_promised() {
    lost::with_deaths("fates of a droplet", &lost::fates());
}

#[test]
fn whatever_becomes_of_the_answer_to_a_delete_the_end_is_one_that_is_promised() {
    lost::with_deaths("answers to a delete", &lost::deletes());
}

#[test]
fn whatever_becomes_of_a_snapshot_the_end_is_one_that_is_promised() {
    lost::with_deaths("fates of a snapshot", &lost::snapshots());
}

#[test]
fn whatever_a_listing_says_the_end_is_one_that_is_promised() {
    lost::with_deaths("listings", &lost::listings());
}
