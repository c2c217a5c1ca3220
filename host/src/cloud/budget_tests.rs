use std::collections::BTreeSet;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::*;

fn caller(number: u128, phase: Phase) -> Caller {
    (SagaId(Uuid::from_u128(number)), 0, phase)
}

fn run(number: u128) -> Caller {
    caller(number, Phase::Run)
}

fn undo(number: u128) -> Caller {
    caller(number, Phase::Compensate)
}

/// Takes and ends requests of fresh callers at one moment until one is refused; how many left, and the wait.
fn drain(budget: &mut Budget, now: i64, phase: Phase, first: u128) -> (u32, u64) {
    let mut taken = 0;
    loop {
        match budget.take(now, caller(first + u128::from(taken), phase)) {
            Ok(()) => budget.settle(now),
            Err(wait) => return (taken, wait),
        }
        taken += 1;
    }
}

#[test]
fn run_leaves_a_tenth_of_the_window_to_compensation() {
    let mut budget = Budget::new(100, 5_000);
    assert_eq!(drain(&mut budget, 0, Phase::Run, 0), (90, 61_000));
    assert_eq!(drain(&mut budget, 0, Phase::Compensate, 1_000), (10, 61_000));
}

#[test]
fn hosts_that_share_a_budget_take_equal_parts_of_it() {
    let mut budget = Budget::new(100, 5_000);
    budget.share_among(3);
    assert_eq!(budget.limits(), (33, 1_666));
    assert_eq!(drain(&mut budget, 0, Phase::Compensate, 0).0, 33);
    budget.share_among(1);
    assert_eq!(drain(&mut budget, 0, Phase::Compensate, 1_000).0, 67);
    budget.share_among(1_000);
    assert_eq!(budget.limits(), (1, 5), "never nothing");
}

#[test]
fn the_hour_limits_too() {
    let mut budget = Budget::new(100, 150);
    assert_eq!(drain(&mut budget, 0, Phase::Compensate, 0), (100, 61_000));
    let (taken, wait) = drain(&mut budget, 80_000, Phase::Compensate, 1_000);
    assert_eq!((taken, wait), (50, 3_530_000));
}

#[test]
fn a_budget_of_one_lets_run_have_it() {
    let mut budget = Budget::new(1, 1);
    assert_eq!(budget.take(0, run(1)), Ok(()));
    assert!(budget.take(0, run(2)).is_err());
}

#[test]
fn a_slot_is_held_until_a_window_after_the_exchange_ended() {
    let mut budget = Budget::new(1, 100);
    assert_eq!(budget.take(0, undo(1)), Ok(()));
    budget.settle(100_000);
    assert_eq!(budget.take(100_000, undo(2)), Err(61_000));
    assert_eq!(budget.take(161_000, undo(2)), Ok(()));
}

#[test]
fn what_was_not_sent_costs_nothing() {
    let mut budget = Budget::new(1, 1);
    assert_eq!(budget.take(0, undo(1)), Ok(()));
    budget.release();
    assert_eq!(budget.take(0, undo(2)), Ok(()));
}

#[test]
fn refused_callers_get_different_moments_and_keep_theirs_however_often_they_ask() {
    let mut budget = Budget::new(100, 5_000);
    for number in 0..90 {
        assert_eq!(
            budget.take(i64::try_from(number).unwrap() * 100, run(number)),
            Ok(())
        );
        budget.settle(i64::try_from(number).unwrap() * 100);
    }
    let waits: Vec<u64> = (1_000..1_090)
        .map(|number| budget.take(9_000, run(number)).unwrap_err())
        .collect();
    let distinct: BTreeSet<u64> = waits.iter().copied().collect();
    assert_eq!(distinct.len(), 90, "{waits:?}");
    assert_eq!(waits[0], 52_000);
    assert_eq!(budget.take(9_000, run(1_000)), Err(waits[0]));
    assert_eq!(budget.take(10_000, run(1_089)), Err(waits[89] - 1_000));
}

#[test]
fn a_newcomer_leaves_room_for_those_whose_turn_has_come_for_ten_seconds() {
    let mut budget = Budget::new(1, 100);
    assert_eq!(budget.take(0, run(1)), Ok(()));
    budget.settle(0);
    assert_eq!(budget.take(0, run(2)), Err(61_000));
    assert!(budget.take(61_000, run(3)).is_err());
    assert_eq!(budget.take(61_000, run(2)), Ok(()));
    budget.settle(61_000);

    // 3 has the next slot, at 122,000.
    assert_eq!(budget.take(61_001, run(4)), Err(183_000 - 61_001));
    assert!(budget.take(122_000 + 10_000, run(5)).is_err(), "3 may still come");
    assert_eq!(budget.take(122_000 + 10_001, run(6)), Ok(()), "3 didn't come");
}

#[test]
fn what_left_in_one_burst_does_not_come_back_in_one() {
    let mut budget = Budget::new(244, 5_000);
    drain(&mut budget, 0, Phase::Compensate, 0);
    let waits: Vec<u64> = (1_000..1_003)
        .map(|number| budget.take(0, undo(number)).unwrap_err())
        .collect();
    assert_eq!(waits, [61_025, 61_050, 61_075]);
}

