//! The sentences of the crash contract, one by one. What only a reopened file can show is in `sqlite`.

use arcadia::{
    saga::{Answer, AnswerVerdict, ComponentRef, Event, Hold, Phase, Saga, SagaId, Status, Writes},
    store::{Applied, Change, Checkpoint, Fence, HostId, Idempotency, RecordIntent, SagaFindings},
};
use uuid::Uuid;

use super::fixture::{accept, advance, cancel, done, finding, intent, json, on_every_store, plan, saga};

fn checkpoint(saga: SagaId, fence: Fence) -> Change {
    let mut writes = Writes::default();
    writes.context.insert("droplet_id".to_owned(), Some(json("7")));
    Change::Checkpoint(Box::new(Checkpoint {
        saga,
        fence,
        step: 0,
        phase: Phase::Run,
        scope: String::new(),
        writes,
        at_ms: 2_000,
    }))
}

fn keyed(number: u128, key: &str, hash: &str, fence: Fence) -> Change {
    let mut new = accept(&saga(number, plan()), fence);
    new.idempotency = Some(Idempotency {
        key: key.to_owned(),
        request_hash: hash.to_owned(),
    });
    Change::Accept(Box::new(new))
}

fn findings(saga: SagaId, fence: Fence) -> Change {
    Change::Findings(Box::new(SagaFindings {
        saga,
        fence,
        resolved_codes: vec!["stuck"],
        findings: vec![finding("changed", None)],
        at_ms: 2_000,
    }))
}

pub fn record(number: u128, saga: SagaId, phase: Phase, fence: Fence) -> Change {
    Change::Intent(Box::new(RecordIntent {
        fence,
        intent: intent(number, saga, 0, phase),
    }))
}

