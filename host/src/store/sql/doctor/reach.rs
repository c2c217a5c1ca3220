//! Why a server can't be reached, told for who has to do something about it.

use std::io;

use sqlx::postgres::PgConnectOptions;

use crate::store::doctor::Verdict;

/// `host:port/database`, or the socket's path.
pub(super) fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{} ({database})", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

pub(super) fn unreachable(options: &PgConnectOptions, error: &sqlx::Error) -> Verdict {
    let (host, port) = (options.get_host(), options.get_port());
    let (user, database) = (
        options.get_username(),
        options.get_database().unwrap_or("of the user's name"),
    );
    match error {
        sqlx::Error::Database(error) => {
            let said = error.message();
            match error.code().as_deref().unwrap_or_default() {
                "28P01" => Verdict::problem(
                    format!("the server refuses the password of the user {user}: {said}"),
                    "check user and password in the URL; what has a meaning in URLs stands there as %40 (@), %2F (/), %3A (:) and so on",
                ),
                "28000" => Verdict::problem(
                    format!("the server doesn't let the user {user} in: {said}"),
                    "make the user, or let it in from here (pg_hba.conf, and whether it wants TLS: ?sslmode=require)",
                ),
                "3D000" => Verdict::problem(
                    format!("there is no database {database} on the server: {said}"),
                    "make it (createdb), or name another one in the URL",
                ),
                "53300" => Verdict::problem(
                    format!("the server takes no more connections: {said}"),
                    "see who has them (pg_stat_activity), raise max_connections, or run fewer hosts: each takes up to ten",
                ),
                "42501" => Verdict::problem(
                    format!("the user {user} may not enter the database {database}: {said}"),
                    "grant connect on the database to it",
                ),
                "57P03" | "57P01" | "57P02" => Verdict::problem(
                    format!("the server is starting or stopping: {said}"),
                    "look again in a moment; if it stays, see the server's log",
                ),
                code => Verdict::problem(
                    format!("the server refuses: {said} ({code})"),
                    "see the server's log",
                ),
            }
        }
        sqlx::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Verdict::problem(
                format!("connection refused: nobody listens at {host}:{port}"),
                "start the server, or check host and port in the URL",
            ),
            io::ErrorKind::TimedOut => Verdict::problem(
                format!("nobody answers at {host}:{port}: {error}"),
                "see whether the server hangs, and whether a firewall is in between",
            ),
            _ => Verdict::problem(
                format!("{host}:{port} can't be reached: {error}"),
                "check host and port in the URL, and the way to there",
            ),
        },
        sqlx::Error::Tls(error) => Verdict::problem(
            format!("no TLS with {host}:{port}: {error}"),
            "check sslmode and sslrootcert in the URL, and the server's certificate",
        ),
        // The library's list is open.
        other => Verdict::problem(
            format!("{host}:{port} can't be spoken with: {other}"),
            "check that a PostgreSQL server listens there",
        ),
    }
}
