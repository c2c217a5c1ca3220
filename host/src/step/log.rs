//! `log`, and where stdout and stderr end.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::{
    CallHost, LogLine,
    bindings::arcadia::step::log::{Host, Level},
    limits::{MAX_LOG_BYTES, MAX_LOG_FIELDS, MAX_LOG_LINES, tidy},
    state::GuestState,
};

/// Counts the lines of one call; the last one says how many were dropped.
pub(super) struct LogSink {
    host: Arc<dyn CallHost>,
    lines: AtomicU32,
}

impl LogSink {
    pub(super) fn new(host: Arc<dyn CallHost>) -> LogSink {
        LogSink {
            host,
            lines: AtomicU32::new(0),
        }
    }

    pub(super) fn write(&self, level: tracing::Level, message: String, fields: Vec<(String, String)>) {
        let line = self.lines.fetch_add(1, Ordering::Relaxed);
        if line >= MAX_LOG_LINES {
            return;
        }
        self.host.log(LogLine {
            level,
            message: tidy(message, MAX_LOG_BYTES),
            fields: fields
                .into_iter()
                .take(MAX_LOG_FIELDS)
                .map(|(name, value)| (tidy(name, MAX_LOG_BYTES), tidy(value, MAX_LOG_BYTES)))
                .collect(),
        });
    }
}

impl Drop for LogSink {
    fn drop(&mut self) {
        let dropped = self.lines.load(Ordering::Relaxed).saturating_sub(MAX_LOG_LINES);
        if dropped > 0 {
            self.host.log(LogLine {
                level: tracing::Level::WARN,
                message: format!("{dropped} more lines of this call were dropped"),
                fields: vec![("dropped".to_owned(), dropped.to_string())],
            });
        }
    }
}

impl Host for GuestState {
    fn write(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => tracing::Level::TRACE,
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error => tracing::Level::ERROR,
        };
        self.enter("log.write")?.log.write(level, message, fields);
        Ok(())
    }
}
