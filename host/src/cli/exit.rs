//! Exit codes: the contract with scripts, and the text of it that `--help` shows.

use std::process::ExitCode;

use crate::saga::Status;

/// Shown at the end of `arcadia --help` and of every command that follows a saga.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  it worked; a watched saga completed
  1  it failed: the server refused, can't be reached, or something went wrong here
  2  the command line is wrong, or a tool that the command needs is missing
  3  the watched saga was compensated: a step failed, and what had been made was undone
  4  the watched saga was cancelled, and what had been made was undone
  5  the watched saga needs attention: somebody must retry or abandon it
  6  the watched saga was abandoned: it may have left things behind
  7  the time given with --timeout is over, and the saga goes on
  8  the host has lost its lease on a database that it shares: others go on with its sagas; start it again
  9  `arcadia doctor` found a problem";

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success,
    Failure,
    Usage,
    Compensated,
    Cancelled,
    NeedsAttention,
    Abandoned,
    StillGoing,
    LeaseLost,
    ProblemFound,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::Compensated => 3,
            Exit::Cancelled => 4,
            Exit::NeedsAttention => 5,
            Exit::Abandoned => 6,
            Exit::StillGoing => 7,
            Exit::LeaseLost => 8,
            Exit::ProblemFound => 9,
        }
    }

    /// What `watch` answers for a saga in this status.
    pub fn of(status: Status) -> Exit {
        match status {
            Status::Completed => Exit::Success,
            Status::Compensated => Exit::Compensated,
            Status::Cancelled => Exit::Cancelled,
            Status::NeedsAttention => Exit::NeedsAttention,
            Status::Abandoned => Exit::Abandoned,
            Status::Running | Status::Compensating => Exit::StillGoing,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_way_to_end_has_its_own_exit_code_and_a_line_in_the_help() {
        let codes: BTreeSet<u8> = Status::ALL.map(|status| Exit::of(status).code()).into();
        assert_eq!(codes, BTreeSet::from([0, 3, 4, 5, 6, 7]));
        for code in codes
            .into_iter()
            .chain([1, 2, Exit::LeaseLost.code(), Exit::ProblemFound.code()])
        {
            assert!(
                EXIT_CODES.contains(&format!("\n  {code}  ")),
                "{code} isn't documented"
            );
        }
    }
}
