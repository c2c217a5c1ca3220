//! Hostile guests: each ends with the limit that fired, by name, and its neighbours don't notice.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arcadia::{
    saga::{CallEnd, Failure, Json, Outcome, Phase, Writes},
    step::{Ended, LogLine, Runtime, RuntimeOptions},
};

use crate::step_guest::{FakeHost, Guest, RUNTIME, call, run};

const SPIN: &str = "(loop $spin (br $spin)) (unreachable)";

fn trap_code(ended: Ended) -> String {
    match ended.end.outcome {
        Outcome::Trap(failure) => failure.code,
        other => panic!("no trap: {other:?}"),
    }
}

#[tokio::test]
async fn a_call_ends_with_its_output_and_nothing_written() {
    assert_eq!(
        run(&Guest::default()).await,
        Ended {
            end: CallEnd {
                outcome: Outcome::Done(Json::trusted("{}")),
                starved: false,
            },
            writes: Writes::default(),
        }
    );
}

#[tokio::test]
async fn the_phase_decides_which_function_is_called() {
    let guest = Guest {
        compensate: "(unreachable)",
        ..Guest::default()
    };
    let mut undo = call();
    undo.phase = Phase::Compensate;
    let ended = RUNTIME
        .call(&guest.compiled(), undo, Arc::new(FakeHost::default()))
        .await;
    assert_eq!(trap_code(ended), "trap");
}

#[tokio::test]
async fn a_hot_loop_ends_with_its_wall_time() {
    let mut short = call();
    short.call_timeout_ms = 200;
    let began = Instant::now();
    let ended = RUNTIME
        .call(
            &Guest::running(SPIN).compiled(),
            short,
            Arc::new(FakeHost::default()),
        )
        .await;
    assert_eq!(ended.end.outcome, Outcome::Timeout);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_start_function_that_loops_ends_with_the_wall_time_of_the_call() {
    let guest = Guest {
        items: "(func $first (loop $spin (br $spin))) (start $first)",
        ..Guest::default()
    };
    let mut short = call();
    short.call_timeout_ms = 200;
    let ended = RUNTIME
        .call(&guest.compiled(), short, Arc::new(FakeHost::default()))
        .await;
    assert_eq!(ended.end.outcome, Outcome::Timeout);
}

#[tokio::test]
async fn a_memory_bomb_ends_with_the_memory_limit() {
    let guest = Guest::running(
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)",
    );
    assert_eq!(trap_code(run(&guest).await), "memory-limit");
}

#[tokio::test]
async fn a_memory_that_begins_over_the_limit_is_not_instantiated() {
    let guest = Guest {
        pages: 2_000,
        ..Guest::default()
    };
    assert_eq!(trap_code(run(&guest).await), "memory-limit");
    let mut larger = call();
    larger.memory_bytes = Some(128 << 20);
    let ended = RUNTIME
        .call(&guest.compiled(), larger, Arc::new(FakeHost::default()))
        .await;
    assert_eq!(ended.end.outcome, Outcome::Done(Json::trusted("{}")));
}

#[tokio::test]
async fn a_growing_table_ends_with_the_table_limit() {
    let guest = Guest {
        items: "(table $table 1 funcref)",
        run: "(loop $more (br_if $more (i32.ne
                (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1)))) (unreachable)",
        ..Guest::default()
    };
    assert_eq!(trap_code(run(&guest).await), "table-limit");
}

#[tokio::test]
async fn a_deep_recursion_ends_with_the_stack_limit() {
    let guest = Guest {
        items: "(func $deep (result i32) (i32.add (call $deep) (i32.const 1)))",
        run: "(call $deep)",
        ..Guest::default()
    };
    assert_eq!(trap_code(run(&guest).await), "stack-limit");
}

