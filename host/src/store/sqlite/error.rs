//! What an error of the database means for the one who asked.

use sqlx::error::DatabaseError;

use crate::store::StoreError;

// Primary and extended result codes of SQLite.
const SQLITE_ERROR: i32 = 1;
const SQLITE_IOERR: i32 = 10;
const SQLITE_TOOBIG: i32 = 18;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_MISMATCH: i32 = 20;
const SQLITE_RANGE: i32 = 25;
const SQLITE_IOERR_FSYNC: i32 = SQLITE_IOERR | (4 << 8);
const SQLITE_IOERR_DIR_FSYNC: i32 = SQLITE_IOERR | (5 << 8);

/// For everything but the commit itself.
pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    match extended_code(&error) {
        Some(SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC) => StoreError::Durability(error.to_string()),
        _ => StoreError::Unavailable(Box::new(error)),
    }
}

/// A commit that met an input or output error may be on the disk or not, whichever call of the system failed.
pub(super) fn commit_error(error: sqlx::Error) -> StoreError {
    match extended_code(&error) {
        Some(code) if code & 0xff == SQLITE_IOERR => StoreError::Durability(error.to_string()),
        _ => store_error(error),
    }
}

/// The statement or its values are at fault, not the database: other changes may well be applied.
pub(super) fn is_about_data(error: &sqlx::Error) -> bool {
    match extended_code(error) {
        Some(code) => matches!(
            code & 0xff,
            SQLITE_ERROR | SQLITE_TOOBIG | SQLITE_CONSTRAINT | SQLITE_MISMATCH | SQLITE_RANGE
        ),
        None => matches!(
            error,
            sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }
        ),
    }
}

fn extended_code(error: &sqlx::Error) -> Option<i32> {
    error
        .as_database_error()
        .and_then(DatabaseError::code)
        .and_then(|code| code.parse().ok())
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
        const IOERR_WRITE: i32 = SQLITE_IOERR | (3 << 8);
        const BUSY: i32 = 5;
        const READONLY: i32 = 8;
        const FULL: i32 = 13;
        let in_doubt = |error: StoreError| matches!(error, StoreError::Durability(_));
        for code in [SQLITE_IOERR_FSYNC, SQLITE_IOERR_DIR_FSYNC] {
            assert!(in_doubt(store_error(coded(code))), "{code}");
            assert!(in_doubt(commit_error(coded(code))), "{code}");
        }
        assert!(in_doubt(commit_error(coded(IOERR_WRITE))));
        assert!(
            !in_doubt(store_error(coded(IOERR_WRITE))),
            "before the commit it is rolled back"
        );
        for code in [BUSY, READONLY, FULL] {
            assert!(!in_doubt(commit_error(coded(code))), "{code}");
            assert!(!is_about_data(&coded(code)), "{code}");
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