#[test]
fn compensation_does_not_wait_for_the_turns_of_run() {
    let mut budget = Budget::new(10, 5_000);
    drain(&mut budget, 0, Phase::Run, 0);
    for number in 100..200 {
        assert!(budget.take(0, run(number)).is_err());
    }
    assert_eq!(budget.take(0, undo(1)), Ok(()));
}

#[test]
fn a_pause_stops_everybody_then_one_request_goes_first() {
    let mut budget = Budget::new(100, 5_000);
    assert_eq!(budget.take(0, run(1)), Ok(()));
    budget.settle(10);
    budget.observe(10, Hint::Pause { pause_ms: 20_000 });
    let waits: Vec<u64> = (10..20)
        .map(|number| budget.take(10, undo(number)).unwrap_err())
        .collect();
    assert!(waits.iter().all(|wait| *wait >= 20_000), "{waits:?}");
    assert_eq!(waits.iter().collect::<BTreeSet<_>>().len(), 10, "{waits:?}");

    assert_eq!(budget.take(20_010, undo(10)), Ok(()));
    assert!(
        budget.take(20_700, undo(11)).is_err(),
        "the first one isn't answered yet"
    );
    budget.settle(20_800);
    budget.observe(20_800, Hint::Answered { left: None });
    assert_eq!(budget.take(21_500, undo(11)), Ok(()));
    assert_eq!(budget.take(21_500, undo(12)), Ok(()));
}

#[test]
fn an_old_answer_does_not_end_the_caution_after_a_429() {
    let mut budget = Budget::new(100, 5_000);
    budget.observe(0, Hint::Pause { pause_ms: 1_000 });
    budget.observe(500, Hint::Answered { left: None });
    assert_eq!(budget.take(1_000, run(1)), Ok(()));
    assert!(budget.take(1_000, run(2)).is_err());
}

#[test]
fn the_service_s_own_count_wins_when_others_use_the_same_credential() {
    let mut budget = Budget::new(100, 5_000);
    let left = Left {
        limit: 100,
        remaining: 12,
        frees_in_ms: 30_000,
    };
    budget.observe(0, Hint::Answered { left: Some(left) });
    let (taken, wait) = drain(&mut budget, 0, Phase::Run, 0);
    assert_eq!(taken, 2, "ten are kept for compensation");
    assert_eq!(wait, 30_000);
    assert_eq!(drain(&mut budget, 0, Phase::Compensate, 100).0, 10);
    // When the oldest runs out one request finds out what is left.
    assert_eq!(budget.take(41_000, run(500)), Ok(()));
    assert!(budget.take(41_000, run(501)).is_err());
}

/// Requests arrive anywhere between leaving and being answered.
#[test]
fn no_window_of_the_upstream_is_ever_over_the_limit() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..60 {
        let limit = rng.random_range(1..40_u32);
        let mut budget = Budget::new(limit, 1_000_000);
        let mut arrivals: Vec<i64> = Vec::new();
        let mut on_wire: Vec<(i64, bool)> = Vec::new();
        let mut now = 0;
        let mut newest = 0_u128;
        for _ in 0..3_000 {
            now += if rng.random_bool(0.9) {
                rng.random_range(0..200)
            } else {
                rng.random_range(0..70_000)
            };
            on_wire.sort_unstable();
            while let Some((ends, sent)) = on_wire.first().copied().filter(|(ends, _)| *ends <= now) {
                if sent {
                    budget.settle(ends)
                } else {
                    budget.release()
                }
                on_wire.remove(0);
            }
            let phase = if rng.random_bool(0.3) {
                Phase::Compensate
            } else {
                Phase::Run
            };
            newest += 1;
            let who = rng.random_range(newest.saturating_sub(50)..=newest);
            if budget.take(now, caller(who, phase)).is_ok() {
                let ends = now + rng.random_range(0..20_000);
                let sent = rng.random_bool(0.95);
                if sent {
                    arrivals.push(rng.random_range(now..=ends));
                }
                on_wire.push((ends, sent));
            }
        }
        arrivals.sort_unstable();
        let over = arrivals
            .windows(limit as usize + 1)
            .find(|window| window[limit as usize] - window[0] < MINUTE_SPAN_MS);
        assert_eq!(over, None, "limit {limit}, seed {seed}");
    }
}

/// A hundred sagas at once, each coming back exactly when it was told: all are served, hardly any is told twice.
#[test]
fn a_crowd_that_comes_back_when_told_is_served_in_its_turn() {
    let mut budget = Budget::new(20, 5_000);
    let mut waiting: BTreeSet<(i64, u128)> = (0..100).map(|number| (0, number)).collect();
    let mut refusals = 0;
    let mut last = 0;
    while let Some((now, number)) = waiting.pop_first() {
        match budget.take(now, run(number)) {
            Ok(()) => budget.settle(now),
            Err(wait) => {
                refusals += 1;
                waiting.insert((now + i64::try_from(wait).unwrap(), number));
            }
        }
        last = now;
    }
    // 18 a window: the hundredth leaves in the sixth window.
    assert!(last <= 6 * MINUTE_SPAN_MS, "{last}");
    assert!(refusals <= 2 * 100, "{refusals}");
}
