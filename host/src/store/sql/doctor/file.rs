//! A SQLite file: reading it without a trace, and what only it has.
//!
//! The file's own lock, which a host holds, is neither taken nor tried. How the file is read depends on what lies beside it:
//!
//! | who has it open | log (`-wal`) | it is read | because |
//! |---|---|---|---|
//! | some process | | as any reader | the index of the log (`-shm`) is in use, and takes one more reader |
//! | nobody | empty | as one that can't change | then nothing is made beside it; if it changes all the same, it is read again |
//! | nobody | not empty | with the index read-only | the log of a host that was killed is read, and the index is made in memory |
//!
//! Only a log without an index, as in a copy of two of the three files, has its index made anew beside it.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::process::{Flock, FlockType, fcntl_getlk};
use sqlx::{
    ConnectOptions as _,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

use super::{clock::Moment, examine_schema, examine_tables, report::Report, schema, size};
use crate::store::{
    StoreError,
    doctor::{Code, DatabaseKind, Depth, Examination, Verdict},
    sql::{
        connection::{Connection, Query, sql},
        error::store_error,
        sqlite::{MIGRATIONS, Settings, base_options},
        statement::Statement,
    },
};

/// Every database of the library begins with it.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The byte of the index that every process locks that has the log open.
const OPEN_LOCK_BYTE: u64 = 128;
const LITTLE_ROOM: u64 = 1024 * 1024 * 1024;
const NO_ROOM: u64 = 64 * 1024 * 1024;
/// A host copies its log into the file from 16 MiB on.
const LONG_LOG: u64 = 256 * 1024 * 1024;

/// How the file can be read without a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    AsReader {
        process: Option<i32>,
    },
    Unchanging {
        was: Stamp,
    },
    IndexInMemory,
    /// The log has no index.
    IndexAnew,
}

/// Tells a file that was written to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    changed: (i64, i64),
    log_bytes: u64,
}

