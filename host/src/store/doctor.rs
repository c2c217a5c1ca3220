//! What is looked at when a database is examined, and what is said of it. Looking changes nothing.

/// What one check is about. Its name is stable: scripts may ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// The file can be read, or the server answers, and how soon.
    Reachable,
    /// Of the server, or of the library that reads the file.
    Version,
    /// Those without which a commit that was answered may be lost.
    Settings,
    /// The migrations that were applied are this program's.
    Schema,
    /// The database knows who it is.
    Installation,
    /// PostgreSQL: how many more it would take.
    Connections,
    /// PostgreSQL: what its user may do.
    Privileges,
    /// PostgreSQL: standbys that commits wait for.
    Replication,
    /// PostgreSQL: transactions that are open for long, and who waits for them.
    Transactions,
    /// PostgreSQL: how near the server is to running out of transaction numbers.
    Wraparound,
    /// SQLite: the file is whole.
    Integrity,
    /// SQLite: room on the disk.
    DiskSpace,
    /// SQLite: of the file and its log.
    Size,
    /// SQLite: which process has the file open.
    Process,
    /// SQLite: who may enter the data folder and read the administrator's token.
    Folder,
    /// This machine's against the database's, and rows from the future.
    Clock,
    Hosts,
    /// By status.
    Sagas,
    /// Sagas that have not ended and whose owner doesn't live.
    Ownership,
    /// Sagas whose time has come, and nobody does anything.
    Overdue,
    /// Sagas that need a person.
    Attention,
    Paused,
    /// Rows that can't be read back.
    Unreadable,
    /// Requests that hosts which have ended left without an end.
    Requests,
    /// Looks at ended sagas, and whether they are late.
    Watches,
    /// Open ones, by kind.
    Findings,
    /// Rows that belong to a row that isn't there.
    Orphans,
    /// The bytes of the steps that sagas need are there.
    Components,
}

impl Code {
    pub const ALL: [Code; 28] = [
        Code::Reachable,
        Code::Version,
        Code::Settings,
        Code::Schema,
        Code::Installation,
        Code::Connections,
        Code::Privileges,
        Code::Replication,
        Code::Transactions,
        Code::Wraparound,
        Code::Integrity,
        Code::DiskSpace,
        Code::Size,
        Code::Process,
        Code::Folder,
        Code::Clock,
        Code::Hosts,
        Code::Sagas,
        Code::Ownership,
        Code::Overdue,
        Code::Attention,
        Code::Paused,
        Code::Unreadable,
        Code::Requests,
        Code::Watches,
        Code::Findings,
        Code::Orphans,
        Code::Components,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Code::Reachable => "reachable",
            Code::Version => "version",
            Code::Settings => "settings",
            Code::Schema => "schema",
            Code::Installation => "installation",
            Code::Connections => "connections",
            Code::Privileges => "privileges",
            Code::Replication => "replication",
            Code::Transactions => "transactions",
            Code::Wraparound => "wraparound",
            Code::Integrity => "integrity",
            Code::DiskSpace => "disk-space",
            Code::Size => "size",
            Code::Process => "process",
            Code::Folder => "folder",
            Code::Clock => "clock",
            Code::Hosts => "hosts",
            Code::Sagas => "sagas",
            Code::Ownership => "ownership",
            Code::Overdue => "overdue",
            Code::Attention => "attention",
            Code::Paused => "paused",
            Code::Unreadable => "unreadable",
            Code::Requests => "requests",
            Code::Watches => "watches",
            Code::Findings => "findings",
            Code::Orphans => "orphans",
            Code::Components => "components",
        }
    }
}

/// What a check came to. Whatever isn't in order says what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Ok,
    /// Nothing is broken, and somebody should know or do something.
    Warning {
        next: String,
    },
    /// The check could not be carried out.
    Unknown {
        next: String,
    },
    /// Something is broken, or no host can work.
    Problem {
        next: String,
    },
}

/// A state, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub state: State,
    pub seen: String,
}

impl Verdict {
    pub fn ok(seen: impl Into<String>) -> Verdict {
        Verdict::of(State::Ok, seen)
    }

    pub fn warning(seen: impl Into<String>, next: impl Into<String>) -> Verdict {
        Verdict::of(State::Warning { next: next.into() }, seen)
    }

    pub fn unknown(seen: impl Into<String>, next: impl Into<String>) -> Verdict {
        Verdict::of(State::Unknown { next: next.into() }, seen)
    }

    pub fn problem(seen: impl Into<String>, next: impl Into<String>) -> Verdict {
        Verdict::of(State::Problem { next: next.into() }, seen)
    }

    fn of(state: State, seen: impl Into<String>) -> Verdict {
        Verdict {
            state,
            seen: seen.into(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub code: Code,
    pub verdict: Verdict,
}

/// What was looked at, and what was seen. Checks that a database of this kind hasn't got, or that make no sense after an earlier
/// one, are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    pub kind: DatabaseKind,
    /// The file, or `host:port/database`; never a password.
    pub at: String,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    Sqlite,
    Postgres,
}

impl DatabaseKind {
    pub fn as_str(self) -> &'static str {
        match self {
            DatabaseKind::Sqlite => "sqlite",
            DatabaseKind::Postgres => "postgresql",
        }
    }
}

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Each saga that has not ended, as far as half a minute reaches, and a quick look at the whole file.
    Usual,
    /// Every saga with its requests, the bytes of every component, and every index of the file, however long it takes.
    Thorough,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
