//! Connections to PostgreSQL that break in the middle of a commit: what the store then says became of it is so.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use arcadia::store::{Applied, Change, Fence, HostId, Idempotency, SqlStore, Store, StoreError};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

use super::fixture::{LEASE_MS, accept, plan, saga};
use crate::support::postgres::{self, Server};

/// Where a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    Nowhere,
    /// The server never sees the commit.
    Before,
    /// The server sees the commit, and nobody its answer.
    AtOnce,
    /// The server has answered, and nobody sees it.
    Answered,
    /// Whoever sent the commit is cut off before the server sees it.
    Late,
}

const CUTS: [Cut; 5] = [Cut::Nowhere, Cut::Before, Cut::AtOnce, Cut::Answered, Cut::Late];

/// Between the cut and the arrival of a late commit: about what the store needs to ask.
const LATE_BY_MS: u64 = 40;

struct Cutter {
    address: SocketAddr,
    done: Arc<Mutex<(u64, BTreeMap<Cut, u32>)>>,
}

impl Cutter {
    async fn to(server: SocketAddr, seed: u64) -> Cutter {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let done = Arc::new(Mutex::new((seed, BTreeMap::new())));
        let dice = done.clone();
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let dice = dice.clone();
                tokio::spawn(async move {
                    if let Ok(callee) = TcpStream::connect(server).await {
                        // An end of the talk is what this is about.
                        let _ = talk(caller, callee, &dice).await;
                    }
                });
            }
        });
        Cutter { address, done }
    }

    fn made(&self) -> BTreeMap<Cut, u32> {
        self.done.lock().unwrap().1.clone()
    }
}

fn throw(dice: &Mutex<(u64, BTreeMap<Cut, u32>)>) -> (Cut, u64) {
    let mut dice = dice.lock().unwrap();
    dice.0 = dice.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut number = (dice.0 ^ (dice.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^= number >> 31;
    let cut = CUTS[usize::try_from(number % 5).unwrap()];
    *dice.1.entry(cut).or_default() += 1;
    (cut, (number >> 8) % LATE_BY_MS)
}

/// One message of whoever calls; without a first byte while it introduces itself.
async fn message(from: &mut (impl AsyncRead + Unpin), introduced: bool) -> std::io::Result<Vec<u8>> {
    let head = if introduced { 5 } else { 4 };
    let mut bytes = vec![0; head];
    from.read_exact(&mut bytes).await?;
    let length = u32::from_be_bytes(bytes[head - 4..].try_into().unwrap()) as usize;
    let mut rest = vec![0; length - 4];
    from.read_exact(&mut rest).await?;
    bytes.extend(rest);
    Ok(bytes)
}

async fn talk(
    caller: TcpStream,
    callee: TcpStream,
    dice: &Mutex<(u64, BTreeMap<Cut, u32>)>,
) -> std::io::Result<()> {
    const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
    let (mut says, mut hears) = caller.into_split();
    let (mut answers, mut server) = callee.into_split();
    let answering = tokio::spawn(async move {
        tokio::io::copy(&mut answers, &mut hears).await.map(|_| ())?;
        Ok::<_, std::io::Error>(())
    });
    // Cut off, the caller hears nothing more.
    let hangs_up = AbortOnDrop(answering);
    loop {
        let first = message(&mut says, false).await?;
        server.write_all(&first).await?;
        if first[4..8] != SSL_REQUEST {
            break;
        }
    }
    let mut commits: HashSet<Vec<u8>> = HashSet::new();
    loop {
        let one = message(&mut says, true).await?;
        let mut texts = one[5..].split(|byte| *byte == 0);
        let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        if one[0] == b'P' && second == b"commit" {
            commits.insert(first.to_vec());
        }
        // At the end of a text with other statements, or by itself, with a message that asks for the answer.
        let is_at_end = one[0] == b'Q' && first.ends_with(b"; commit");
        let is_alone = one[0] == b'B' && commits.contains(second);
        if !is_at_end && !is_alone {
            server.write_all(&one).await?;
            continue;
        }
        let mut commit = one;
        while is_alone && (commit[commit.len() - 5] != b'S' || commit[commit.len() - 4..] != [0, 0, 0, 4]) {
            commit.extend(message(&mut says, true).await?);
        }
        let (cut, late_ms) = throw(dice);
        match cut {
            Cut::Nowhere => server.write_all(&commit).await?,
            Cut::Before => return Ok(()),
            Cut::AtOnce => return server.write_all(&commit).await,
            Cut::Answered => {
                // The caller is cut off first: the answer is read by nobody.
                drop(hangs_up);
                drop(says);
                server.write_all(&commit).await?;
                tokio::time::sleep(Duration::from_millis(30)).await;
                return Ok(());
            }
            Cut::Late => {
                drop(hangs_up);
                drop(says);
                tokio::time::sleep(Duration::from_millis(late_ms)).await;
                server.write_all(&commit).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
                return Ok(());
            }
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<std::io::Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const COMMITS: u128 = 40;

/// A saga under an idempotency key of its own.
fn start(number: u128, host: HostId) -> Change {
    let fence = Fence {
        owner: host,
        number: 1,
    };
    let mut accept = accept(&saga(number, plan()), fence);
    accept.idempotency = Some(Idempotency {
        key: format!("key-{number}"),
        request_hash: "hash".to_owned(),
    });
    Change::Accept(Box::new(accept))
}

/// Set `ARCADIA_STORE_SEED` to run one seed alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_commit_whose_connection_broke_is_told_as_it_is() {
    let Some(server) = postgres::shared() else { return };
    let seeds = match std::env::var("ARCADIA_STORE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => vec![1],
    };
    for seed in seeds {
        println!("seed {seed}");
        run(server, seed).await;
    }
}

async fn run(server: &Server, seed: u64) {
    let url = server.database();
    let there = SqlStore::postgres(&url).await.unwrap();
    let cutter = Cutter::to(([127, 0, 0, 1], server.port).into(), seed).await;
    let through = url.replace(
        &format!(":{}/", server.port),
        &format!(":{}/", cutter.address.port()),
    );
    let store = SqlStore::postgres(&through).await.unwrap();
    let host = HostId(Uuid::from_u128(0xA));
    there.open_host(host, LEASE_MS).await.unwrap();
    for number in 1..=COMMITS {
        let id = saga(number, plan()).id;
        loop {
            match store.commit(vec![start(number, host)]).await {
                Ok(applied) => {
                    // Another answer would be the trace of a commit that was said not to have happened.
                    assert_eq!(applied, [Applied::Done], "seed {seed}, saga {number}");
                    break;
                }
                // It was tried as often as it may be.
                Err(StoreError::Unavailable(error)) => {
                    let row = there.saga(id).await.unwrap();
                    assert!(row.is_none(), "seed {seed}, saga {number}: {error}");
                }
                Err(error) => panic!("seed {seed}, saga {number}: {error}"),
            }
        }
        assert!(
            there.saga(id).await.unwrap().is_some(),
            "seed {seed}, saga {number}"
        );
    }
    let name = url.rsplit('/').next().unwrap();
    let counts = server.sql(
        name,
        "select count(*), count(distinct idempotency_key), (select count(*) from saga_events) from saga_runs",
    );
    assert_eq!(counts, format!("{COMMITS}|{COMMITS}|{COMMITS}"), "seed {seed}");
    let made = cutter.made();
    println!("cuts: {made:?}");
    assert!(
        CUTS.iter()
            .all(|cut| made.get(cut).is_some_and(|count| *count >= 3)),
        "{made:?}"
    );
}
