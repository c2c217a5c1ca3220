//! Checks as they are carried out. One that can't be carried out is `Unknown`, and the next one is tried all the same.

use crate::{
    store::doctor::{Check, Code, Verdict},
    store::{
        StoreError,
        sql::error::{Meaning, meaning},
    },
};

#[derive(Debug, Default)]
pub(super) struct Report {
    pub checks: Vec<Check>,
    /// Tables and columns may be missing.
    pub schema_is_another: bool,
    /// What comes after it is left out: each check would wait for an answer as long as the first one did.
    connection_is_lost: bool,
}

impl Report {
    /// Carries a check out, unless the connection is lost.
    pub(super) async fn look(
        &mut self,
        code: Code,
        check: impl Future<Output = Result<Verdict, StoreError>>,
    ) {
        if self.connection_is_lost {
            return;
        }
        match check.await {
            Ok(verdict) => self.say(code, verdict),
            Err(error) => self.failed(code, &error),
        }
    }

    pub(super) fn failed(&mut self, code: Code, error: &StoreError) {
        self.connection_is_lost = is_lost(error);
        let verdict = self.not_carried_out(error);
        self.say(code, verdict);
    }

    pub(super) fn say(&mut self, code: Code, verdict: Verdict) {
        self.checks.push(Check { code, verdict });
    }

    fn not_carried_out(&self, error: &StoreError) -> Verdict {
        match error {
            StoreError::Corrupt { what, reason } => Verdict::problem(
                format!("{what} is not readable: {reason}"),
                "put the row right, from a backup if there is one; until then what needs it stands still",
            ),
            StoreError::Unavailable(cause) if self.schema_is_another && is_about_names(&**cause) => {
                Verdict::unknown(
                    "this can't be told of a schema that is not this program's",
                    "see what is said of the schema",
                )
            }
            StoreError::Unavailable(cause) => Verdict::unknown(
                cause.to_string(),
                "see what the other checks say, and look again when that is in order",
            ),
            StoreError::Durability(text) | StoreError::Refused(text) => {
                Verdict::unknown(text.clone(), "see what the other checks say")
            }
        }
    }
}

/// A table or column that isn't there is told like other wrong statements.
fn is_about_names(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let error: Option<&sqlx::Error> = cause.downcast_ref();
    error.is_some_and(|error| meaning(error) == Meaning::Data)
}

fn is_lost(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(cause) => {
            let error: Option<&sqlx::Error> = cause.downcast_ref();
            error.is_some_and(|error| meaning(error) == Meaning::Lost)
        }
        StoreError::Corrupt { .. } | StoreError::Durability(_) | StoreError::Refused(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sql::error::store_error;

    #[tokio::test]
    async fn after_a_lost_connection_nothing_more_is_asked_and_after_any_other_error_everything() {
        let mut report = Report::default();
        let failed = |error| async { Err(store_error(error)) };
        report.look(Code::Hosts, failed(sqlx::Error::RowNotFound)).await;
        report.look(Code::Sagas, async { Ok(Verdict::ok("none")) }).await;
        report
            .look(Code::Paused, failed(sqlx::Error::WorkerCrashed))
            .await;
        report.look(Code::Orphans, async { panic!("it was asked") }).await;
        let codes: Vec<Code> = report.checks.iter().map(|check| check.code).collect();
        assert_eq!(codes, [Code::Hosts, Code::Sagas, Code::Paused]);
    }
}
