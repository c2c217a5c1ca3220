//! Compiling apart: each component in a process of its own, with limits of memory and time, and killed when it is over them.
//!
//! Compiling is the largest piece of work that bytes from outside can cause: a few kilobytes can be made to cost minutes and
//! gigabytes. So the host starts its own binary again, which answers with code or with what is wrong.
//!
//! | file | noun |
//! |---|---|
//! | `child` | that process, from the inside |
//! | `code` | what comes out of it |
//! | `cache` | where code is kept between starts |

mod cache;
mod child;
mod code;

use std::{
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    sync::{Semaphore, SemaphorePermit},
};

pub use child::{ChildLimits, compile_component};

pub(super) use cache::CodeCache;
pub(super) use code::Code;

use super::{
    CompileError, CompileLimit, CompilerOptions,
    limits::{MAX_CODE_BYTES, tidy},
};

/// The hidden command that is [`compile_component`].
pub const COMMAND: &str = "compile-component";
/// What a compiling process may say of its troubles, in bytes.
const MAX_COMPLAINT_BYTES: usize = 8 << 10;
/// What Rust's allocator says before it ends a process.
const ALLOCATION_FAILED: &str = "memory allocation of";

/// Who wants a component compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Somebody who brings it: one at a time, and behind everything else that runs here.
    ByUpload,
    /// A saga waits for it, or the host's start.
    ByCall,
}

pub(super) struct Compiler {
    options: CompilerOptions,
    uploads: Semaphore,
    calls: Semaphore,
}

impl Compiler {
    pub(super) fn new(options: CompilerOptions) -> Compiler {
        Compiler {
            uploads: Semaphore::new(1),
            calls: Semaphore::new(options.max_at_once.max(1)),
            options,
        }
    }

    /// Waits for its turn first, which uses none of the time. Dropping the future ends the process.
    pub(super) async fn compile(
        &self,
        digest: &str,
        wasm: &[u8],
        asked: Asked,
    ) -> Result<Code, CompileError> {
        let _turn = self.turn(asked).await;
        let began = Instant::now();
        let mut process = self.start(asked).map_err(not_started)?;
        let within = Duration::from_secs(self.options.max_wall_s);
        let ended = match tokio::time::timeout(within, exchange(&mut process, wasm)).await {
            Ok(ended) => ended.map_err(not_started)?,
            Err(_) => {
                // Waits for the end as well; an error means that it has ended already.
                let _ = process.kill().await;
                return Err(CompileError::Limit(CompileLimit::Wall {
                    seconds: within.as_secs(),
                }));
            }
        };
        let code = self.judge(digest, ended)?;
        tracing::info!(
            digest,
            took_ms = began.elapsed().as_millis() as u64,
            code_bytes = code.len(),
            "compiled a component"
        );
        Ok(code)
    }

    async fn turn(&self, asked: Asked) -> SemaphorePermit<'_> {
        let places = match asked {
            Asked::ByUpload => &self.uploads,
            Asked::ByCall => &self.calls,
        };
        places.acquire().await.expect("the semaphore is never closed")
    }

    fn start(&self, asked: Asked) -> std::io::Result<Child> {
        let CompilerOptions {
            program,
            max_memory_bytes,
            max_cpu_s,
            ..
        } = &self.options;
        let niceness = match asked {
            Asked::ByUpload => 10,
            Asked::ByCall => 0,
        };
        Command::new(program)
            .arg0("arcadia")
            .arg(COMMAND)
            .args([max_memory_bytes, max_cpu_s].map(u64::to_string))
            .arg(niceness.to_string())
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// What the end of the process means.
    fn judge(&self, digest: &str, ended: Ended) -> Result<Code, CompileError> {
        let Ended {
            status,
            answer,
            complaint,
        } = ended;
        let limit = |limit| Err(CompileError::Limit(limit));
        let memory = CompileLimit::Memory {
            bytes: self.options.max_memory_bytes,
        };
        if answer.len() > MAX_CODE_BYTES {
            return limit(CompileLimit::Code {
                bytes: MAX_CODE_BYTES,
            });
        }
        match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(0) => {
                if let Some(code) = Code::unpack(answer) {
                    return Ok(code);
                }
            }
            Some(child::REFUSED) => {
                let what = String::from_utf8_lossy(&answer).into_owned();
                return Err(CompileError::Invalid(tidy(what, MAX_COMPLAINT_BYTES)));
            }
            Some(child::NO_MEMORY) => return limit(memory),
            Some(child::NO_START) => {
                return Err(CompileError::NoCompiler { reason: complaint });
            }
            Some(_) => {}
            None if signal(status) == Some(Signal::XCPU) => {
                return limit(CompileLimit::Cpu {
                    seconds: self.options.max_cpu_s,
                });
            }
            None if complaint.contains(ALLOCATION_FAILED) => return limit(memory),
            None if signal(status).is_some_and(is_crash) => {}
            None => {
                return Err(CompileError::NoCompiler {
                    reason: format!(
                        "the compiler was ended from outside ({status}), maybe because the machine is short of memory"
                    ),
                });
            }
        }
        tracing::warn!(digest, %status, complaint, "the compiler failed");
        Err(CompileError::Failed {
            status: status.to_string(),
        })
    }
}

/// How a compiling process ended, and what it said.
struct Ended {
    status: ExitStatus,
    /// At most one byte more than allowed.
    answer: Vec<u8>,
    complaint: String,
}

async fn exchange(process: &mut Child, wasm: &[u8]) -> std::io::Result<Ended> {
    // Held open to the end: see `child::end_with_the_host`.
    let mut input = process.stdin.take();
    let (output, errors) = (process.stdout.take(), process.stderr.take());
    let feed = async {
        if let Some(input) = &mut input {
            // A process that takes no more has ended, and tells by its end why.
            let _ = async {
                input.write_u64_le(wasm.len() as u64).await?;
                input.write_all(wasm).await
            }
            .await;
        }
    };
    let ((), answer, complaint) = tokio::join!(
        feed,
        up_to(output, MAX_CODE_BYTES + 1),
        up_to(errors, MAX_COMPLAINT_BYTES),
    );
    let status = process.wait().await?;
    Ok(Ended {
        status,
        answer: answer?,
        complaint: String::from_utf8_lossy(&complaint?).trim().to_owned(),
    })
}

/// What comes after that is not read, and its writer told so.
async fn up_to(from: Option<impl AsyncRead + Unpin>, bytes: usize) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    if let Some(from) = from {
        from.take(bytes as u64).read_to_end(&mut read).await?;
    }
    Ok(read)
}

fn signal(status: ExitStatus) -> Option<Signal> {
    use std::os::unix::process::ExitStatusExt as _;
    Signal::from_named_raw(status.signal()?)
}

/// What a process brings upon itself by what it does. Every other signal is somebody else's: the kernel's when the machine is
/// out of memory (SIGKILL), or an operator's (SIGTERM, to all that a host started).
fn is_crash(signal: Signal) -> bool {
    [
        Signal::ABORT,
        Signal::BUS,
        Signal::FPE,
        Signal::ILL,
        Signal::SEGV,
        Signal::SYS,
        Signal::TRAP,
    ]
    .contains(&signal)
}

fn not_started(error: std::io::Error) -> CompileError {
    CompileError::NoCompiler {
        reason: error.to_string(),
    }
}
