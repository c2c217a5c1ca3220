//! The end of a process that can't know what its database holds.

/// After a failed fsync, or a lost answer to a commit of which the server can't tell, nobody knows what the database holds: memory
/// must not go on from a state that may not exist. The process ends by SIGABRT, before anybody is answered; what was answered
/// earlier is there.
pub(crate) fn end_process(reason: &str) -> ! {
    tracing::error!(
        reason,
        "a commit could not be made durable: the process ends, start it again once the database is well"
    );
    std::process::abort()
}
