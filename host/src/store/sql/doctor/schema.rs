//! The schema: migrations that were applied, against those that this program knows; and who the database is.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;

use super::counted;
use crate::store::{
    StoreError,
    doctor::Verdict,
    sql::{
        connection::{Connection, Query, sql},
        error::store_error,
        statement::Statement,
    },
};

/// A migration of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    version: i64,
    checksum: Vec<u8>,
}

pub(super) fn known(migrations: &Migrator) -> Vec<Known> {
    let ups = migrations
        .iter()
        .filter(|migration| migration.migration_type.is_up_migration());
    ups.map(|migration| Known {
        version: migration.version,
        checksum: migration.checksum.to_vec(),
    })
    .collect()
}

/// A migration that the database says was applied.
#[derive(Debug, Clone)]
struct Applied {
    checksum: Vec<u8>,
    whole: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No host has ever opened it.
    Absent,
    Same {
        newest: i64,
    },
    /// These are to come.
    Older {
        newest: Option<i64>,
        missing: Vec<i64>,
    },
    /// This program doesn't know these.
    Newer {
        unknown: Vec<i64>,
    },
    /// These were applied with another text than this program's.
    Changed {
        versions: Vec<i64>,
    },
    /// This one was begun and not ended.
    Half {
        version: i64,
    },
}

static HAS_TABLE: Statement = Statement::differing(
    "select exists (select 1 from sqlite_master where type = 'table' and name = '_sqlx_migrations')",
    "select to_regclass('_sqlx_migrations') is not null",
);

pub(super) async fn standing(connection: &mut Connection, known: &[Known]) -> Result<Standing, StoreError> {
    let row = Query::of(&HAS_TABLE).one(connection).await;
    if !row.and_then(|row| row.try_get::<bool>(0)).map_err(store_error)? {
        return Ok(Standing::Absent);
    }
    let rows = sql!("select version, checksum, success from _sqlx_migrations order by version")
        .all(connection)
        .await
        .map_err(store_error)?;
    let mut applied = BTreeMap::new();
    for row in &rows {
        let read = || -> Result<(i64, Applied), sqlx::Error> {
            Ok((
                row.try_get(0)?,
                Applied {
                    checksum: row.try_get(1)?,
                    whole: row.try_get(2)?,
                },
            ))
        };
        let (version, one) = read().map_err(store_error)?;
        applied.insert(version, one);
    }
    Ok(compared(&applied, known))
}

fn compared(applied: &BTreeMap<i64, Applied>, known: &[Known]) -> Standing {
    if let Some((version, _)) = applied.iter().find(|(_, one)| !one.whole) {
        return Standing::Half { version: *version };
    }
    let unknown: Vec<i64> = applied
        .keys()
        .copied()
        .filter(|version| !known.iter().any(|known| known.version == *version))
        .collect();
    if !unknown.is_empty() {
        return Standing::Newer { unknown };
    }
    let other = |known: &&Known| {
        let one = applied.get(&known.version);
        one.is_some_and(|one| one.checksum != known.checksum)
    };
    let changed: Vec<i64> = known.iter().filter(other).map(|known| known.version).collect();
    if !changed.is_empty() {
        return Standing::Changed { versions: changed };
    }
    let missing: Vec<i64> = known
        .iter()
        .map(|known| known.version)
        .filter(|version| !applied.contains_key(version))
        .collect();
    let newest = applied.keys().next_back().copied();
    match newest {
        Some(newest) if missing.is_empty() => Standing::Same { newest },
        newest => Standing::Older { newest, missing },
    }
}

impl Standing {
    pub(super) fn is_same(&self) -> bool {
        match self {
            Standing::Same { .. } => true,
            Standing::Absent
            | Standing::Older { .. }
            | Standing::Newer { .. }
            | Standing::Changed { .. }
            | Standing::Half { .. } => false,
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Standing::Absent => Verdict::warning(
                "there are no tables: no host has ever opened this database",
                "start a host on it, which makes them; or name another database, if this should not be empty",
            ),
            Standing::Same { newest } => Verdict::ok(format!("version {newest}, this program's")),
            Standing::Older { newest, missing } => Verdict::warning(
                format!(
                    "version {} is older than this program's: {} to come",
                    newest.unwrap_or(0),
                    counted(missing.len() as i64, "migration")
                ),
                "back it up; the next start of a host brings it up to date",
            ),
            Standing::Newer { unknown } => Verdict::problem(
                format!(
                    "a newer program made it: this one doesn't know version {}",
                    listed(unknown)
                ),
                "use the newer program that made it",
            ),
            Standing::Changed { versions } => Verdict::problem(
                format!(
                    "version {} was made by another text than this program's, so no host opens it",
                    listed(versions)
                ),
                "use the build of the program that made it",
            ),
            Standing::Half { version } => Verdict::problem(
                format!("the step to version {version} was begun and has not ended, so no host opens it"),
                "put the backup back that was made before, and start a host again",
            ),
        }
    }
}

fn listed(versions: &[i64]) -> String {
    let texts: Vec<String> = versions.iter().map(i64::to_string).collect();
    texts.join(", ")
}

pub(super) async fn installation(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let row = sql!("select id from installation")
        .optional(connection)
        .await
        .map_err(store_error)?;
    let Some(row) = row else {
        return Ok(Verdict::warning(
            "the database doesn't know who it is",
            "start a host: the first one says it, and every resource's tag names it",
        ));
    };
    let id: &str = row.try_get(0).map_err(store_error)?;
    Ok(match id.parse::<uuid::Uuid>() {
        Ok(id) => Verdict::ok(id.to_string()),
        Err(error) => Verdict::problem(
            format!("the installation's id {id:?} can't be read: {error}"),
            "put it back from a backup: the tags of all resources name it",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_applied_is_told_from_what_is_to_come_what_is_unknown_and_what_differs() {
        let known = [1, 2].map(|version| Known {
            version,
            checksum: vec![1],
        });
        let of = |applied: &[(i64, u8, bool)]| {
            let applied = applied.iter().map(|(version, checksum, whole)| {
                let one = Applied {
                    checksum: vec![*checksum],
                    whole: *whole,
                };
                (*version, one)
            });
            compared(&applied.collect(), &known)
        };
        assert_eq!(of(&[(1, 1, true), (2, 1, true)]), Standing::Same { newest: 2 });
        assert_eq!(
            of(&[(1, 1, true)]),
            Standing::Older {
                newest: Some(1),
                missing: vec![2]
            }
        );
        assert_eq!(
            of(&[(1, 1, true), (2, 1, true), (3, 1, true)]),
            Standing::Newer { unknown: vec![3] }
        );
        assert_eq!(
            of(&[(1, 9, true), (2, 1, true)]),
            Standing::Changed { versions: vec![1] }
        );
        assert_eq!(of(&[(1, 1, true), (2, 1, false)]), Standing::Half { version: 2 });
    }
}