/// Looks at the database in the file. Never while the same process has it open in another way.
pub async fn examine_file(path: &Path, depth: Depth) -> Examination {
    let mut report = Report::default();
    match header(path) {
        Ok(header) => {
            let way = way(path);
            report = examine_by(&way, path, &header, depth).await;
            if let Way::Unchanging { was } = &way
                && (Some(was) != stamp(path).as_ref() || opened_by(path).is_some())
            {
                // Somebody has begun to write meanwhile: what was read may be of two moments.
                let way = Way::AsReader {
                    process: opened_by(path).flatten(),
                };
                report = examine_by(&way, path, &header, depth).await;
            }
        }
        Err(verdict) => report.say(Code::Reachable, verdict),
    }
    Examination {
        kind: DatabaseKind::Sqlite,
        at: path.display().to_string(),
        checks: report.checks,
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// The first bytes of the file; nothing when it is empty. An error says why it can't be read.
fn header(path: &Path) -> Result<Vec<u8>, Verdict> {
    let shown = path.display();
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Verdict::problem(
            format!("there is no file {shown}"),
            "name the host's data folder with --data, or a server with --database; the first start of a host makes the file",
        ),
        io::ErrorKind::PermissionDenied => Verdict::problem(
            format!("no permission to read {shown}"),
            "run this as the user that the host runs as",
        ),
        _ => Verdict::problem(
            format!("{shown} can't be read: {error}"),
            "see what is wrong with the disk",
        ),
    };
    if fs::metadata(path).map_err(told)?.is_dir() {
        return Err(Verdict::problem(
            format!("{shown} is a folder"),
            "name the folder with the file in it with --data",
        ));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(told)?;
    file.take(100).read_to_end(&mut bytes).map_err(told)?;
    if !bytes.is_empty() && !bytes.starts_with(MAGIC) {
        return Err(Verdict::problem(
            format!("{shown} is not a SQLite database"),
            "put the database back from a backup, or name the right folder with --data",
        ));
    }
    Ok(bytes)
}

fn way(path: &Path) -> Way {
    let log_bytes = length(&beside(path, "-wal"));
    match (opened_by(path), stamp(path)) {
        (Some(process), _) => Way::AsReader { process },
        (None, Some(was)) if log_bytes == 0 => Way::Unchanging { was },
        (None, _) if beside(path, "-shm").exists() => Way::IndexInMemory,
        (None, _) => Way::IndexAnew,
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some(Stamp {
        bytes: file.len(),
        changed: (file.mtime(), file.mtime_nsec()),
        log_bytes: length(&beside(path, "-wal")),
    })
}

/// Of a file that may not be there.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// The process that has the file and its log open, if there is one; its number isn't known when it runs in another container.
#[allow(
    clippy::option_option,
    reason = "somebody whose number is not known is somebody"
)]
fn opened_by(path: &Path) -> Option<Option<i32>> {
    let index = fs::File::open(beside(path, "-shm")).ok()?;
    let lock = Flock {
        start: OPEN_LOCK_BYTE,
        length: 1,
        ..Flock::from(FlockType::WriteLock)
    };
    // Asked, not taken.
    let held = fcntl_getlk(&index, &lock).ok()??;
    Some(held.pid.map(|process| process.as_raw_nonzero().get()))
}

impl Way {
    fn options(&self, path: &Path) -> SqliteConnectOptions {
        let file = base_options(path)
            .read_only(true)
            .synchronous(SqliteSynchronous::Full);
        match self {
            Way::AsReader { .. } | Way::IndexAnew => file,
            Way::Unchanging { .. } => file.immutable(true),
            Way::IndexInMemory => file.filename(format!("file:{}?readonly_shm=1", in_url(path))),
        }
    }
}

fn in_url(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                text.push(char::from(*byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

async fn examine_by(way: &Way, path: &Path, header: &[u8], depth: Depth) -> Report {
    let mut report = Report::default();
    let began = Instant::now();
    let opened = way.options(path).connect().await;
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(error) => {
            report.say(Code::Reachable, unreadable(path, &error));
            return report;
        }
    };
    let in_force = Settings::of(&mut connection).await;
    let connection = &mut Connection::from(connection);
    if let Err(error) = sql!("select count(*) from sqlite_master").one(connection).await {
        report.say(Code::Reachable, unreadable(path, &error));
        return report;
    }
    let reached = format!("it is there, and was read in {} ms", began.elapsed().as_millis());
    report.say(Code::Reachable, Verdict::ok(reached));
    report.look(Code::Version, version(connection)).await;
    report
        .look(Code::Settings, async { settings(in_force, header) })
        .await;
    report.say(Code::Process, process(way));
    report.say(Code::DiskSpace, disk_space(path));
    report.say(Code::Size, sizes(path, way));
    report.look(Code::Integrity, integrity(connection, depth)).await;
    if examine_schema(&mut report, connection, &schema::known(&MIGRATIONS)).await {
        let attended = matches!(way, Way::AsReader { .. });
        examine_tables(&mut report, connection, &mut Moment::here(attended), depth).await;
    }
    report
}

fn unreadable(path: &Path, error: &sqlx::Error) -> Verdict {
    Verdict::problem(
        format!("{} can't be read as a database: {error}", path.display()),
        "keep a copy of it and of the files beside it, and put it back from a backup",
    )
}

async fn version(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let row = sql!("select sqlite_version()").one(connection).await;
    let version: String = row.and_then(|row| row.try_get(0)).map_err(store_error)?;
    Ok(Verdict::ok(format!("SQLite {version}, part of this program")))
}

/// What stays in the file is read from it; the others are this program's for each of its connections.
fn settings(in_force: Result<Settings, sqlx::Error>, header: &[u8]) -> Result<Verdict, StoreError> {
    let journal_mode = match header.get(18..20) {
        Some([2, 2]) => "wal",
        Some(_) => "delete",
        None => return Ok(Verdict::ok("none yet: the file is empty")),
    };
    let mut settings = in_force.map_err(store_error)?;
    journal_mode.clone_into(&mut settings.journal_mode);
    Ok(match settings.refused() {
        None => Verdict::ok(settings.to_string()),
        Some(text) => Verdict::warning(text, "the next start of a host sets them, or says why it can't"),
    })
}

fn process(way: &Way) -> Verdict {
    Verdict::ok(match way {
        Way::AsReader {
            process: Some(process),
        } => format!("process {process} has the file open"),
        Way::AsReader { process: None } => "a process has the file open".to_owned(),
        Way::Unchanging { .. } => "none has the file open".to_owned(),
        Way::IndexInMemory | Way::IndexAnew => {
            "none has the file open; its log is read as it lies there".to_owned()
        }
    })
}

fn disk_space(path: &Path) -> Verdict {
    let folder = path.parent().unwrap_or(path);
    match rustix::fs::statvfs(folder) {
        Ok(disk) => room(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => Verdict::unknown(
            format!("the disk of {} can't be asked: {error}", folder.display()),
            "see how much room there is with df",
        ),
    }
}

fn room(free: u64) -> Verdict {
    let seen = format!("{} free", size(free));
    let next = "make room: when the disk is full, sagas stand still until there is room again";
    if free < NO_ROOM {
        Verdict::problem(format!("{seen}, less than {}", size(NO_ROOM)), next)
    } else if free < LITTLE_ROOM {
        Verdict::warning(format!("{seen}, less than {}", size(LITTLE_ROOM)), next)
    } else {
        Verdict::ok(seen)
    }
}

fn sizes(path: &Path, way: &Way) -> Verdict {
    let log = length(&beside(path, "-wal"));
    let seen = format!("{}, its log {}", size(length(path)), size(log));
    if log < LONG_LOG {
        return Verdict::ok(seen);
    }
    Verdict::warning(
        format!("{seen}, more than {}", size(LONG_LOG)),
        match way {
            Way::AsReader { .. } => {
                "see who reads for long (a backup, a shell): until then the log can't be copied into the file; an end in order \
                 and a new start of the host shorten it"
            }
            Way::Unchanging { .. } | Way::IndexInMemory | Way::IndexAnew => {
                "the next start of a host copies it into the file"
            }
        },
    )
}

static QUICK: Statement = Statement::new("pragma quick_check(10)");
static WHOLE: Statement = Statement::new("pragma integrity_check(10)");

async fn integrity(connection: &mut Connection, depth: Depth) -> Result<Verdict, StoreError> {
    let (statement, name) = match depth {
        Depth::Usual => (&QUICK, "quick_check"),
        Depth::Thorough => (&WHOLE, "integrity_check"),
    };
    let broken = |text: &str| {
        Verdict::problem(
            format!("{name}: {text}"),
            "stop the host, keep a copy of the file and of those beside it, and put it back from a backup",
        )
    };
    let rows = match Query::of(statement).all(connection).await {
        Ok(rows) => rows,
        Err(sqlx::Error::Database(error)) => return Ok(broken(error.message())),
        Err(error) => return Err(store_error(error)),
    };
    let lines: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    let lines = lines.map_err(store_error)?;
    Ok(if lines == ["ok"] {
        Verdict::ok(format!("{name} finds nothing"))
    } else {
        broken(&lines.join("; ").replace('\n', " "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::doctor::State;

    #[test]
    fn little_room_on_the_disk_is_a_warning_and_almost_none_a_problem() {
        assert_eq!(room(LITTLE_ROOM).state, State::Ok);
        assert!(matches!(room(LITTLE_ROOM - 1).state, State::Warning { .. }));
        assert!(matches!(room(NO_ROOM - 1).state, State::Problem { .. }));
    }

    #[test]
    fn a_path_in_a_url_keeps_its_slashes_and_hides_what_has_a_meaning_there() {
        assert_eq!(in_url(Path::new("/a b/ä?#%.db")), "/a%20b/%C3%A4%3F%23%25.db");
    }
}
