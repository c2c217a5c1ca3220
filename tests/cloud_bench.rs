//! An upstream that does exactly what a test says, byte by byte, and a journal in memory.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arcadia::{
    cloud::{
        FetchError, Grant, Identity, IntentRefused, Journal, Once, Outgoing, Response, Secret, ServiceConfig,
        Services,
    },
    saga::{Answer, AnswerVerdict, Intent, JournalRecord, Phase, RecordState, SagaId, StepIndex},
};
use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use uuid::Uuid;

pub const TOKEN: &str = "dop_v1_0123456789abcdef";

/// What the upstream does once it has read a request whole.
pub enum Reply {
    /// Writes the bytes and keeps the connection.
    Write(Vec<u8>),
    /// Writes the bytes and closes.
    WriteAndClose(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Never answers.
    Silence,
    /// Waits for a permit first.
    After(Arc<Semaphore>, Box<Reply>),
}

impl Reply {
    pub fn json(status: u16, body: &str) -> Self {
        Reply::with(status, "content-type: application/json\r\n", body)
    }

    pub fn with(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Reply::Write(
            format!("HTTP/1.1 {status} Whatever\r\n{headers}content-length: {length}\r\n\r\n{body}")
                .into_bytes(),
        )
    }

    /// Held back until the semaphore gets a permit.
    pub fn held(self) -> (Self, Arc<Semaphore>) {
        let permit = Arc::new(Semaphore::new(0));
        (Reply::After(Arc::clone(&permit), Box::new(self)), permit)
    }
}

#[derive(Debug, Clone)]
pub struct Arrived {
    pub connection: usize,
    /// Number of the request on its connection, from 0.
    pub nth: usize,
    /// `POST /v2/droplets`.
    pub line: String,
    /// Request line and headers as they came.
    pub head: String,
}

/// Answers requests in the order of its script, then with 200 `{}`.
pub struct Upstream {
    pub url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    came: Arc<Semaphore>,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    pub async fn start(script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Upstream {
            url: format!("http://{}", listener.local_addr().unwrap()),
            arrived: Arc::default(),
            came: Arc::new(Semaphore::new(0)),
            connections: Arc::default(),
        };
        let script = Arc::new(Mutex::new(VecDeque::from(script)));
        let (arrived, came, connections) = (
            Arc::clone(&upstream.arrived),
            Arc::clone(&upstream.came),
            Arc::clone(&upstream.connections),
        );
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(
                    stream,
                    connection,
                    Arc::clone(&script),
                    Arc::clone(&arrived),
                    Arc::clone(&came),
                ));
            }
        });
        upstream
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.arrived().into_iter().map(|arrived| arrived.line).collect()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits for one more request to have come whole.
    pub async fn next_arrival(&self) {
        let permit = tokio::time::timeout(Duration::from_secs(10), self.came.acquire()).await;
        permit.expect("a request arrives").unwrap().forget();
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    script: Arc<Mutex<VecDeque<Reply>>>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    came: Arc<Semaphore>,
) {
    for nth in 0.. {
        let Some(head) = read_request(&mut stream).await else {
            return;
        };
        let line = head.split(" HTTP/").next().unwrap_or_default().to_owned();
        arrived.lock().unwrap().push(Arrived {
            connection,
            nth,
            line,
            head,
        });
        let mut reply = script
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| Reply::json(200, "{}"));
        came.add_permits(1);
        while let Reply::After(permit, next) = reply {
            permit.acquire().await.unwrap().forget();
            reply = *next;
        }
        match reply {
            Reply::Write(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Reply::WriteAndClose(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Reply::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
            Reply::Silence => std::future::pending().await,
            Reply::After(..) => unreachable!("waited for above"),
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let length = head
        .lines()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse::<usize>()
                .ok()
        })
        .unwrap_or(0);
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// The journal of one step, in memory. Its clock moves only when told.
pub struct Ledger {
    owner: (SagaId, StepIndex, Phase),
    now_ms: AtomicI64,
    pub records: Mutex<Vec<JournalRecord>>,
    pub refuse: Mutex<Option<IntentRefused>>,
    /// When set, intents and answers become durable one permit at a time.
    pub slow_disk: Mutex<Option<Arc<Semaphore>>>,
}

impl Ledger {
    pub fn new() -> Arc<Self> {
        Self::of(1)
    }

    pub fn of(saga: u128) -> Arc<Self> {
        Arc::new(Ledger {
            owner: (SagaId(Uuid::from_u128(saga)), 0, Phase::Run),
            now_ms: AtomicI64::new(1_700_000_000_000),
            records: Mutex::default(),
            refuse: Mutex::default(),
            slow_disk: Mutex::default(),
        })
    }

    pub fn advance(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn states(&self) -> Vec<RecordState> {
        self.records
            .lock()
            .unwrap()
            .iter()
            .map(|record| record.state.clone())
            .collect()
    }

    async fn disk(&self) {
        let disk = self.slow_disk.lock().unwrap().clone();
        if let Some(disk) = disk {
            disk.acquire().await.unwrap().forget();
        }
    }

    /// `(answered, conclusive) | refused | unsent | open`, for tables.
    pub fn words(&self) -> Vec<&'static str> {
        let word = |state: RecordState| match state {
            RecordState::Open { ended_at_ms: None } => "on the wire",
            RecordState::Open { ended_at_ms: Some(_) } => "lost",
            RecordState::Answered { conclusive: true, .. } => "conclusive",
            RecordState::Answered {
                conclusive: false, ..
            } => "inconclusive",
            RecordState::Refused { .. } => "refused",
            RecordState::Unsent { .. } => "unsent",
        };
        self.states().into_iter().map(word).collect()
    }
}

#[async_trait]
impl Journal for Ledger {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn owner(&self) -> (SagaId, StepIndex, Phase) {
        self.owner
    }

    async fn admits(&self, _: &str, _: &Identity) -> Result<(), FetchError> {
        Ok(())
    }

    async fn intend(&self, intent: Intent) -> Result<(), IntentRefused> {
        self.disk().await;
        if let Some(refused) = self.refuse.lock().unwrap().clone() {
            return Err(refused);
        }
        let state = RecordState::Open { ended_at_ms: None };
        self.records.lock().unwrap().push(JournalRecord { intent, state });
        Ok(())
    }

    async fn answer(&self, answer: Answer) {
        self.disk().await;
        let at_ms = answer.at_ms;
        let mut records = self.records.lock().unwrap();
        let record = records
            .iter_mut()
            .find(|record| record.intent.id == answer.intent)
            .expect("an intent first");
        assert_eq!(
            record.state,
            RecordState::Open { ended_at_ms: None },
            "answered once"
        );
        record.state = match answer.verdict {
            AnswerVerdict::Answered { response, conclusive } => RecordState::Answered {
                response,
                conclusive,
                at_ms,
            },
            AnswerVerdict::Refused { response } => RecordState::Refused { response, at_ms },
            AnswerVerdict::Unsent => RecordState::Unsent { at_ms },
            AnswerVerdict::Lost => RecordState::Open {
                ended_at_ms: Some(at_ms),
            },
        };
    }

    async fn latest(&self, phase: Phase, once_key: &str) -> Result<Option<JournalRecord>, IntentRefused> {
        let records = self.records.lock().unwrap();
        let of_key = |record: &&JournalRecord| {
            record.intent.phase == phase
                && record.intent.once_key.as_deref() == Some(once_key)
                && !matches!(record.state, RecordState::Unsent { .. })
        };
        Ok(records.iter().rev().find(of_key).cloned())
    }
}

/// One service `digitalocean` at a URL, and a step that may use all of it.
pub struct Bench {
    pub services: Services,
    pub grants: Vec<Grant>,
    pub ledger: Arc<Ledger>,
}

impl Bench {
    pub fn at(url: &str) -> Self {
        let config = config(url);
        Bench {
            grants: config.allow.clone(),
            services: Services::new(vec![config]).unwrap(),
            ledger: Ledger::new(),
        }
    }

    pub async fn fetch(&self, request: Outgoing) -> Result<Response, FetchError> {
        self.fetch_as(&self.ledger, request).await
    }

    pub async fn fetch_as(&self, ledger: &Arc<Ledger>, request: Outgoing) -> Result<Response, FetchError> {
        let journal: Arc<dyn Journal> = Arc::clone(ledger) as _;
        self.services.fetch(&self.grants, journal, request).await
    }

    /// Until the step has nothing on the wire.
    pub async fn idle(&self) {
        let (saga, step, phase) = self.ledger.owner;
        let idle = self.services.idle(saga, step, phase);
        tokio::time::timeout(Duration::from_secs(10), idle)
            .await
            .expect("the exchange ends");
    }
}

pub fn config(url: &str) -> ServiceConfig {
    let all = Grant {
        service: "digitalocean".to_owned(),
        methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
            .map(str::to_owned)
            .to_vec(),
        path_prefixes: vec!["/v2".to_owned()],
    };
    ServiceConfig {
        base_url: url.to_owned(),
        allow: vec![all],
        identity: None,
        ..ServiceConfig::digitalocean(Some(Secret::new(TOKEN)))
    }
}

pub fn get(path: &str) -> Outgoing {
    Outgoing {
        service: "digitalocean".to_owned(),
        method: "GET".to_owned(),
        path: path.to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
        timeout_ms: Some(10_000),
        max_age_ms: None,
        once: None,
    }
}

pub fn post(path: &str, body: &str) -> Outgoing {
    Outgoing {
        method: "POST".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Some(body.as_bytes().to_vec()),
        ..get(path)
    }
}

pub fn create_once(body: &str) -> Outgoing {
    Outgoing {
        once: Some(Once {
            key: "create".to_owned(),
            refusals: vec![400, 422],
        }),
        ..post("/v2/droplets", body)
    }
}
