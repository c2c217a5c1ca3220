//! WASI 0.2, empty-handed: no files, no network, no environment, no arguments. Clocks and randomness are real; stdout and
//! stderr go line by line to the call's log, and nowhere for `describe`.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{
    WasiCtx, WasiCtxView, WasiView, async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use super::{limits::MAX_LOG_BYTES, log::LogSink, state::GuestState};

/// Handles that a guest may hold at once.
const MAX_HANDLES: usize = 4_096;
const MAX_RANDOM_BYTES: u64 = 64 << 10;
const PERMIT_BYTES: usize = 64 << 10;

pub(super) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    fn new(log: Option<Arc<LogSink>>) -> Wasi {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let context = WasiCtx::builder()
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MAX_RANDOM_BYTES)
            .stdout(Lines::new(tracing::Level::INFO, log.clone()))
            .stderr(Lines::new(tracing::Level::WARN, log))
            .build();
        Wasi { context, table }
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        if self.wasi.is_none() {
            self.wasi = Some(Box::new(Wasi::new(self.log())));
        }
        let wasi = self.wasi.as_deref_mut().expect("made just above");
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut wasi.table,
        }
    }
}

/// One of the two output streams. Every handle that the guest opens has its own unfinished line.
struct Lines {
    level: tracing::Level,
    log: Option<Arc<LogSink>>,
    line: Vec<u8>,
}

impl Lines {
    fn new(level: tracing::Level, log: Option<Arc<LogSink>>) -> Lines {
        Lines {
            level,
            log,
            line: Vec::new(),
        }
    }

    fn end_line(&mut self) {
        if let (Some(log), false) = (&self.log, self.line.is_empty()) {
            let text = String::from_utf8_lossy(&self.line);
            log.write(self.level, text.trim_end_matches('\r').to_owned(), Vec::new());
        }
        self.line.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end_line();
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    /// Only WASI 0.3 asks for this one, which is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Lines::new(self.level, self.log.clone()))
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.line.len() < MAX_LOG_BYTES => self.line.push(byte),
                _ => {}
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT_BYTES)
    }
}
