//! Hosts in the model.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::State;
use crate::{
    saga::{RecordState, SagaId},
    store::{Beat, Fence, HostId, HostRow, Takeover, hosts::FORGET_MS},
};

impl State {
    pub(super) fn open_host(&mut self, host: HostId, lease_ms: i64, now_ms: i64) {
        let owners: Vec<HostId> = self.runs.values().map(|run| run.fence.owner).collect();
        self.hosts.retain(|id, row| {
            owners.contains(id) || row.lost_ms.is_none_or(|lost_ms| lost_ms > now_ms - FORGET_MS)
        });
        self.hosts.entry(host).or_insert(HostRow {
            id: host,
            started_ms: now_ms,
            seen_ms: now_ms,
            lease_until_ms: now_ms + lease_ms,
            lost_ms: None,
            calling: Vec::new(),
        });
    }

    pub(super) fn heartbeat(&mut self, host: HostId, calling: &[SagaId], lease_ms: i64, now_ms: i64) -> Beat {
        let Some(row) = self.hosts.get_mut(&host).filter(|row| row.lost_ms.is_none()) else {
            return Beat::Lost;
        };
        row.seen_ms = now_ms;
        row.lease_until_ms = now_ms + lease_ms;
        row.calling = calling.to_vec();
        row.calling.sort();
        row.calling.dedup();
        let others = |saga: &&SagaId| self.runs.get(saga).is_some_and(|run| run.fence.owner != host);
        let strangers = self.hosts[&host].calling.iter().filter(others).copied().collect();
        let living: Vec<&HostRow> = self.hosts.values().filter(|row| row.lost_ms.is_none()).collect();
        Beat::Alive {
            strangers,
            hosts: u32::try_from(living.len()).unwrap_or(u32::MAX),
            eldest: living
                .iter()
                .map(|row| (row.started_ms, row.id))
                .min()
                .is_some_and(|(_, id)| id == host),
        }
    }

    pub(super) fn lose(&mut self, which: impl Fn(&HostRow) -> bool, now_ms: i64) {
        let mut lost = BTreeSet::new();
        for row in self.hosts.values_mut() {
            if row.lost_ms.is_none() && which(row) {
                row.lost_ms = Some(now_ms);
                lost.insert(row.id);
            }
        }
        self.end_exchanges(|_, sender| lost.contains(&sender), now_ms);
    }

    fn end_exchanges(&mut self, which: impl Fn(SagaId, HostId) -> bool, now_ms: i64) {
        for record in self.journal.values_mut() {
            let intent = &record.intent;
            let sender = self.senders.get(&intent.id);
            if sender.is_some_and(|sender| which(intent.saga, *sender))
                && record.state == (RecordState::Open { ended_at_ms: None })
            {
                record.state = RecordState::Open {
                    ended_at_ms: Some(now_ms),
                };
            }
        }
    }

    pub(super) fn claim(&mut self, host: HostId, limit: u32, now_ms: i64) -> Takeover {
        self.lose(|row| row.id != host && row.lease_until_ms <= now_ms, now_ms);
        let lost: BTreeMap<HostId, Vec<SagaId>> = self
            .hosts
            .values()
            .filter(|row| row.lost_ms.is_some())
            .map(|row| (row.id, row.calling.clone()))
            .collect();
        let mut takeover = Takeover::default();
        for run in self.runs.values_mut().filter(|run| !run.saga.status.is_final()) {
            let Some(calling) = lost.get(&run.fence.owner) else {
                continue;
            };
            if takeover.taken.len() == limit as usize {
                break;
            }
            if calling.contains(&run.saga.id) {
                takeover.called.push(run.saga.id);
            }
            takeover.taken.push(run.saga.id);
            run.fence = next(run.fence, host);
        }
        let is_lost = |saga, sender: HostId| takeover.taken.contains(&saga) && lost.contains_key(&sender);
        self.end_exchanges(is_lost, now_ms);
        takeover
    }

    pub(super) fn take(&mut self, saga: SagaId, host: HostId, now_ms: i64) {
        let Some(run) = self.runs.get_mut(&saga).filter(|run| run.fence.owner != host) else {
            return;
        };
        run.fence = next(run.fence, host);
        let hosts = self.hosts.values();
        let lost: BTreeSet<HostId> = hosts
            .filter(|row| row.lost_ms.is_some())
            .map(|row| row.id)
            .collect();
        self.end_exchanges(|of, sender| of == saga && lost.contains(&sender), now_ms);
    }

    pub(super) fn hosts(&self, limit: u32) -> Vec<HostRow> {
        let mut rows: Vec<HostRow> = self.hosts.values().cloned().collect();
        rows.sort_by_key(|row| (row.lost_ms.is_some(), Reverse((row.started_ms, row.id))));
        rows.truncate(limit as usize);
        rows
    }
}

fn next(fence: Fence, owner: HostId) -> Fence {
    Fence {
        owner,
        number: fence.number + 1,
    }
}
