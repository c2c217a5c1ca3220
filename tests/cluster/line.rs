//! A line between two processes, which can be cut, and which can keep whoever calls waiting.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io,
    net::{TcpSocket, TcpStream},
    sync::watch,
    task::JoinHandle,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing passes, in either direction, and nobody is told; new calls are taken, and nothing more.
    Cut,
    /// New calls are not taken: the system of whoever calls keeps on trying. What is open stays so.
    Busy,
}

pub struct Line {
    pub address: SocketAddr,
    state: watch::Sender<State>,
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
        let state = watch::Sender::new(State::Open);
        let mut now = state.subscribe();
        let states = state.clone();
        let answering = tokio::spawn(async move {
            loop {
                if now.wait_for(|now| *now != State::Busy).await.is_err() {
                    return;
                }
                let caller = tokio::select! {
                    caller = listener.accept() => caller,
                    _ = now.changed() => continue,
                };
                let Ok((caller, _)) = caller else { return };
                let states = states.subscribe();
                tokio::spawn(async move {
                    if let Ok(callee) = TcpStream::connect(target).await {
                        talk(caller, callee, states).await;
                    }
                });
            }
        });
        Line {
            address,
            state,
            crowd: Mutex::default(),
            _answering: answering,
        }
    }

    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// From here on callers wait until the line is mended, as far as their systems are patient.
    pub async fn keep_busy(&self) {
        self.state.send_replace(State::Busy);
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
        self.state.send_replace(State::Open);
    }
}

async fn talk(caller: TcpStream, callee: TcpStream, states: watch::Receiver<State>) {
    let (caller_says, caller_hears) = caller.into_split();
    let (callee_says, callee_hears) = callee.into_split();
    let states = Arc::new(states);
    let one = tokio::spawn(carry(caller_says, callee_hears, states.clone()));
    carry(callee_says, caller_hears, states).await;
    one.abort();
}

async fn carry(
    mut from: impl io::AsyncRead + Unpin,
    mut to: impl io::AsyncWrite + Unpin,
    states: Arc<watch::Receiver<State>>,
) {
    use io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut states = watch::Receiver::clone(&states);
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = match from.read(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        if states.wait_for(|now| *now != State::Cut).await.is_err() {
            break;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
    // Whoever hears nothing more may be gone already.
    let _ = to.shutdown().await;
}
