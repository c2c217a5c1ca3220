//! What an error of the database means for the one who asked.

use sqlx::{error::DatabaseError, postgres::PgDatabaseError};

use crate::store::StoreError;

/// What may be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A key is taken. Another host may have taken it meanwhile: whoever looks again sees it.
    Duplicate,
    /// The statement or its values are at fault, not the database: other changes may well be applied.
    Data,
    /// Nobody knows what the disk holds.
    Durability,
    /// It met another transaction, and may succeed when it is tried again.
    Conflict,
    /// The connection is gone, and with it what wasn't committed.
    Lost,
    /// All other troubles of the database.
    Trouble,
}

pub(super) fn meaning(error: &sqlx::Error) -> Meaning {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => meaning_of_state(error.code()),
            None => meaning_of_code(extended_code(&**error)),
        },
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => Meaning::Data,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Meaning::Lost,
        // The library's list is open.
        _ => Meaning::Trouble,
    }
}

/// For everything but the commit itself.
pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    match meaning(&error) {
        Meaning::Durability => StoreError::Durability(error.to_string()),
        Meaning::Duplicate | Meaning::Data | Meaning::Conflict | Meaning::Lost | Meaning::Trouble => {
            StoreError::Unavailable(Box::new(error))
        }
    }
}

/// A commit of SQLite that met an input or output error may be on the disk or not.
///
/// Not in doubt is one whose frames could not be written to the log, as on a disk that is full ([`SQLITE_FULL`]) or became
/// read-only, or could not be entered into the log's index, as on a full one:
///
/// - A commit writes its frames behind the end of the log, the last of them with the mark of a commit, syncs the log, and then
///   enters them into the index, whose header, written last, moves the end. All that fails before leaves the end where it was:
///   nobody reads the frames, the transaction is rolled back, and the next commit writes over them.
/// - What the next one leaves standing of longer frames never counts: each checksum continues that of the frame before it, and
///   the one before it now has the mark of another commit.
/// - Only when the index is made anew, from the log itself, may the frames count, and then all of them: if the error came after
///   the last one. That happens when nobody has the file open any more, so after the death of the process, and [`super::sqlite`] keeps
///   it open meanwhile. Its changes were answered with [`StoreError::Unavailable`], which says no more than that.
/// - Nothing that comes after the header of the index fails a commit: a checkpoint that follows it tells nobody of its errors. What
///   it could not copy into the file, or not sync there, stays in the log and is copied again.
///
/// A sync that failed is another matter: the system may have thrown away what it could not write, also of earlier commits, and
/// says so only once.
pub(super) fn commit_error(error: sqlx::Error) -> StoreError {
    match error.as_database_error().and_then(extended_code) {
        Some(SQLITE_IOERR_WRITE | SQLITE_IOERR_SHMSIZE) => store_error(error),
        Some(code) if code & 0xff == SQLITE_IOERR => StoreError::Durability(error.to_string()),
        _ => store_error(error),
    }
}

pub(super) fn is_about_data(error: &sqlx::Error) -> bool {
    matches!(meaning(error), Meaning::Data | Meaning::Duplicate)
}

/// What a person can do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskTrouble {
    Full,
    ReadOnly,
}

/// Of SQLite's disk.
pub(super) fn trouble(error: &sqlx::Error) -> Option<DiskTrouble> {
    let code = error.as_database_error().and_then(extended_code)?;
    match code & 0xff {
        SQLITE_FULL => Some(DiskTrouble::Full),
        SQLITE_READONLY => Some(DiskTrouble::ReadOnly),
        // The log's index is a file too; it has no code of its own for a full disk.
        SQLITE_IOERR if code == SQLITE_IOERR_SHMSIZE => Some(DiskTrouble::Full),
        _ => None,
    }
}

// Primary and extended result codes of SQLite.
const SQLITE_ERROR: i32 = 1;
const SQLITE_READONLY: i32 = 8;
const SQLITE_IOERR: i32 = 10;
const SQLITE_FULL: i32 = 13;
const SQLITE_TOOBIG: i32 = 18;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_MISMATCH: i32 = 20;
const SQLITE_RANGE: i32 = 25;
const SQLITE_IOERR_WRITE: i32 = SQLITE_IOERR | (3 << 8);
const SQLITE_IOERR_FSYNC: i32 = SQLITE_IOERR | (4 << 8);
const SQLITE_IOERR_DIR_FSYNC: i32 = SQLITE_IOERR | (5 << 8);
const SQLITE_IOERR_SHMSIZE: i32 = SQLITE_IOERR | (19 << 8);
const SQLITE_CONSTRAINT_PRIMARYKEY: i32 = SQLITE_CONSTRAINT | (6 << 8);
const SQLITE_CONSTRAINT_UNIQUE: i32 = SQLITE_CONSTRAINT | (8 << 8);

