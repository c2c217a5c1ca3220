//! What one call, one answer and one component may use. Each limit has a name in the failure it causes.

/// Largest component that is taken, in bytes.
pub const MAX_COMPONENT_BYTES: usize = 64 << 20;
/// Most core modules of one component, nested ones included.
pub const MAX_MODULES: u32 = 256;
/// Most nested components.
pub const MAX_COMPONENTS: u32 = 256;
/// Deepest nesting of components.
pub const MAX_NESTING: usize = 16;
/// Most functions of all modules of one component.
pub const MAX_FUNCTIONS: u32 = 200_000;
/// Largest body of one function, in bytes: compile time grows faster than a body.
pub const MAX_FUNCTION_BYTES: usize = 2 << 20;
/// Most instances, of modules and of components.
pub const MAX_INSTANCES: u32 = 1_000;
/// Most types, of modules and of components.
pub const MAX_TYPES: u32 = 100_000;

/// Address space of the process that compiles one component, in bytes. Measured: 440 MiB for 18 MB of Python.
pub const COMPILE_MEMORY_BYTES: u64 = 2 << 30;
/// CPU time of that process, in seconds.
pub const COMPILE_CPU_S: u64 = 60;
/// Wall time of that process, in seconds: many times its CPU time, since it may have to wait for a busy machine, and never
/// less than a minute.
pub const fn compile_wall_s(max_cpu_s: u64) -> u64 {
    let wall_s = max_cpu_s.saturating_mul(10);
    if wall_s < 60 { 60 } else { wall_s }
}
/// Largest compiled code of one component, in bytes; with what the engine has to know about it.
pub const MAX_CODE_BYTES: usize = 256 << 20;
/// Longest world of a component as WIT text, in bytes; a longer one isn't kept.
pub const MAX_WIT_BYTES: usize = 1 << 20;
/// Compiled code that is kept on disk, in bytes, in sum.
pub const CODE_CACHE_BYTES: u64 = 1 << 30;

/// Core instances, memories and tables of one call.
pub const MAX_CORE_INSTANCES: usize = 256;
pub const MAX_MEMORIES: usize = 16;
pub const MAX_TABLES: usize = 64;
/// Elements of all tables of one call.
pub const MAX_TABLE_ELEMENTS: usize = 100_000;
/// Stack of a guest, in bytes; what the host functions need is apart.
pub const MAX_STACK_BYTES: usize = 512 << 10;

/// Bytes that one host call may hand over, and that a result may have.
pub const MAX_TRANSFER_BYTES: usize = 8 << 20;
/// Calls of this package's functions.
pub const MAX_HOST_CALLS: u32 = 1_000_000;
/// Calls of `context.set` and `context.remove`.
pub const MAX_CONTEXT_WRITES: u32 = 1_000;
/// Bytes that `context` and `inventory` may write.
pub const MAX_WRITE_BYTES: usize = 8 << 20;
/// Writes of `inventory`.
pub const MAX_INVENTORY_WRITES: u32 = 1_000;
/// Reads of `inventory`.
pub const MAX_INVENTORY_READS: u32 = 1_000;
/// Calls of `http.fetch`; as many of `http.recall`.
pub const MAX_REQUESTS: u32 = 1_000;
/// Bytes of answers, headers included. The answer that crosses the line is still handed over.
pub const MAX_RESPONSE_BYTES: usize = 64 << 20;
/// Lines of log, of `log.write` and of stdout and stderr together.
pub const MAX_LOG_LINES: u32 = 1_000;
/// Longest line or field of a log, in bytes; the rest is cut off.
pub const MAX_LOG_BYTES: usize = 8 << 10;
/// Most fields of a log line.
pub const MAX_LOG_FIELDS: usize = 32;
/// Bytes of one `info.random`.
pub const MAX_RANDOM_BYTES: u32 = 4_096;
/// Longest message of a failure or finding, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 8 << 10;
/// Longest progress line, in bytes.
pub const MAX_PROGRESS_BYTES: usize = 1 << 10;

/// Wall time and memory of `describe`.
pub const DESCRIBE_MS: u64 = 2_000;
pub const DESCRIBE_MEMORY_BYTES: usize = 128 << 20;

/// A limit that ends the call. What can be said to the guest as an error isn't in here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LimitHit {
    #[error("more than {MAX_HOST_CALLS} calls of host functions")]
    HostCalls,
    #[error("{0} random bytes asked for; info.random gives at most {MAX_RANDOM_BYTES} at once")]
    Random(u32),
    #[error(
        "more than {MAX_REQUESTS} calls of http.recall, or more than {MAX_RESPONSE_BYTES} bytes recalled"
    )]
    Recalls,
    #[error("describe may not call {0}: it answers from the component alone")]
    Describing(&'static str),
    #[error("the host failed to answer {0}")]
    Host(&'static str),
}

impl LimitHit {
    pub(super) fn code(&self) -> &'static str {
        match self {
            LimitHit::HostCalls => "host-call-limit",
            LimitHit::Random(_) => "random-limit",
            LimitHit::Recalls => "recall-limit",
            LimitHit::Describing(_) => "describe-import",
            LimitHit::Host(_) => "host-failure",
        }
    }
}

/// At most `max_bytes` of a text, cut between characters, without U+0000 (which not every database can keep).
pub(super) fn tidy(text: String, max_bytes: usize) -> String {
    let mut text = if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    };
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes));
    }
    text
}

/// `[a-z0-9_.-]{1,64}`: codes of failures and findings.
pub(super) fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b))
}

/// `[A-Za-z0-9_.-]{1,128}`: keys of the context.
pub(super) fn is_key(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}
