//! Being asked to end: ctrl-c, or SIGTERM as service managers send it.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{exit::Exit, failure::CliError};

/// Resolves at the first SIGINT or SIGTERM. From then on a second one ends the process at once, which is a crash like any
/// other: what was accepted goes on at the next start.
pub async fn asked() -> Result<(), CliError> {
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    either(&mut interrupt, &mut terminate).await;
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        std::process::exit(Exit::Failure.code().into());
    });
    Ok(())
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
