//! Who lives, and what those who don't have left.

use super::{LATE_MS, clock::Moment, counted, named, span};
use crate::store::{
    HostRow, StoreError,
    doctor::Verdict,
    sql::{
        connection::{Connection, sql},
        error::store_error,
        hosts,
    },
};

/// Hosts that are looked at: the living ones before the lost ones.
const HOSTS: u32 = 1_000;

pub(super) async fn hosts(connection: &mut Connection, moment: &mut Moment) -> Result<Verdict, StoreError> {
    let hosts = hosts::hosts(connection, HOSTS).await?;
    let row = sql!("select count(*) from saga_runs where ended_ms is null")
        .one(connection)
        .await;
    let open_sagas = row.and_then(|row| row.try_get(0)).map_err(store_error)?;
    let seen = Seen::of(&hosts, moment);
    moment.host_lives = !seen.alive.is_empty();
    Ok(seen.verdict(open_sagas, moment))
}

struct Seen<'a> {
    alive: Vec<&'a HostRow>,
    /// Their leases have run out, and nobody has counted them as lost.
    run_out: Vec<&'a HostRow>,
    lost: Vec<&'a HostRow>,
}

impl<'a> Seen<'a> {
    fn of(hosts: &'a [HostRow], moment: &Moment) -> Seen<'a> {
        let (lost, others): (Vec<_>, Vec<_>) = hosts.iter().partition(|host| host.lost_ms.is_some());
        let (alive, run_out) = others
            .into_iter()
            .partition(|host| host.lease_until_ms > moment.alive_after_ms());
        Seen { alive, run_out, lost }
    }

    fn verdict(&self, open_sagas: i64, moment: &Moment) -> Verdict {
        let now_ms = moment.now_ms;
        let seen_ago = |host: &HostRow| format!("{} ({} ago)", host.id, span(now_ms - host.seen_ms));
        let told = |hosts: &[&HostRow]| {
            let names: Vec<String> = hosts.iter().map(|host| seen_ago(host)).collect();
            named(&names, hosts.len())
        };
        let lost = self.lost.iter().filter_map(|host| host.lost_ms).max();
        let lost = lost.map_or_else(String::new, |last_ms| {
            format!(
                "; {} lost, the last {} ago",
                self.lost.len(),
                span(now_ms - last_ms)
            )
        });
        let late = |host: &&&HostRow| host.lease_until_ms < now_ms - LATE_MS;
        match (&self.alive[..], &self.run_out[..]) {
            ([], run_out) if !run_out.is_empty() && moment.attended => Verdict::warning(
                format!("no host lives: the lease of {} has run out{lost}", told(run_out)),
                "see whether it hangs, and end it; start a host, or nothing goes on",
            ),
            ([], run_out) => {
                let killed = if run_out.is_empty() {
                    String::new()
                } else {
                    format!(": {} did not end in order", told(run_out))
                };
                let seen = format!("no host runs{killed}{lost}");
                if open_sagas == 0 {
                    return Verdict::ok(seen);
                }
                let waiting = counted(open_sagas, "saga");
                Verdict::warning(
                    format!("{seen}; {waiting} not ended"),
                    "start a host: until then nothing goes on",
                )
            }
            (alive, run_out) if run_out.iter().any(|host| late(&host)) => Verdict::warning(
                format!(
                    "{} alive, and the lease of {} ran out without anybody counting it as lost{lost}",
                    alive.len(),
                    told(run_out)
                ),
                "look at the logs of the hosts that live: they should take its sagas over within seconds",
            ),
            (alive, []) => Verdict::ok(format!("{} alive: {}{lost}", alive.len(), told(alive))),
            (alive, run_out) => Verdict::ok(format!(
                "{} alive: {}; the lease of {} has just run out{lost}",
                alive.len(),
                told(alive),
                told(run_out)
            )),
        }
    }
}

/// Sagas that have not ended, of hosts that don't live.
pub(super) async fn ownership(connection: &mut Connection, moment: &Moment) -> Result<Verdict, StoreError> {
    let row = sql!(
        "select count(*), coalesce(min(coalesce(hosts.lost_ms, hosts.seen_ms, runs.updated_ms)), 0), min(runs.id)
         from saga_runs as runs left join hosts on hosts.id = runs.owner
         where runs.ended_ms is null
         and (hosts.id is null or hosts.lost_ms is not null or hosts.lease_until_ms <= ?)"
    )
    .bind(moment.alive_after_ms())
    .one(connection)
    .await
    .map_err(store_error)?;
    let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let (number, since_ms, first): (i64, i64, Option<String>) = read().map_err(store_error)?;
    let (Some(first), since) = (first, span(moment.now_ms - since_ms)) else {
        return Ok(Verdict::ok(
            "every saga that has not ended has an owner that lives",
        ));
    };
    let number = counted(number, "saga");
    Ok(if !moment.host_lives {
        Verdict::warning(
            format!("{number} without an owner that lives, {first} for example, for up to {since}"),
            "start a host: it takes them over",
        )
    } else if since_ms < moment.now_ms - LATE_MS {
        Verdict::problem(
            format!(
                "{number} without an owner that lives, {first} for example, for up to {since}, though a host lives"
            ),
            "look at the log of a host that lives: it should have taken them over within seconds",
        )
    } else {
        Verdict::ok(format!("{number} about to be taken over, for {since} so far"))
    })
}

/// Requests that are open under a host that has ended: they count as ended, and their sagas go on by that.
pub(super) async fn requests(connection: &mut Connection, moment: &Moment) -> Result<Verdict, StoreError> {
    let row = sql!(
        "select
            count(*), count(*) filter (where hosts.id is null or hosts.lost_ms is not null),
            coalesce(min(journal.at_ms) filter (where hosts.id is null or hosts.lost_ms is not null), 0),
            min(journal.saga_id) filter (where hosts.id is null or hosts.lost_ms is not null)
         from http_journal as journal left join hosts on hosts.id = journal.host
         where journal.state = 'open' and journal.ended_ms is null"
    )
    .one(connection)
    .await
    .map_err(store_error)?;
    let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
    let (open, left, since_ms, saga): (i64, i64, i64, Option<String>) = read().map_err(store_error)?;
    let since = span(moment.now_ms - since_ms);
    Ok(match saga {
        Some(saga) if moment.host_lives && since_ms < moment.now_ms - LATE_MS => Verdict::warning(
            format!(
                "{} of hosts that have ended still count as on the wire, for up to {since}; one is of saga {saga}",
                counted(left, "request")
            ),
            "if the saga doesn't move, stop the host that owns it: whoever takes it over counts them as ended",
        ),
        Some(_) | None if open == 0 => Verdict::ok("none on the wire"),
        Some(_) | None if !moment.host_lives => Verdict::ok(format!(
            "{} had no answer when the last host ended; the next one counts them as in doubt",
            counted(open, "request")
        )),
        Some(_) | None => Verdict::ok(format!("{} on the wire", counted(open, "request"))),
    })
}
