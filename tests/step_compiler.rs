//! Compiling apart: what the process may use, what its end means, and that it is never left behind.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use arcadia::{
    saga::{Json, Outcome},
    step::{
        Asked, CompileError, CompileLimit, CompilerOptions, Loaded, Runtime, RuntimeOptions,
        limits::{COMPILE_CPU_S, compile_wall_s},
    },
};

use crate::{
    step_guest::{FakeHost, Guest, RUNTIME, call},
    support::runtime,
};

const COMPILE_WALL_S: u64 = compile_wall_s(COMPILE_CPU_S);
/// How soon a process that was killed is gone, on a machine with much else to do.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// Small, and within every limit of the scan, but what its `n` local variables hold after `n` branches takes work and memory
/// by the square of `n` to find out: 3,000 take a gigabyte.
pub fn heavy(n: usize) -> Vec<u8> {
    let mut items = format!(
        "(func $heavy (param i32) (result i32) (local{})",
        " i32".repeat(n)
    );
    for number in 0..n {
        items += &format!(
            "(block (br_if 0 (local.get 0)) (local.set {} (i32.const {number})))",
            number + 1
        );
    }
    items += "(i32.const 0)";
    for number in 0..n {
        items += &format!("(i32.add (local.get {}))", number + 1);
    }
    items += ")";
    let guest = Guest {
        items: items.leak(),
        ..Guest::default()
    };
    guest.wasm()
}

fn compiling(compiler: CompilerOptions) -> Arc<Runtime> {
    let options = RuntimeOptions {
        threads: 1,
        max_calls: 4,
        compiler,
        ..runtime::uncached()
    };
    Runtime::new(options).unwrap()
}

/// A shell script in the place of the compiling process.
fn scripted(folder: &Path, script: &str) -> Arc<Runtime> {
    scripted_for(COMPILE_WALL_S, folder, script)
}

fn scripted_for(max_wall_s: u64, folder: &Path, script: &str) -> Arc<Runtime> {
    let program = folder.join("compiler");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    compiling(CompilerOptions {
        program,
        max_wall_s,
        ..CompilerOptions::default()
    })
}

async fn refused(runtime: &Arc<Runtime>, wasm: Vec<u8>) -> CompileError {
    match runtime.load(wasm.into(), Asked::ByUpload).await {
        Ok(_) => panic!("it was taken"),
        Err(error) => error,
    }
}

async fn refusal_of(script: &str) -> CompileError {
    let folder = tempfile::tempdir().unwrap();
    refused(&scripted(folder.path(), script), Guest::default().wasm()).await
}

fn binary() -> CompilerOptions {
    runtime::uncached().compiler
}

#[tokio::test]
async fn code_made_apart_is_the_code_made_here() {
    let runtime = compiling(binary());
    let wasm: Arc<[u8]> = Guest::default().wasm().into();
    let Loaded { component, fresh } = runtime.load(wasm.clone(), Asked::ByCall).await.unwrap();
    assert!(fresh.is_some());
    let here = runtime.compile(wasm).unwrap();
    assert_eq!(component.digest(), here.digest());
    assert_eq!(component.imports(), here.imports());
    assert!(component.wit().is_some());
    assert_eq!(component.wit(), here.wit());
    let ended = runtime
        .call(&component, call(), Arc::new(FakeHost::default()))
        .await;
    assert_eq!(ended.end.outcome, Outcome::Done(Json::trusted("{}")));
}

#[tokio::test]
async fn an_invalid_component_is_told_apart_what_it_is_told_here() {
    let guest = Guest {
        items: "(func (drop (i64.const 0x0123456789abcdef)))",
        ..Guest::default()
    };
    let mut wasm = guest.wasm();
    // In the middle of a body, an instruction that there is none of: its number, in front of what it pushed.
    let pushed = [0x42, 0xef, 0x9b, 0xaf, 0xcd, 0xf8, 0xac, 0xd1, 0x91, 0x01];
    let at = wasm
        .windows(pushed.len())
        .position(|bytes| bytes == pushed)
        .unwrap();
    wasm[at] = 0xff;
    let Err(here) = RUNTIME.compile(wasm.clone().into()) else {
        panic!("it was taken");
    };
    assert!(matches!(here, CompileError::Invalid(_)), "{here:?}");
    assert_eq!(refused(&compiling(binary()), wasm).await, here);
}

