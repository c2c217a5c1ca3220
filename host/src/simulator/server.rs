//! The two ports: one task per connection, so that a fault can break a single connection in a real way, and all of them
//! end with the simulator.

use std::{error::Error, future::poll_fn, io, sync::Arc};

use axum::Router;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    gate::{self, Cut},
    provider::{Provider, has_gone},
};

/// Serves the provider's API until dropped.
pub(super) async fn serve_api(listener: TcpListener, provider: Arc<Provider>) {
    accept(listener, |stream| serve_api_connection(stream, provider.clone())).await;
}

/// Serves the control API until dropped.
pub(super) async fn serve_control(listener: TcpListener, router: Router) {
    accept(listener, |stream| {
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        async move { connection.await.map_err(io::Error::other) }
    })
    .await;
}

/// Runs a task per connection; dropped, it ends them.
async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A failed accept concerns a client that has gone already, or a limit that passes.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream));
                } else {
                    tokio::task::yield_now().await;
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_api_connection(stream: TcpStream, provider: Arc<Provider>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    // A second handle on the same socket, to ask whether the client is still there.
    let peer = Arc::new(stream.try_clone()?);
    let stream = TcpStream::from_std(stream)?;

    let service = service_fn(move |request| {
        let (provider, peer) = (provider.clone(), peer.clone());
        Box::pin(async move { gate::pass(&provider, || has_gone(&peer), request).await })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let cut = ended.as_ref().err().and_then(Error::source);
    if cut.and_then(|cut| cut.downcast_ref()) == Some(&Cut::Reset) {
        // Closed with nothing to linger for, the system sends RST instead of FIN.
        connection.into_parts().io.into_inner().set_zero_linger()?;
    }
    Ok(())
}
