//! A line between two processes, which can be cut or slowed, and which can keep whoever calls waiting.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passage {
    Open,
    /// Nothing passes, in either direction, and nobody is told; new calls are taken, and nothing more.
    Cut,
    /// New calls are not taken: the system of whoever calls keeps on trying. What is open stays so.
    Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    passage: Passage,
    /// What is said now arrives so much later: from the caller, and to it.
    delays: Delays,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    pub there: Duration,
    pub back: Duration,
}

impl Delays {
    const NONE: Delays = Delays {
        there: Duration::ZERO,
        back: Duration::ZERO,
    };

    pub fn each_way(delay: Duration) -> Delays {
        Delays {
            there: delay,
            back: delay,
        }
    }
}

#[derive(Debug, Clone)]
enum Direction {
    There(Arc<Mutex<Vec<Said>>>),
    Back,
}

/// The beginning of what a caller has said on one call, and when it began.
#[derive(Debug, Clone)]
pub struct Said {
    pub at_ms: i64,
    pub bytes: Vec<u8>,
}

/// Enough for a request that changes something.
const REMEMBERED: usize = 16 * 1024;
/// Chunks that may be under way in one direction of one call.
const UNDER_WAY: usize = 1_024;

pub struct Line {
    pub address: SocketAddr,
    state: watch::Sender<State>,
    said: Arc<Mutex<Vec<Said>>>,
    /// Calls that keep the line busy.
    crowd: Mutex<Vec<TcpStream>>,
    _answering: JoinHandle<()>,
}