#[tokio::test]
async fn what_takes_too_much_memory_is_given_up() {
    let bytes = 400 << 20;
    let runtime = compiling(CompilerOptions {
        max_memory_bytes: bytes,
        ..binary()
    });
    assert_eq!(
        refused(&runtime, heavy(3_000)).await,
        CompileError::Limit(CompileLimit::Memory { bytes })
    );
}

#[tokio::test]
async fn what_takes_too_much_processor_time_is_given_up() {
    let runtime = compiling(CompilerOptions {
        max_cpu_s: 1,
        ..binary()
    });
    assert_eq!(
        refused(&runtime, heavy(3_500)).await,
        CompileError::Limit(CompileLimit::Cpu { seconds: 1 })
    );
}

#[tokio::test]
async fn a_process_that_does_not_end_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let runtime = scripted_for(
        1,
        folder.path(),
        &format!("echo $$ > {}; exec sleep 600", pid.display()),
    );
    assert_eq!(
        refused(&runtime, Guest::default().wasm()).await,
        CompileError::Limit(CompileLimit::Wall { seconds: 1 })
    );
    // Empty: on a busy machine it may not even have come so far.
    let process = fs::read_to_string(pid).unwrap_or_default();
    assert!(process.is_empty() || ends_within(GONE_WITHIN, process.trim()).await);
}

#[tokio::test]
async fn a_process_that_answers_without_end_is_not_read_to_the_end() {
    assert_eq!(
        refusal_of("exec cat /dev/zero").await,
        CompileError::Limit(CompileLimit::Code { bytes: 256 << 20 })
    );
}

#[tokio::test]
async fn a_compiler_that_crashes_or_answers_nonsense_has_failed_on_the_component() {
    for (script, told) in [
        ("kill -SEGV $$", "signal: 11"),
        ("kill -ABRT $$", "signal: 6"),
        ("exit 101", "exit status: 101"),
        ("exit 0", "exit status: 0"),
    ] {
        let CompileError::Failed { status } = refusal_of(script).await else {
            panic!("{script}: another error");
        };
        assert!(status.contains(told), "{script}: {status}");
    }
    // What looks like an answer, and is none that the engine takes.
    assert!(matches!(
        refusal_of("printf '\\377\\377\\377\\377code'").await,
        CompileError::Invalid(_)
    ));
}

/// As the kernel does when the machine is out of memory, and a service manager when it stops everything.
#[tokio::test]
async fn when_a_compiler_was_ended_from_outside_nothing_is_said_of_the_component() {
    for (script, told) in [
        ("kill -KILL $$", "signal: 9"),
        ("kill -TERM $$", "signal: 15"),
        ("kill -USR1 $$", "signal: 10"),
    ] {
        let CompileError::NoCompiler { reason } = refusal_of(script).await else {
            panic!("{script}: another error");
        };
        assert!(reason.contains(told), "{script}: {reason}");
    }
}

/// What Rust says when it gets no memory, and ends.
#[tokio::test]
async fn a_compiler_that_is_refused_memory_says_so_of_the_component() {
    let script = "echo 'memory allocation of 7 bytes failed' >&2; kill -ABRT $$";
    assert!(matches!(
        refusal_of(script).await,
        CompileError::Limit(CompileLimit::Memory { .. })
    ));
}

#[tokio::test]
async fn without_a_compiler_nothing_is_said_of_the_component() {
    let runtime = compiling(CompilerOptions {
        program: PathBuf::from("/nonexistent"),
        ..CompilerOptions::default()
    });
    let error = refused(&runtime, Guest::default().wasm()).await;
    assert!(matches!(error, CompileError::NoCompiler { .. }), "{error:?}");
    let error = refusal_of("echo no luck >&2; exit 67").await;
    assert_eq!(
        error,
        CompileError::NoCompiler {
            reason: "no luck".to_owned(),
        }
    );
}

/// Descriptors that this process was started with, and would pass on to any other: `O_CLOEXEC` is not set.
fn inherited() -> Vec<u32> {
    let entries = fs::read_dir("/proc/self/fdinfo").unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|entry| {
            let text = fs::read_to_string(entry).unwrap_or_default();
            let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
            flags.is_some_and(|flags| u32::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000 == 0)
        })
        .map(|entry| entry.file_name().unwrap().to_str().unwrap().parse().unwrap())
        .filter(|number| *number > 2)
        .collect()
}

