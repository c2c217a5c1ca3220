//! With a cloud token and proxies in the environment, an engine under test sends nothing outside this machine, and neither prints
//! nor writes the token. (The demo's own test sees to the demo.)
#![cfg(target_os = "linux")]

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const TOKEN: &str = "dop_v1_never-to-be-used-5f0c1e77";
const PROXIES: [&str; 3] = ["http_proxy", "https_proxy", "all_proxy"];
const ENDS_IN: Duration = Duration::from_secs(120);
const SAMPLE_EVERY: Duration = Duration::from_millis(2);

/// A proxy that nobody may use: counts who tries.
struct Trap {
    url: String,
    visitors: Arc<AtomicUsize>,
}

impl Trap {
    fn set() -> Trap {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let visitors = Arc::new(AtomicUsize::new(0));
        let count = visitors.clone();
        // Ends with the process, like the listener.
        std::thread::spawn(move || {
            for _visitor in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Trap { url, visitors }
    }
}

/// What was seen of one process.
struct Watched {
    status: ExitStatus,
    printed: String,
    /// Addresses that it was connected to, or tried to reach.
    remotes: BTreeSet<IpAddr>,
}

fn run(mut command: Command, folder: &Path, trap: &Trap) -> Watched {
    command.env("DIGITALOCEAN_TOKEN", TOKEN).env("TMPDIR", folder);
    for proxy in PROXIES {
        command.env(proxy, &trap.url).env(proxy.to_uppercase(), &trap.url);
    }
    command.env_remove("no_proxy").env_remove("NO_PROXY");
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = process.stdout.take().unwrap();
    let mut err = process.stderr.take().unwrap();
    let out = std::thread::spawn(move || text_of(&mut out));
    let err = std::thread::spawn(move || text_of(&mut err));
    let (status, remotes) = watch(&mut process);
    let printed = out.join().unwrap() + &err.join().unwrap();
    Watched {
        status,
        printed,
        remotes,
    }
}

fn text_of(from: &mut impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn watch(process: &mut Child) -> (ExitStatus, BTreeSet<IpAddr>) {
    let deadline = Instant::now() + ENDS_IN;
    let mut remotes = BTreeSet::new();
    loop {
        remotes.append(&mut remotes_of(process.id()));
        if let Some(status) = process.try_wait().unwrap() {
            return (status, remotes);
        }
        if Instant::now() > deadline {
            process.kill().unwrap();
            panic!("the process did not end");
        }
        std::thread::sleep(SAMPLE_EVERY);
    }
}

/// Remote addresses of the sockets that the process holds now; none once it is gone.
fn remotes_of(process: u32) -> BTreeSet<IpAddr> {
    let sockets = sockets_of(process);
    let mut remotes = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        let rows = text.lines().skip(1).filter_map(remote_in);
        remotes.extend(
            rows.filter(|(_, inode)| sockets.contains(inode))
                .map(|(address, _)| address),
        );
    }
    remotes
}

fn sockets_of(process: u32) -> BTreeSet<u64> {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return BTreeSet::new();
    };
    let target = |file: fs::DirEntry| fs::read_link(file.path()).ok();
    files
        .flatten()
        .filter_map(target)
        .filter_map(|target| {
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            inode.parse().ok()
        })
        .collect()
}

/// The remote address and the inode in a row of the kernel's table; none for a socket without a remote end.
fn remote_in(row: &str) -> Option<(IpAddr, u64)> {
    let fields: Vec<&str> = row.split_whitespace().collect();
    let (address, port) = fields.get(2)?.split_once(':')?;
    if port == "0000" {
        return None;
    }
    // Words of four bytes in the machine's order.
    let words: Vec<[u8; 4]> = (0..address.len() / 8)
        .filter_map(|word| u32::from_str_radix(&address[word * 8..word * 8 + 8], 16).ok())
        .map(u32::to_ne_bytes)
        .collect();
    let bytes: Vec<u8> = words.concat();
    let address = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => IpAddr::from(bytes),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).to_canonical(),
    };
    Some((address, fields.get(9)?.parse().ok()?))
}

fn is_outside(address: &IpAddr) -> bool {
    !address.is_loopback()
}

/// Files under this folder that contain the token.
fn files_with_token(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with_token(&path));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        if bytes
            .windows(TOKEN.len())
            .any(|window| window == TOKEN.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Runs a test of this binary in a process of its own.
fn assert_stays_here(test: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", test]);
    let folder = tempfile::tempdir().unwrap();
    let trap = Trap::set();
    let watched = run(command, folder.path(), &trap);
    let outside: Vec<_> = watched
        .remotes
        .iter()
        .filter(|address| is_outside(address))
        .collect();
    assert!(
        outside.is_empty(),
        "connected to {outside:?}\n{}",
        watched.printed
    );
    assert!(!watched.remotes.is_empty(), "no connection was seen at all");
    assert!(
        watched.status.success(),
        "{}\n{}",
        watched.status,
        watched.printed
    );
    assert!(
        watched.printed.contains("1 passed"),
        "no test ran:\n{}",
        watched.printed
    );
    assert_eq!(trap.visitors.load(Ordering::SeqCst), 0, "the proxy was used");
    assert!(!watched.printed.contains(TOKEN), "{}", watched.printed);
    let found = files_with_token(folder.path());
    assert!(found.is_empty(), "the token is in {found:?}");
}

#[test]
fn an_engine_under_test_stays_on_this_machine_and_keeps_no_token() {
    assert_stays_here("droplets::a_droplet_is_provisioned_snapshotted_and_destroyed");
}

#[test]
fn an_address_outside_is_told_from_loopback() {
    let row = |remote: &str| {
        format!(
            "   0: 0100007F:9C4A {remote} 02 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 20 4 0 10 -1"
        )
    };
    let outside = |remote: &str| {
        let (address, inode) = remote_in(&row(remote))?;
        assert_eq!(inode, 4711);
        Some(is_outside(&address))
    };
    assert_eq!(outside("016433C6:0050"), Some(true), "198.51.100.1");
    assert_eq!(outside("0100007F:0050"), Some(false), "127.0.0.1");
    assert_eq!(
        outside("00000000000000000000000001000000:0050"),
        Some(false),
        "::1"
    );
    assert_eq!(
        outside("0000000000000000FFFF00000100007F:0050"),
        Some(false),
        "::ffff:127.0.0.1"
    );
    assert_eq!(
        outside("0000000000000000FFFF0000016433C6:0050"),
        Some(true),
        "::ffff:198.51.100.1"
    );
    assert_eq!(outside("00000000:0000"), None, "nobody yet");
}
