//! Being asked to end: ctrl-c, or SIGTERM as service managers send it.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{exit::Exit, failure::CliError};

/// Listening for it. Made before a server says that it is ready: whoever reads that may ask at once.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    pub fn listen() -> Result<Stop, CliError> {
        Ok(Stop {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Resolves at the first SIGINT or SIGTERM. From then on a second one ends the process at once, which is a crash like
    /// any other: what was accepted goes on at the next start.
    pub async fn asked(mut self) {
        either(&mut self.interrupt, &mut self.terminate).await;
        tokio::spawn(async move {
            either(&mut self.interrupt, &mut self.terminate).await;
            std::process::exit(Exit::Failure.code().into());
        });
    }
}

fn listen(kind: SignalKind) -> Result<Signal, CliError> {
    signal(kind).map_err(CliError::io("can't listen for signals"))
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