#[tokio::test]
async fn a_trap_tells_where_it_was() {
    let guest = Guest {
        items: "(func $broken (unreachable))",
        run: "(call $broken) (unreachable)",
        ..Guest::default()
    };
    assert_eq!(
        run(&guest).await.end.outcome,
        Outcome::Trap(Failure {
            code: "trap".to_owned(),
            message: "wasm trap: wasm `unreachable` instruction executed".to_owned(),
            detail: Some(Json::trusted(r#"{"backtrace":["broken","function 4"]}"#)),
        })
    );
}

#[tokio::test]
async fn an_output_over_the_limit_of_json_is_invalid() {
    let guest = Guest {
        pages: 10,
        run: "(memory.fill (i32.const 65536) (i32.const 49) (i32.const 300000))
            (call $done (i32.const 65536) (i32.const 300000))",
        ..Guest::default()
    };
    assert_eq!(trap_code(run(&guest).await), "invalid-output");
}

#[tokio::test]
async fn an_output_that_is_no_json_is_invalid() {
    let guest = Guest::running("(call $done (i32.const 64) (i32.const 1))");
    assert_eq!(trap_code(run(&guest).await), "invalid-output");
}

#[tokio::test]
async fn a_huge_output_is_not_even_copied() {
    let guest = Guest {
        pages: 200,
        run: "(memory.fill (i32.const 65536) (i32.const 49) (i32.const 10000000))
            (call $done (i32.const 65536) (i32.const 10000000))",
        ..Guest::default()
    };
    assert_eq!(trap_code(run(&guest).await), "transfer-limit");
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_counted() {
    let guest = Guest {
        imports: r#"(import "arcadia:step/log@0.1.0" "write" (func $write (param i32 i32 i32 i32 i32)))"#,
        run: "(local $left i32)
            (local.set $left (i32.const 5000))
            (loop $more
                (call $write (i32.const 3) (i32.const 64) (i32.const 2) (i32.const 0) (i32.const 0))
                (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (call $done (i32.const 64) (i32.const 2))",
        ..Guest::default()
    };
    let host = Arc::new(FakeHost::default());
    let ended = RUNTIME.call(&guest.compiled(), call(), host.clone()).await;
    assert_eq!(ended.end.outcome, Outcome::Done(Json::trusted("{}")));
    let lines = host.lines.lock().unwrap();
    assert_eq!(lines.len(), 1_001);
    assert_eq!(
        lines[999..],
        [
            LogLine {
                level: tracing::Level::WARN,
                message: "{}".to_owned(),
                fields: Vec::new(),
            },
            LogLine {
                level: tracing::Level::WARN,
                message: "4000 more lines of this call were dropped".to_owned(),
                fields: vec![("dropped".to_owned(), "4000".to_owned())],
            },
        ]
    );
}

#[tokio::test]
async fn a_flood_of_host_calls_ends_with_their_limit() {
    let guest = Guest {
        imports: r#"(import "arcadia:step/info@0.1.0" "now-ms" (func $now (result i64)))"#,
        run: "(loop $more (drop (call $now)) (br $more)) (unreachable)",
        ..Guest::default()
    };
    let mut patient = call();
    patient.call_timeout_ms = 120_000;
    let ended = RUNTIME
        .call(&guest.compiled(), patient, Arc::new(FakeHost::default()))
        .await;
    assert_eq!(trap_code(ended), "host-call-limit");
}

#[tokio::test]
async fn a_dropped_call_ends_its_guest() {
    let host = Arc::new(FakeHost::default());
    let compiled = Guest::running(SPIN).compiled();
    {
        let cut_off = RUNTIME.call(&compiled, call(), host.clone());
        assert!(
            tokio::time::timeout(Duration::from_millis(50), cut_off)
                .await
                .is_err()
        );
    }
    let began = Instant::now();
    while Arc::strong_count(&host) > 1 {
        assert!(began.elapsed() < Duration::from_secs(5), "the guest still runs");
        tokio::task::yield_now().await;
    }
}

/// Twice as many hot loops as threads: the neighbour waits for its turn, a few milliseconds, never for their end.
#[tokio::test]
async fn a_neighbour_keeps_its_latency_while_hot_loops_spin() {
    let runtime = Runtime::new(RuntimeOptions {
        threads: 2,
        max_calls: 8,
        ..RuntimeOptions::default()
    })
    .unwrap();
    let compile = |guest: &Guest| runtime.compile(guest.wasm().into()).unwrap();
    let (hot, quiet) = (compile(&Guest::running(SPIN)), compile(&Guest::default()));
    let spinning: Vec<_> = (0..4)
        .map(|_| {
            let (runtime, hot) = (runtime.clone(), hot.clone());
            let mut long = call();
            long.call_timeout_ms = 60_000;
            tokio::spawn(async move { runtime.call(&hot, long, Arc::new(FakeHost::default())).await })
        })
        .collect();
    let mut took = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let ended = runtime.call(&quiet, call(), Arc::new(FakeHost::default())).await;
        took.push(began.elapsed());
        assert_eq!(ended.end.outcome, Outcome::Done(Json::trusted("{}")));
    }
    assert!(spinning.iter().all(|task| !task.is_finished()));
    spinning.iter().for_each(|task| task.abort());
    took.sort();
    println!("median {:?}, longest {:?}", took[25], took[49]);
    assert!(took[25] < Duration::from_millis(100), "median {:?}", took[25]);
    assert!(took[49] < Duration::from_secs(2), "longest {:?}", took[49]);
}

#[tokio::test]
async fn more_calls_than_places_wait_their_turn() {
    let runtime = Runtime::new(RuntimeOptions {
        threads: 2,
        max_calls: 3,
        ..RuntimeOptions::default()
    })
    .unwrap();
    let compiled = runtime.compile(Guest::default().wasm().into()).unwrap();
    let calls = (0..40).map(|_| runtime.call(&compiled, call(), Arc::new(FakeHost::default())));
    for ended in futures_util::future::join_all(calls).await {
        assert_eq!(ended.end.outcome, Outcome::Done(Json::trusted("{}")));
    }
}

/// 200,000 places would take more address space than a process has.
#[tokio::test]
async fn without_address_space_for_a_pool_calls_run_all_the_same() {
    assert!(RUNTIME.is_pooled());
    let runtime = Runtime::new(RuntimeOptions {
        threads: 1,
        max_calls: 200_000,
        ..RuntimeOptions::default()
    })
    .unwrap();
    assert!(!runtime.is_pooled());
    let compile = |guest: Guest| runtime.compile(guest.wasm().into()).unwrap();
    let host = || Arc::new(FakeHost::default());
    let ended = runtime.call(&compile(Guest::default()), call(), host()).await;
    assert_eq!(ended.end.outcome, Outcome::Done(Json::trusted("{}")));
    let bomb = Guest::running(
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)",
    );
    assert_eq!(
        trap_code(runtime.call(&compile(bomb), call(), host()).await),
        "memory-limit"
    );
}

/// The host's functions run on the guest's stack, above its share: the deepest JSON that is read, at the deepest point that
/// a guest can reach, must fit there. It would end the process otherwise.
#[tokio::test]
async fn the_host_has_stack_left_wherever_a_guest_calls_it() {
    let nested = "[".repeat(127);
    let guest = Guest {
        imports: r#"(import "arcadia:step/context@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32)))"#,
        items: r#"(data (i32.const 4096) "a")
            (func $nest (local $at i32)
                (loop $more
                    (i32.store8 offset=8192 (local.get $at) (i32.const 91))
                    (i32.store8 offset=8319 (local.get $at) (i32.const 93))
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br_if $more (i32.lt_u (local.get $at) (i32.const 127)))))
            (func $deep (param $left i32) (result i32)
                (if (result i32) (local.get $left)
                    (then (i32.add (call $deep (i32.sub (local.get $left) (i32.const 1))) (i32.const 1)))
                    (else
                        (call $set (i32.const 4096) (i32.const 1) (i32.const 8192) (i32.const 254) (i32.const 256))
                        (i32.load8_u (i32.const 256)))))"#,
        // The attempt is 48 bytes into the invocation.
        run: "(call $nest)
            (drop (call $deep (i32.mul (i32.load offset=48 (local.get 0)) (i32.const 200))))
            (call $done (i32.const 64) (i32.const 2))",
        ..Guest::default()
    };
    let compiled = guest.compiled();
    let (mut done, mut too_deep) = (0, 0);
    for attempt in 1..200 {
        let mut call = call();
        call.attempt = attempt;
        call.writable = vec!["a".to_owned()];
        let ended = RUNTIME.call(&compiled, call, Arc::new(FakeHost::default())).await;
        match ended.end.outcome {
            Outcome::Done(_) => {
                done += 1;
                let text = format!("{nested}{}", "]".repeat(127));
                assert_eq!(ended.writes.context["a"], Some(Json::trusted(text)));
            }
            Outcome::Trap(failure) if failure.code == "stack-limit" => too_deep += 1,
            other => panic!("attempt {attempt}: {other:?}"),
        }
    }
    assert!(done > 10 && too_deep > 10, "{done} done, {too_deep} too deep");
}
