//! The compiling process, from the inside: takes one component, leaves its code, ends.
//!
//! It is given its three pipes, no environment, and no file or socket of the host: the host opens everything so that it
//! closes when another program starts. (A descriptor that the host itself was started with stays open here, too.) Its limits
//! stand before it reads the first byte that somebody else wrote.

use std::{
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

use super::code::Code;
use crate::step::{compiled, engine, limits::MAX_COMPONENT_BYTES};

/// How the process ends when it has an answer that is no code: what is wrong with the component is on standard output.
pub(super) const REFUSED: u8 = 65;
/// It was not given the memory it needs.
pub(super) const NO_MEMORY: u8 = 66;
/// It could not work at all, whatever the component: why is on standard error.
pub(super) const NO_START: u8 = 67;

/// What a compiling process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildLimits {
    /// Address space, in bytes.
    pub max_memory_bytes: u64,
    pub max_cpu_s: u64,
    /// How far it stands back behind others, 0 to 19.
    pub niceness: i32,
}

enum Failed {
    Refused(wasmtime::Error),
    NoMemory,
    NoStart(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::NoStart(error)
    }
}

/// The whole life of a compiling process: the component comes on standard input (its length first, in eight bytes, little
/// end first), its code leaves on standard output.
pub fn compile_component(limits: ChildLimits) -> ExitCode {
    match compile(limits) {
        Ok(packed) => match answer(&packed) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(NO_START),
        },
        Err(Failed::Refused(error)) => match answer(format!("{error:#}").as_bytes()) {
            Ok(()) => ExitCode::from(REFUSED),
            Err(_) => ExitCode::from(NO_START),
        },
        Err(Failed::NoMemory) => ExitCode::from(NO_MEMORY),
        Err(Failed::NoStart(error)) => {
            eprintln!("{error}");
            ExitCode::from(NO_START)
        }
    }
}

fn compile(limits: ChildLimits) -> Result<Vec<u8>, Failed> {
    limit(limits)?;
    let engine =
        engine::compiling().map_err(|error| Failed::NoStart(io::Error::other(format!("{error:#}"))))?;
    let wasm = component()?;
    end_with_the_host()?;
    let native = engine.precompile_component(&wasm).map_err(|error| {
        if lacks_memory(&error) {
            Failed::NoMemory
        } else {
            Failed::Refused(error)
        }
    })?;
    Ok(Code::pack(compiled::wit(&wasm).as_deref(), &native))
}

fn limit(limits: ChildLimits) -> io::Result<()> {
    nice(limits.niceness)?;
    go_first();
    // Standard input, output and error are there already.
    at_most(Resource::Nofile, 3)?;
    at_most(Resource::Fsize, 0)?;
    at_most(Resource::Core, 0)?;
    at_most(Resource::As, limits.max_memory_bytes)?;
    let cpu_s = limits.max_cpu_s;
    // At the soft limit comes a signal that tells what happened, at the hard one the end.
    let hard = allowed(Resource::Cpu, cpu_s.saturating_add(1));
    let rlimit = Rlimit {
        current: Some(cpu_s.min(hard)),
        maximum: Some(hard),
    };
    Ok(setrlimit(Resource::Cpu, rlimit)?)
}

/// When the machine is out of memory, Linux ends this process and not the host. Where that can't be said, it chooses by size.
fn go_first() {
    if cfg!(target_os = "linux") {
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    }
}

fn at_most(resource: Resource, limit: u64) -> io::Result<()> {
    let limit = Some(allowed(resource, limit));
    let rlimit = Rlimit {
        current: limit,
        maximum: limit,
    };
    Ok(setrlimit(resource, rlimit)?)
}

/// A limit that the host stands under already is not raised.
fn allowed(resource: Resource, limit: u64) -> u64 {
    getrlimit(resource).maximum.map_or(limit, |hard| limit.min(hard))
}

/// Its length comes first, so that what a dying host left half written is not compiled.
fn component() -> io::Result<Vec<u8>> {
    let mut input = io::stdin().lock();
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_le_bytes(length))
        .ok()
        .filter(|length| *length <= MAX_COMPONENT_BYTES)
        .ok_or(io::ErrorKind::InvalidData)?;
    let mut wasm = vec![0; length];
    input.read_exact(&mut wasm)?;
    Ok(wasm)
}

/// The host holds the other end of standard input for as long as it waits for an answer, whatever becomes of it.
fn end_with_the_host() -> io::Result<()> {
    std::thread::Builder::new().stack_size(128 << 10).spawn(|| {
        // However reading ends, nobody is there any more.
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(i32::from(NO_START));
    })?;
    Ok(())
}

fn answer(bytes: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(bytes)?;
    output.flush()
}

fn lacks_memory(error: &wasmtime::Error) -> bool {
    let asked = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory)
    };
    error.is::<wasmtime::OutOfMemory>() || error.chain().any(asked)
}
