//! One host in this process: data folder, store, steps, engine and HTTP API, started and ended in order.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::Database;
use crate::{
    api::{self, ApiState},
    cli::{
        data_folder::{AdminToken, DataFolder},
        failure::CliError,
        server::Compiling,
    },
    cloud::{EXCHANGE_LIMIT, ServiceConfig, Services},
    engine::{
        Engine, EngineOptions, LeaseOptions, Store, WatchOptions,
        catalog::{BuiltIn, Catalog},
        tokens::{TokenText, Tokens},
    },
    step::Runtime,
    store::ADMIN,
};

/// How long calls and requests in progress may go on when the host is asked to end.
const GRACE: Duration = Duration::from_secs(10);

pub struct NodeOptions {
    pub listen: SocketAddr,
    pub data: PathBuf,
    pub database: Database,
    pub lease: LeaseOptions,
    pub services: Vec<ServiceConfig>,
    /// Whether an uploaded version may come again with other bytes.
    pub allow_replace: bool,
    pub compiling: Compiling,
}

/// What a host needs to run, opened but not at work yet: it has taken over no saga and answers no request.
pub struct Prepared {
    folder: DataFolder,
    token: Admin,
    store: Arc<dyn Store>,
    lease: LeaseOptions,
    listener: TcpListener,
    url: String,
    services: Services,
    allow_replace: bool,
    compiling: Compiling,
}

/// The administrator's token, as far as this host knows it.
#[derive(Debug, Clone)]
pub enum Admin {
    Here(AdminToken),
    /// It was revoked, and others open the door.
    Revoked,
    /// Another host of the database made it, and has it in its data folder.
    Elsewhere,
}

impl Admin {
    pub fn here(&self) -> Option<&AdminToken> {
        match self {
            Admin::Here(token) => Some(token),
            Admin::Revoked | Admin::Elsewhere => None,
        }
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Admin::Here(token) => token.fmt(f),
            Admin::Revoked => f.write_str("revoked; `arcadia token reset-admin` makes another"),
            Admin::Elsewhere => f.write_str("with the host that made it, in its data folder"),
        }
    }
}

/// A host at work.
pub struct Node {
    pub url: String,
    pub token: Admin,
    folder: DataFolder,
    engine: Arc<Engine>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
    /// The tokens that other hosts make and revoke.
    following: JoinHandle<()>,
}

impl Prepared {
    /// Opens folder, database and port. A second host on the same folder is refused here.
    pub async fn open(options: NodeOptions) -> Result<Prepared, CliError> {
        let folder = DataFolder::open(&options.data)?;
        let store = options.database.open(&folder.database()).await?;
        let token = agreed_token(&folder, store.as_ref()).await?;
        let services = Services::new(options.services)
            .map_err(|error| CliError::usage(error.to_string(), "check the services file"))?;
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(CliError::io(format!(
                "can't listen at {} (another server may be running there; choose another with --listen)",
                options.listen
            )))?;
        let address = listener
            .local_addr()
            .map_err(CliError::io("can't tell the address of the port"))?;
        let url = format!("http://{address}");
        // Whoever connects from here on is answered once the host is at work, and must find the token now.
        folder.announce(&url)?;
        Ok(Prepared {
            folder,
            token,
            store,
            lease: options.lease,
            listener,
            url,
            services,
            allow_replace: options.allow_replace,
            compiling: options.compiling,
        })
    }

    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Takes over the sagas that have not ended, and answers requests from here on.
    pub async fn start(self) -> Result<Node, CliError> {
        let runtime = Runtime::new(self.compiling.runtime_options(&self.folder))
            .map_err(|error| failed("can't start the step runtime", &error))?;
        let catalog = Catalog::open(self.store.clone(), runtime.clone(), &BuiltIn::shipped())
            .await
            .map_err(|error| failed("can't open the catalogue of steps", &error))?;
        let tokens = Tokens::open(self.store.clone())
            .await
            .map_err(|error| failed("can't read the tokens", &error))?;
        let tokens = Arc::new(tokens);
        let following = tokio::spawn(tokens.clone().follow());
        let engine = Engine::start(EngineOptions {
            store: self.store,
            services: self.services,
            runtime,
            catalog: Arc::new(catalog),
            watching: WatchOptions::default(),
            dice: Arc::new(rand::random),
            lease: self.lease,
        })
        .await
        .map_err(|error| failed("can't start the engine", &error))?;
        let state = ApiState::new(engine.clone(), tokens, self.allow_replace);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(api::serve(self.listener, state, async move {
            // An error means that nobody holds the other end any more, which is a stop too.
            let _ = stopped.await;
        }));
        Ok(Node {
            url: self.url,
            token: self.token,
            folder: self.folder,
            engine,
            stop,
            serving,
            following,
        })
    }
}