impl Line {
    pub fn to(target: SocketAddr) -> Line {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        // No queue: a line that is busy is so after one call.
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State {
            passage: Passage::Open,
            delays: Delays::NONE,
        });
        let mut now = state.subscribe();
        let states = state.clone();
        let said = Arc::<Mutex<Vec<Said>>>::default();
        let remember = said.clone();
        let answering = tokio::spawn(async move {
            loop {
                if now.wait_for(|now| now.passage != Passage::Busy).await.is_err() {
                    return;
                }
                let caller = tokio::select! {
                    caller = listener.accept() => caller,
                    _ = now.changed() => continue,
                };
                let Ok((caller, _)) = caller else { return };
                let (states, said) = (states.subscribe(), remember.clone());
                tokio::spawn(async move {
                    if let Ok(callee) = TcpStream::connect(target).await {
                        talk(caller, callee, states, said).await;
                    }
                });
            }
        });
        Line {
            address,
            state,
            said,
            crowd: Mutex::default(),
            _answering: answering,
        }
    }

    /// One of each call, in the order in which they began to say something.
    pub fn said(&self) -> Vec<Said> {
        self.said.lock().unwrap().clone()
    }

    pub fn cut(&self) {
        self.state.send_modify(|now| now.passage = Passage::Cut);
    }

    /// What is under way already arrives as it would have, and before what is said from here on.
    pub fn slow(&self, delays: Delays) {
        self.state.send_modify(|now| now.delays = delays);
    }

    /// From here on callers wait until the line is mended, as far as their systems are patient.
    pub async fn keep_busy(&self) {
        self.state.send_modify(|now| now.passage = Passage::Busy);
        loop {
            let call = TcpStream::connect(self.address);
            match tokio::time::timeout(Duration::from_millis(300), call).await {
                Ok(Ok(call)) => self.crowd.lock().unwrap().push(call),
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    pub fn mend(&self) {
        self.crowd.lock().unwrap().clear();
        self.state.send_replace(State {
            passage: Passage::Open,
            delays: Delays::NONE,
        });
    }
}

async fn talk(
    caller: TcpStream,
    callee: TcpStream,
    states: watch::Receiver<State>,
    said: Arc<Mutex<Vec<Said>>>,
) {
    for end in [&caller, &callee] {
        end.set_nodelay(true).unwrap();
    }
    let (caller_says, caller_hears) = caller.into_split();
    let (callee_says, callee_hears) = callee.into_split();
    let there = carry(caller_says, callee_hears, states.clone(), Direction::There(said));
    let there = tokio::spawn(there);
    carry(callee_says, caller_hears, states, Direction::Back).await;
    there.abort();
}

async fn carry(
    from: impl io::AsyncRead + Unpin,
    to: impl io::AsyncWrite + Unpin,
    states: watch::Receiver<State>,
    direction: Direction,
) {
    let (under_way, arriving) = mpsc::channel(UNDER_WAY);
    let hear = hear(from, under_way, states.clone(), direction);
    // Once nobody listens any more, what is said need not be heard either.
    let mut deliver = std::pin::pin!(deliver(arriving, to, states));
    tokio::select! {
        () = hear => deliver.await,
        () = &mut deliver => {}
    }
}

async fn hear(
    mut from: impl io::AsyncRead + Unpin,
    under_way: mpsc::Sender<(Instant, Vec<u8>)>,
    states: watch::Receiver<State>,
    direction: Direction,
) {
    let mut bytes = vec![0; 64 * 1024];
    let mut last_due = Instant::now();
    let mut place = None;
    loop {
        let read = match from.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(read) => read,
        };
        let delays = states.borrow().delays;
        let delay = match &direction {
            Direction::There(said) => {
                remember(said, &mut place, &bytes[..read]);
                delays.there
            }
            Direction::Back => delays.back,
        };
        last_due = last_due.max(Instant::now() + delay);
        if under_way.send((last_due, bytes[..read].to_vec())).await.is_err() {
            return;
        }
    }
}

/// `place`: of the call, once it has said something.
fn remember(said: &Mutex<Vec<Said>>, place: &mut Option<usize>, bytes: &[u8]) {
    let mut said = said.lock().unwrap();
    let place = *place.get_or_insert_with(|| {
        said.push(Said {
            at_ms: Timestamp::now().as_millisecond(),
            bytes: Vec::new(),
        });
        said.len() - 1
    });
    let of_call = &mut said[place].bytes;
    let room = REMEMBERED.saturating_sub(of_call.len());
    of_call.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

async fn deliver(
    mut arriving: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut to: impl io::AsyncWrite + Unpin,
    mut states: watch::Receiver<State>,
) {
    while let Some((due, chunk)) = arriving.recv().await {
        tokio::time::sleep_until(due).await;
        let passes = states.wait_for(|now| now.passage != Passage::Cut).await.is_ok();
        if !passes || to.write_all(&chunk).await.is_err() {
            break;
        }
    }
    // Whoever hears nothing more may be gone already.
    let _ = to.shutdown().await;
}

#[tokio::test]
async fn what_is_said_over_a_slow_line_arrives_so_much_later_and_in_order() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = Line::to(listener.local_addr().unwrap());
    let mut caller = TcpStream::connect(line.address).await.unwrap();
    let (mut callee, _) = listener.accept().await.unwrap();
    let mut heard = [0; 2];
    line.slow(Delays {
        there: Duration::from_millis(300),
        back: Duration::ZERO,
    });
    let said = Instant::now();
    caller.write_all(b"a").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    line.mend();
    caller.write_all(b"b").await.unwrap();
    callee.read_exact(&mut heard).await.unwrap();
    assert!(said.elapsed() >= Duration::from_millis(300));
    assert_eq!(&heard, b"ab");
    line.slow(Delays::each_way(Duration::from_millis(100)));
    let said = Instant::now();
    caller.write_all(b"c").await.unwrap();
    callee.read_exact(&mut heard[..1]).await.unwrap();
    callee.write_all(b"d").await.unwrap();
    caller.read_exact(&mut heard[1..]).await.unwrap();
    assert!(said.elapsed() >= Duration::from_millis(200));
    assert_eq!(&heard, b"cd");
    drop(caller);
    assert_eq!(callee.read(&mut heard).await.unwrap(), 0, "the end arrives too");
}