/// `XDG_…`, credentials, sockets, files: nothing that the host has opened is there.
#[tokio::test]
async fn the_process_is_given_nothing_of_the_hosts_but_its_three_pipes() {
    let _open = fs::File::open("/dev/null").unwrap();
    let _listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let passed_on = inherited();
    let folder = tempfile::tempdir().unwrap();
    // `ls` opens the folder that it lists.
    let script = "cd \"${0%/*}\" && /usr/bin/tr '\\0' '\\n' < /proc/$$/environ > environment && exec /bin/ls /proc/self/fd > open";
    refused(&scripted(folder.path(), script), Guest::default().wasm()).await;
    let seen = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
    assert_eq!(seen("environment"), "");
    let open: Vec<u32> = seen("open").lines().map(|line| line.parse().unwrap()).collect();
    let own: Vec<u32> = open
        .iter()
        .copied()
        .filter(|number| !passed_on.contains(number))
        .collect();
    let lowest = (3..).find(|number| !passed_on.contains(number)).unwrap();
    assert_eq!(
        own,
        [0, 1, 2, lowest],
        "{open:?}, and {passed_on:?} are passed on to anybody"
    );
}

#[tokio::test]
async fn nobody_waits_for_a_component_any_more_and_its_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let runtime = scripted(
        folder.path(),
        &format!("echo $$ > {}; exec sleep 600", pid.display()),
    );
    let wasm: Arc<[u8]> = Guest::default().wasm().into();
    let loading = runtime.load(wasm, Asked::ByUpload);
    let process = async {
        loop {
            let text = fs::read_to_string(&pid).unwrap_or_default();
            if text.ends_with('\n') {
                break text.trim().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let process = tokio::select! {
        _ = loading => panic!("it ended"),
        process = process => process,
    };
    assert!(ends_within(GONE_WITHIN, &process).await);
}

/// Waits for its component meanwhile, so that it has nothing else to do.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_compiling_process_goes_first_when_the_machine_is_out_of_memory() {
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_arcadia"))
        .args(["compile-component", &(4_u64 << 30).to_string(), "60", "0"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let score = format!("/proc/{}/oom_score_adj", process.id());
    let began = Instant::now();
    while fs::read_to_string(&score).unwrap().trim() != "1000" {
        assert!(began.elapsed() < GONE_WITHIN, "it does not stand back");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(process.stdin.take());
    assert_eq!(process.wait().unwrap().code(), Some(67));
}

/// The host was killed: the other end of standard input is closed, and nothing else tells.
#[tokio::test]
async fn a_compiling_process_ends_with_its_host() {
    use std::io::Write as _;
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_arcadia"))
        .args(["compile-component", &(4_u64 << 30).to_string(), "60", "0"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (wasm, mut input) = (heavy(5_000), process.stdin.take().unwrap());
    input.write_all(&(wasm.len() as u64).to_le_bytes()).unwrap();
    input.write_all(&wasm).unwrap();
    drop(input);
    // One that went on would end with 0.
    assert_eq!(process.wait().unwrap().code(), Some(67));
}

async fn ends_within(time: Duration, process: &str) -> bool {
    let began = Instant::now();
    while began.elapsed() < time {
        let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // Gone, or ended and not yet asked for.
        if state.is_empty() || state.contains(") Z ") {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

/// Uploads stand back (the fourth argument tells): one that never ends holds up other uploads, and no saga.
#[tokio::test]
async fn an_upload_that_compiles_for_long_holds_up_no_call() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "[ $4 = 0 ] && exec {} \"$@\"\nexec sleep 600",
        env!("CARGO_BIN_EXE_arcadia")
    );
    let runtime = scripted(folder.path(), &script);
    let wasm: Arc<[u8]> = Guest::default().wasm().into();
    let upload = tokio::spawn({
        let (runtime, wasm) = (runtime.clone(), wasm.clone());
        async move { runtime.load(wasm, Asked::ByUpload).await.map(|_| ()) }
    });
    runtime.load(wasm, Asked::ByCall).await.unwrap();
    assert!(!upload.is_finished());
    upload.abort();
}
