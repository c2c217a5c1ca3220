//! A DigitalOcean simulator: a real HTTP server with state, rules and faults, and a second port that controls it.
//!
//! It owns what the provider would own (droplets, actions, snapshots, tags, keys, the account) and nothing outlives its
//! process. It uses nothing else of this crate. What happens is decided by pure code that is told the time
//! ([`world`](self) and the endpoints), so that every rule can be tested without a socket.
//!
//! Answers carry URLs on another host name than the simulator's own, ids above 2^31, networks in random order, and the
//! rate-limit headers with their limits. Everything random comes from one seed.
//!
//! # A request's way
//! Read to its end; written into the journal; token, rate limit; faults and holds are decided; delayed; held; **effect**;
//! held; delayed; answered, or the connection cut. A client that goes away before the effect prevents it: also one that is
//! killed while its request is held and only then released.
//!
//! # The control API
//! JSON both ways; errors are `{"error": "…"}`. Times are milliseconds since the Unix epoch by the simulator's clock.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /state` | | [`StateReport`]: droplets (gone ones too), snapshots, actions, tags |
//! | `GET /droplets/count` | | `{"live": 1, "ever": 3}` |
//! | `POST /droplets/{id}/out-of-band` | `{"change": "delete"}`, `power-off`, `power-on`, `rename` + `name`, `resize` + `size`, `retag` + `tags`, `rebuild` + `image` | 204 |
//! | `GET /journal?after=&method=&tag=` | | [`JournalPage`]: [`Entry`] by entry, with effects |
//! | `POST /faults` | [`Fault`]: `{"match": Matcher, "nth", "times", "probability", "fault": {"kind": …}}` | 201 `{"id": 1}` |
//! | `GET /faults`, `DELETE /faults`, `DELETE /faults/{id}` | | [`Faults`]; 204 |
//! | `POST /holds` | [`Hold`]: `{"match": Matcher, "nth": 1, "point": "before-effect"}` | 201 `{"id": 1}` |
//! | `GET /holds`, `GET /holds/{id}?wait_ms=5000` | | [`HoldReport`]; waits until a request is held (at most 60 s) |
//! | `POST /holds/{id}/release` | | [`HoldReport`] |
//! | `GET /options`, `PATCH /options` | a part of [`Rules`] (JSON merge patch) | all [`Rules`] |
//! | `GET /clock`, `POST /clock/advance` | `{"ms": 60000}` | `{"now_ms": …}` |
//!
//! A [`Matcher`] is `{"method", "path", "query", "tag", "body"}`, each optional; `path` is a glob.

mod api;
mod catalogue;
mod clock;
mod control;
mod fault;
mod gate;
mod hold;
mod journal;
mod matcher;
mod options;
mod provider;
mod rate;
mod refusal;
mod reply;
mod server;
mod world;

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};

pub use control::{
    ActionReport, ClockReport, DropletCount, DropletReport, Faults, HoldReport, Holds, JournalPage,
    SnapshotReport, StateReport,
};
pub use fault::{AnswerFault, BodyForm, Fault, FaultKind, Point, PostedFault, Strange};
pub use hold::{Hold, HoldState};
pub use journal::{Entry, Outcome};
pub use matcher::Matcher;
pub use options::{
    AccountStatus, ClockMode, DeleteWhileNew, Lag, LinksForm, Options, Order, Rules, Token, UnknownTag,
};
pub use world::{Activation, Effect, Listing};

use provider::Provider;

/// A running simulator. Many can run in one process; each has its own state. Dropped, it stops at once: its ports close
/// and its connections break.
#[derive(Debug)]
pub struct Simulator {
    api_addr: SocketAddr,
    control_addr: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Simulator {
    /// Binds both ports and serves on the current tokio runtime.
    ///
    /// # Errors
    /// A port can't be bound.
    pub async fn start(options: Options) -> io::Result<Self> {
        let api = TcpListener::bind(options.api_addr).await?;
        let control = TcpListener::bind(options.control_addr).await?;
        let (api_addr, control_addr) = (api.local_addr()?, control.local_addr()?);
        let provider = Arc::new(Provider::new(&options));
        let router = control::router(provider.clone());
        Ok(Self {
            api_addr,
            control_addr,
            tasks: [
                tokio::spawn(server::serve_api(api, provider)),
                tokio::spawn(server::serve_control(control, router)),
            ],
        })
    }

    /// Base URL of the provider's API, without a trailing slash or `/v2`.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api_addr)
    }

    /// Base URL of the control API, without a trailing slash.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control_addr)
    }

    /// Stops, and returns when both ports are closed.
    pub async fn shutdown(mut self) {
        for task in &mut self.tasks {
            task.abort();
            // The error says that the task was aborted, as it should be.
            let _aborted = task.await;
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