on_every_store! {
    what_was_answered_is_read_back(store) {
        let first = store.start(1).await;
        let second = store.go(&first, done(0)).await;
        let loaded = store.store.load(first.id).await.unwrap().unwrap();
        assert_eq!(loaded.saga, second);
        assert_eq!(loaded.fence, store.fence());
        assert_eq!(loaded.header.inputs, json(r#"{"droplet_name": "web-1"}"#));
        assert!(store.store.load(SagaId(Uuid::from_u128(2))).await.unwrap().is_none());
    }

    a_bad_change_in_the_middle_leaves_nothing_and_its_neighbours_are_applied(store) {
        let (first, second, third) = (store.start(1).await, store.start(2).await, store.start(3).await);
        let fence = store.fence();
        assert_eq!(store.one(record(70, first.id, Phase::Run, fence)).await, Applied::Done);
        let mut bad = advance(&second, done(0), fence);
        bad.intent = Some(intent(70, second.id, 0, Phase::Run));
        let before = store.snapshot(&[second.id]).await;
        let applied = store
            .commit(vec![
                Change::Advance(Box::new(advance(&first, done(0), fence))),
                Change::Advance(Box::new(bad)),
                Change::Advance(Box::new(advance(&third, done(0), fence))),
                checkpoint(second.id, Fence { number: 9, ..fence }),
            ])
            .await;
        assert_eq!(applied[0], Applied::Done);
        assert!(matches!(&applied[1], Applied::Failed(_)), "{applied:?}");
        assert_eq!(applied[2..], [Applied::Done, Applied::Fenced]);
        assert_eq!(store.snapshot(&[second.id]).await, before);
        for id in [first.id, third.id] {
            assert_eq!(store.store.load(id).await.unwrap().unwrap().saga.revision, 2);
        }
    }

    changes_of_one_saga_in_one_commit_are_applied_in_order(store) {
        let fence = store.fence();
        let start = saga(1, plan());
        let first = advance(&start, done(0), fence);
        let second = advance(&first.saga, done(1), fence);
        let third = advance(&second.saga, done(2), fence);
        let last = (*third.saga).clone();
        let applied = store
            .commit(vec![
                Change::Accept(Box::new(accept(&start, fence))),
                Change::Advance(Box::new(first)),
                Change::Advance(Box::new(second)),
                Change::Advance(Box::new(third)),
            ])
            .await;
        assert_eq!(applied, vec![Applied::Done; 4]);
        let loaded = store.store.load(start.id).await.unwrap().unwrap();
        assert_eq!(loaded.saga, last);
        assert_eq!(loaded.saga.status, Status::Completed);
    }

    a_late_fence_changes_nothing(store) {
        let start = store.start(1).await;
        let before = store.snapshot(&[start.id]).await;
        let late = [
            Fence { number: 0, ..store.fence() },
            Fence { number: 2, ..store.fence() },
            Fence { owner: HostId(Uuid::from_u128(0xB)), ..store.fence() },
        ];
        for fence in late {
            let applied = store
                .commit(vec![
                    Change::Advance(Box::new(advance(&start, done(0), fence))),
                    checkpoint(start.id, fence),
                    record(70, start.id, Phase::Run, fence),
                    record(71, start.id, Phase::Compensate, fence),
                    findings(start.id, fence),
                ])
                .await;
            assert_eq!(applied, vec![Applied::Fenced; 5], "{fence:?}");
        }
        assert_eq!(store.snapshot(&[start.id]).await, before);
    }

    a_change_of_a_saga_that_is_not_there_is_fenced(store) {
        let start = saga(1, plan());
        let fence = store.fence();
        let applied = store
            .commit(vec![
                Change::Advance(Box::new(advance(&start, done(0), fence))),
                checkpoint(start.id, fence),
                record(70, start.id, Phase::Run, fence),
            ])
            .await;
        assert_eq!(applied, vec![Applied::Fenced; 3]);
    }

    an_advance_from_another_revision_changes_nothing(store) {
        let start = store.start(1).await;
        let next = store.go(&start, done(0)).await;
        let before = store.snapshot(&[start.id]).await;
        let mut ahead = advance(&next, done(1), store.fence());
        ahead.from_revision = 9;
        let applied = store
            .commit(vec![
                Change::Advance(Box::new(advance(&start, cancel(), store.fence()))),
                Change::Advance(Box::new(ahead)),
            ])
            .await;
        assert_eq!(applied, vec![Applied::Fenced; 2]);
        assert_eq!(store.snapshot(&[start.id]).await, before);
    }

    an_intent_of_run_after_a_cancel_changes_nothing_and_one_of_compensate_is_taken(store) {
        let start = store.start(1).await;
        let fence = store.fence();
        let applied = store
            .commit(vec![
                record(70, start.id, Phase::Run, fence),
                Change::Advance(Box::new(advance(&start, cancel(), fence))),
                record(71, start.id, Phase::Run, fence),
                record(72, start.id, Phase::Compensate, fence),
            ])
            .await;
        assert_eq!(applied, [Applied::Done, Applied::Done, Applied::Turned, Applied::Done]);
        assert_eq!(store.one(record(73, start.id, Phase::Run, fence)).await, Applied::Turned);
        let ids: Vec<u128> = store.store.journal(start.id).await.unwrap().iter().map(|r| r.intent.id.as_u128()).collect();
        assert_eq!(ids, [70, 72]);
    }

    an_advance_can_not_carry_an_intent_of_run_into_a_saga_that_has_turned(store) {
        let start = store.start(1).await;
        let before = store.snapshot(&[start.id]).await;
        let mut turning = advance(&start, cancel(), store.fence());
        turning.intent = Some(intent(70, start.id, 0, Phase::Run));
        assert_eq!(store.one(Change::Advance(Box::new(turning))).await, Applied::Turned);
        assert_eq!(store.snapshot(&[start.id]).await, before);
    }

    an_answer_is_taken_whoever_owns_the_saga(store) {
        let start = store.start(1).await;
        store.one(record(70, start.id, Phase::Run, store.fence())).await;
        store.hand_over(HostId(Uuid::from_u128(0xB))).await;
        let answer = Answer { intent: Uuid::from_u128(70), verdict: AnswerVerdict::Unsent, at_ms: 3_000 };
        assert_eq!(store.one(Change::Answer(Box::new(answer))).await, Applied::Done);
        let record = store.store.journal_record(Uuid::from_u128(70)).await.unwrap().unwrap();
        assert_eq!(record.state, arcadia::saga::RecordState::Unsent { at_ms: 3_000 });
    }

    a_taken_idempotency_key_changes_nothing_and_names_the_saga(store) {
        let fence = store.fence();
        assert_eq!(store.one(keyed(1, "k", "hash-1", fence)).await, Applied::Done);
        let applied = store
            .commit(vec![
                keyed(2, "k", "hash-2", fence),
                keyed(3, "other", "hash-3", fence),
                keyed(4, "other", "hash-4", fence),
            ])
            .await;
        let duplicate = |saga: u128, hash: &str| Applied::Duplicate {
            saga: SagaId(Uuid::from_u128(saga)),
            request_hash: hash.to_owned(),
        };
        assert_eq!(applied, [duplicate(1, "hash-1"), Applied::Done, duplicate(3, "hash-3")]);
        for number in [2, 4] {
            assert!(store.store.saga(SagaId(Uuid::from_u128(number))).await.unwrap().is_none());
        }
    }

    a_saga_is_accepted_once(store) {
        let start = store.start(1).await;
        let next = store.go(&start, done(0)).await;
        let again = store.one(keyed(1, "fresh", "hash", store.fence())).await;
        assert!(matches!(again, Applied::Failed(_)), "{again:?}");
        assert_eq!(store.store.load(start.id).await.unwrap().unwrap().saga, next);
        assert_eq!(store.one(keyed(2, "fresh", "hash", store.fence())).await, Applied::Done);
    }

    a_claim_shuts_the_earlier_owner_out(store) {
        let start = store.start(1).await;
        let next_host = HostId(Uuid::from_u128(0xB));
        let takeover = store.hand_over(next_host).await;
        assert_eq!(takeover.taken, [start.id]);
        let before = store.snapshot(&[start.id]).await;
        let applied = store
            .commit(vec![
                Change::Advance(Box::new(advance(&start, done(0), store.fence()))),
                checkpoint(start.id, store.fence()),
                record(70, start.id, Phase::Run, store.fence()),
            ])
            .await;
        assert_eq!(applied, vec![Applied::Fenced; 3]);
        assert_eq!(store.snapshot(&[start.id]).await, before);
        let fence = Fence { owner: next_host, number: 2 };
        assert_eq!(store.store.load(start.id).await.unwrap().unwrap().fence, fence);
        let applied = store.one(Change::Advance(Box::new(advance(&start, done(0), fence)))).await;
        assert_eq!(applied, Applied::Done);
    }

    a_saga_is_taken_from_whoever_owns_it_also_when_it_has_ended(store) {
        let next_host = HostId(Uuid::from_u128(0xB));
        let open = store.start(1).await;
        store.store.take(open.id, store.host).await.unwrap();
        assert_eq!(store.store.load(open.id).await.unwrap().unwrap().fence, store.fence());
        store.store.take(open.id, next_host).await.unwrap();
        let fence = Fence { owner: next_host, number: 2 };
        assert_eq!(store.store.load(open.id).await.unwrap().unwrap().fence, fence);
        let late = store.one(Change::Advance(Box::new(advance(&open, done(0), store.fence())))).await;
        assert_eq!(late, Applied::Fenced);
        let mut ended = store.start(2).await;
        for step in 0..3 {
            ended = store.go(&ended, done(step)).await;
        }
        store.store.take(ended.id, next_host).await.unwrap();
        assert_eq!(store.store.load(ended.id).await.unwrap().unwrap().fence, fence);
        let rollback = || Event::RollbackRequested { actor: "ann".to_owned(), reason: None };
        let late = store.one(Change::Advance(Box::new(advance(&ended, rollback(), store.fence())))).await;
        assert_eq!(late, Applied::Fenced);
        let back = advance(&ended, rollback(), fence);
        let expected = Saga::clone(&back.saga);
        assert_eq!(store.one(Change::Advance(Box::new(back))).await, Applied::Done);
        assert_eq!(store.store.load(ended.id).await.unwrap().unwrap().saga, expected);
        assert!(store.store.saga(ended.id).await.unwrap().unwrap().ended_ms.is_none());
    }

    a_paused_saga_is_never_due_and_comes_back_paused(store) {
        let start = store.start(1).await;
        let held = store.go(&start, Event::Held { hold: Hold::Service("digitalocean".to_owned()) }).await;
        let loaded = store.store.load(start.id).await.unwrap().unwrap().saga;
        assert_eq!(loaded, held);
        let owner = store.fence().owner;
        assert_eq!(store.store.due(owner, i64::MAX, 10).await.unwrap(), []);
        let released = Event::Released { hold: Hold::Service("digitalocean".to_owned()) };
        store.go(&held, released).await;
        assert_eq!(store.store.due(owner, i64::MAX, 10).await.unwrap().len(), 1);
    }

    sagas_that_have_not_ended_are_found_by_their_plan(store) {
        let (one, two, three) = (store.start(1).await, store.start(2).await, store.start(3).await);
        let component = ComponentRef { version: "0.2.0".to_owned(), digest: "f".repeat(64), ..one.plan.steps[1].component.clone() };
        let two = store.go(&two, Event::Repinned { steps: vec![(1, component)] }).await;
        let mut plans = store.store.open_plans().await.unwrap();
        plans.sort();
        let (old, new) = (one.plan.digest(), two.plan.digest());
        let mut both = vec![old.clone(), new.clone()];
        both.sort();
        assert_eq!(plans, both);
        let of = |plans: Vec<String>, after, limit| async move {
            store.store.open_sagas_of_plans(&plans, after, limit).await.unwrap()
        };
        assert_eq!(of(both.clone(), None, 10).await, [one.id, two.id, three.id]);
        assert_eq!(of(both.clone(), None, 2).await, [one.id, two.id]);
        assert_eq!(of(both.clone(), Some(one.id), 10).await, [two.id, three.id]);
        assert_eq!(of(vec![new.clone()], None, 10).await, [two.id]);
        assert_eq!(of(vec![], None, 10).await, []);
        let mut ended = two;
        for step in 0..3 {
            ended = store.go(&ended, done(step)).await;
        }
        assert_eq!(of(both, None, 10).await, [one.id, three.id]);
        assert_eq!(store.store.open_plans().await.unwrap(), [old]);
    }

    a_repinned_saga_comes_back_with_its_new_plan_and_the_old_one_stays(store) {
        let start = store.start(1).await;
        let component = ComponentRef {
            version: "2.0.0".to_owned(),
            digest: "f".repeat(64),
            ..start.plan.steps[1].component.clone()
        };
        let repinned = store.go(&start, Event::Repinned { steps: vec![(1, component.clone())] }).await;
        let loaded = store.store.load(start.id).await.unwrap().unwrap().saga;
        assert_eq!(loaded, repinned);
        assert_eq!(loaded.plan.steps[1].component, component);
        for plan in [&start.plan, &repinned.plan] {
            assert_eq!(store.store.plan(&plan.digest()).await.unwrap().as_ref(), Some(plan));
        }
        let row = store.store.saga(start.id).await.unwrap().unwrap();
        assert_eq!(row.plan_digest, repinned.plan.digest());
    }

    a_change_that_names_a_step_outside_of_the_plan_fails(store) {
        let start = store.start(1).await;
        let before = store.snapshot(&[start.id]).await;
        let mut wrong = advance(&start, done(0), store.fence());
        wrong.changed_steps.push(3);
        let applied = store.one(Change::Advance(Box::new(wrong))).await;
        assert!(matches!(applied, Applied::Failed(_)), "{applied:?}");
        assert_eq!(store.snapshot(&[start.id]).await, before);
    }
}