impl Node {
    pub fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// Resolves once the host has lost its lease on the database: it has to end.
    pub async fn lost(&self) {
        self.engine.lost().await;
    }

    /// Takes no more requests, and lets calls in progress end. What is cut off goes on at the next start.
    pub async fn shutdown(self) -> Result<(), CliError> {
        self.folder.withdraw()?;
        self.following.abort();
        // An error means that the server has ended already; joining it tells why.
        let _ = self.stop.send(());
        let served = tokio::time::timeout(GRACE, self.serving).await;
        // What a lost host has on the wire nobody else can read to its end.
        let lost = self.engine.is_lost();
        self.engine
            .shutdown(if lost { EXCHANGE_LIMIT } else { GRACE })
            .await;
        match served {
            Ok(Ok(Err(error))) => Err(CliError::io("the HTTP server ended")(error)),
            Ok(Err(error)) => Err(CliError::failed(format!("the HTTP server broke: {error}"))),
            Ok(Ok(Ok(()))) | Err(_) => Ok(()),
        }
    }
}

/// The administrator's token, which folder and database must agree on. The first start makes it: the file first, so that a
/// crash leaves a token that the next start takes. Of hosts that start together on a new database one makes it.
async fn agreed_token(folder: &DataFolder, store: &dyn Store) -> Result<Admin, CliError> {
    let unreadable = |error| failed("can't read the tokens", &error);
    let rows = store.tokens().await.map_err(unreadable)?;
    let kept = rows.into_iter().find(|row| row.name == ADMIN);
    let file = folder.token_file();
    let (token, new) = match (folder.token()?, kept) {
        (_, Some(row)) if row.revoked.is_some() => return Ok(Admin::Revoked),
        (Some(token), Some(row)) if token.mark().hash == row.mark.hash => (token, false),
        (None, Some(_)) if store.is_shared() => return Ok(Admin::Elsewhere),
        (there, Some(_)) => return Err(disagreement(&file, there.is_some())),
        (Some(token), None) => (token, false),
        (None, None) => {
            let token = TokenText::of(rand::random());
            folder.keep_token(&token)?;
            (token, true)
        }
    };
    let written = store.admin_token(token.mark(), false).await;
    let row = written.map_err(|error| failed("can't write the token's hash", &error))?;
    if row.mark.hash != token.mark().hash {
        if !new {
            return Err(disagreement(&file, true));
        }
        folder.forget_token()?;
        return Ok(Admin::Elsewhere);
    }
    let text = token;
    Ok(Admin::Here(AdminToken { text, file, new }))
}

fn disagreement(file: &Path, is_there: bool) -> CliError {
    let file = file.display();
    let what = if is_there {
        format!("{file} holds another token than the one that this database knows")
    } else {
        format!("{file} is missing, and the database keeps only the token's hash")
    };
    CliError::usage(
        what,
        "put the file back that belongs to this database, or make a new token: arcadia token reset-admin --data FOLDER",
    )
}

pub fn failed(what: &str, error: &dyn std::error::Error) -> CliError {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    CliError::failed(text)
}
