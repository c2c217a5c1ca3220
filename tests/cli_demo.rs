//! The demo as a person runs it: the real binary, its time, its exit code, and where its packets go.

use std::{
    collections::HashSet,
    fs, io,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::cli_binary::{arcadia, exit_code, text};

const LIMIT: Duration = Duration::from_secs(20);
const TOKEN: &str = "dop_v1_0123456789abcdef_a_token_that_must_not_be_read";

fn demo(temporary: &Path) -> Command {
    let mut command = arcadia();
    command
        .arg("demo")
        .env("TMPDIR", temporary)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What doesn't differ from run to run: the chapters, and every line that ends a phase, without numbers and ids.
fn plot(stdout: &str) -> Vec<String> {
    let ends = |line: &str| {
        [" done ", " FAILED ", " undone"]
            .iter()
            .any(|state| line.contains(state))
    };
    let tells = |line: &&str| {
        line.starts_with(|first: char| first.is_ascii_digit()) || line.contains(" s  ") && ends(line)
    };
    let words = |line: &str| {
        let words = line
            .split_whitespace()
            .filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()));
        words.collect::<Vec<_>>().join(" ")
    };
    stdout.lines().filter(tells).map(words).collect()
}

#[test]
fn two_demos_at_once_tell_the_same_story_whether_or_not_there_is_a_token_and_leave_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let trap = format!("http://{}", proxy.local_addr().unwrap());
    let plain = demo(temporary.path()).spawn().unwrap();
    let mut armed = demo(temporary.path());
    armed.env("DIGITALOCEAN_TOKEN", TOKEN).arg("--keep");
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        armed.env(name, &trap).env(name.to_uppercase(), &trap);
    }
    let (armed, abroad) = watched(armed.spawn().unwrap());
    let plain = plain.wait_with_output().unwrap();
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());

    for output in [&plain, &armed] {
        assert_eq!(
            exit_code(output),
            0,
            "{}\n{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
    let story = plot(&text(&plain.stdout));
    assert_eq!(story, plot(&text(&armed.stdout)));
    assert_eq!(
        story.iter().filter(|line| line.contains("undone")).count(),
        4,
        "{story:#?}"
    );
    assert!(text(&plain.stdout).contains("0 droplets (2 were made), 1 snapshot"));

    assert_eq!(
        abroad,
        HashSet::new(),
        "sockets with a peer that is not on this machine"
    );
    assert_eq!(
        proxy.accept().unwrap_err().kind(),
        io::ErrorKind::WouldBlock,
        "a proxy was used"
    );
    let mut kept = fs::read_dir(temporary.path()).unwrap();
    let folder = kept.next().unwrap().unwrap().path();
    assert!(
        kept.next().is_none(),
        "only the demo with --keep leaves its folder"
    );
    for file in files(&folder) {
        let bytes = fs::read(&file).unwrap();
        let found = bytes
            .windows(TOKEN.len())
            .any(|window| window == TOKEN.as_bytes());
        assert!(!found, "the token is in {}", file.display());
    }
}

#[test]
fn a_droplet_that_can_not_be_undone_makes_the_demo_fail_and_keep_its_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let fault = r#"{"match":{"method":"DELETE","path":"/v2/droplets/*"},
        "fault":{"kind":"answer","point":"before-effect","status":403}}"#;
    let output = demo(temporary.path()).args(["--fault", fault]).output().unwrap();
    assert_eq!(exit_code(&output), 1, "{}", text(&output.stdout));
    let kept = fs::read_dir(temporary.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let told = text(&output.stderr);
    assert!(told.contains(kept.to_str().unwrap()), "{told}");
    assert!(kept.join("host/arcadia.db").exists());
    assert!(!text(&output.stdout).contains("What you saw"));
}

/// Waits for the process while looking, every few milliseconds, at all its sockets; answers the peers that are not loopback.
fn watched(child: Child) -> (Output, HashSet<String>) {
    let pid = child.id();
    let waiting = thread::spawn(move || child.wait_with_output().unwrap());
    let mut abroad = HashSet::new();
    while !waiting.is_finished() {
        abroad.extend(peers(pid).into_iter().filter(|peer| !is_loopback(peer)));
        thread::sleep(Duration::from_millis(3));
    }
    (waiting.join().unwrap(), abroad)
}

/// Peers of the sockets of a process, as the kernel writes them: address and port in hex.
fn peers(pid: u32) -> Vec<String> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let inodes: HashSet<String> = descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| {
            let target = target.to_string_lossy().into_owned();
            Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let tables = ["tcp", "tcp6", "udp", "udp6"].map(|table| format!("/proc/{pid}/net/{table}"));
    let rows = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    rows.flat_map(|rows| {
        let rows = rows
            .lines()
            .skip(1)
            .map(|row| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        rows.collect::<Vec<_>>()
    })
    .filter(|columns| columns.get(9).is_some_and(|inode| inodes.contains(inode)))
    .map(|columns| columns[2].clone())
    .collect()
}

/// Addresses are little-endian words: 127.x.y.z ends with 7F, an unconnected socket is all zeros.
fn is_loopback(peer: &str) -> bool {
    let address = peer.split(':').next().unwrap_or_default();
    let unconnected = address.bytes().all(|digit| digit == b'0');
    unconnected
        || (address.len() == 8 && address.ends_with("7F"))
        || address == "00000000000000000000000001000000"
}

#[test]
fn a_socket_that_goes_abroad_would_be_seen() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.connect(listener.local_addr().unwrap()).unwrap();
    assert!(
        peers(std::process::id())
            .iter()
            .any(|peer| peer.starts_with("0100007F:") && is_loopback(peer))
    );
    assert!(!is_loopback("08080808:0035"));
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}
