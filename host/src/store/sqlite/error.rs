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