fn meaning_of_code(code: Option<i32>) -> Meaning {
    match code {
        Some(SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC) => Meaning::Durability,
        Some(SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE) => Meaning::Duplicate,
        Some(code) => match code & 0xff {
            SQLITE_ERROR | SQLITE_TOOBIG | SQLITE_CONSTRAINT | SQLITE_MISMATCH | SQLITE_RANGE => {
                Meaning::Data
            }
            _ => Meaning::Trouble,
        },
        None => Meaning::Trouble,
    }
}

fn extended_code(error: &dyn DatabaseError) -> Option<i32> {
    error.code().and_then(|code| code.parse().ok())
}

/// Of PostgreSQL, by SQLSTATE: its first two characters are the class.
fn meaning_of_state(state: &str) -> Meaning {
    match state {
        "23505" => Meaning::Duplicate,
        // The server shuts down, has crashed, or starts.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Meaning::Lost,
        _ => match state.get(..2).unwrap_or_default() {
            // Cardinality, data, constraints, syntax and names, limits of the program.
            "21" | "22" | "23" | "42" | "54" => Meaning::Data,
            "40" => Meaning::Conflict,
            "08" => Meaning::Lost,
            _ => Meaning::Trouble,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, error::Error, fmt};

    use sqlx::error::ErrorKind;

    use super::*;

    /// An error of the database with this extended code.
    #[derive(Debug)]
    struct Coded(i32);

    impl fmt::Display for Coded {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "code {}", self.0)
        }
    }

    impl Error for Coded {}

    impl DatabaseError for Coded {
        fn message(&self) -> &str {
            "coded"
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(Cow::Owned(self.0.to_string()))
        }

        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn coded(code: i32) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Coded(code)))
    }

    #[test]
    fn only_what_leaves_the_disk_in_doubt_ends_the_process() {
        const IOERR_READ: i32 = SQLITE_IOERR | (1 << 8);
        const BUSY: i32 = 5;
        let in_doubt = |error: StoreError| matches!(error, StoreError::Durability(_));
        for code in [SQLITE_IOERR_FSYNC, SQLITE_IOERR_DIR_FSYNC] {
            assert!(in_doubt(store_error(coded(code))), "{code}");
            assert!(in_doubt(commit_error(coded(code))), "{code}");
        }
        assert!(in_doubt(commit_error(coded(IOERR_READ))));
        assert!(
            !in_doubt(store_error(coded(IOERR_READ))),
            "before the commit it is rolled back"
        );
        for code in [
            BUSY,
            SQLITE_READONLY,
            SQLITE_FULL,
            SQLITE_IOERR_WRITE,
            SQLITE_IOERR_SHMSIZE,
        ] {
            assert!(!in_doubt(commit_error(coded(code))), "{code}");
            assert!(!is_about_data(&coded(code)), "{code}");
        }
    }

    #[test]
    fn a_state_of_the_server_is_told_by_its_class() {
        for (state, expected) in [
            ("23505", Meaning::Duplicate),
            ("23503", Meaning::Data),
            ("22P05", Meaning::Data),
            ("54000", Meaning::Data),
            ("40001", Meaning::Conflict),
            ("40P01", Meaning::Conflict),
            ("57P01", Meaning::Lost),
            ("08006", Meaning::Lost),
            ("57014", Meaning::Trouble),
            ("55P03", Meaning::Trouble),
            ("53100", Meaning::Trouble),
            ("25P02", Meaning::Trouble),
        ] {
            assert_eq!(meaning_of_state(state), expected, "{state}");
        }
    }

    #[test]
    fn what_a_change_brought_is_told_from_what_the_database_suffers() {
        for code in [
            SQLITE_CONSTRAINT | (6 << 8),
            SQLITE_TOOBIG,
            SQLITE_MISMATCH,
            SQLITE_ERROR,
        ] {
            assert!(is_about_data(&coded(code)), "{code}");
        }
        assert!(!is_about_data(&coded(SQLITE_IOERR_FSYNC)));
        assert!(!is_about_data(&sqlx::Error::PoolTimedOut));
    }
}
