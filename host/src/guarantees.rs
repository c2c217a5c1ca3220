//! What is guaranteed, what is not, and which test shows each sentence. Nothing but words: the README has the short form, and a test
//! reads this page and asks for every test that it names.
//!
//! A guarantee holds whatever happens to a process (killed, stopped for as long as you like, out of memory), to the connections
//! between hosts, database and provider (cut, slowed, answers lost), and to the provider (every fault of
//! [`simulator`](crate::simulator)), in any combination, as long as the database keeps what it has committed.
//!
//! # Accepting, and being acknowledged
//!
//! | guaranteed | shown by |
//! |---|---|
//! | A 202 is answered only once the saga is durable; so is every status, event and answer to a verb | `crash::kills_at_random_moments_with_twenty_sagas_in_flight_lose_nothing`, `kills`, `store::contract`, `trouble::disk` |
//! | A start under an `Idempotency-Key` that is asked for again is the same saga | `store::contract::sqlite::a_taken_idempotency_key_changes_nothing_and_names_the_saga`, `live::each_saga_of_a_batch_is_decided_for_itself` |
//! | All changes of one commit are there, or none; one that can't be applied fails no other | `store::contract::sqlite::a_bad_change_in_the_middle_leaves_nothing_and_its_neighbours_are_applied`, `store::differential` |
//! | Resuming costs the same however old a saga is: rows are the truth, no history is replayed | `engine::a_sleeping_saga_survives_the_host_and_is_not_in_memory` |
//! | The event log only grows: what was read once is read again, in the same order | `simulation`, `kills`, `live::a_reader_that_comes_back_gets_what_it_missed_once` |
//!
//! # What a saga makes
//!
//! | guaranteed | shown by |
//! |---|---|
//! | A mutating request leaves only once its intent is durable | `cloud_once::a_request_leaves_only_after_its_intent_is_durable`, `kills`, `simulation` |
//! | A request under a `once` key takes effect at most once; it is sent again only if it was refused or never left | `cloud_wire::a_request_that_changes_something_is_never_sent_twice`, `faults::create`, `simulation` |
//! | At most one droplet per create step survives | `simulation::whatever_becomes_of_the_answer_to_a_create_the_end_is_one_that_is_promised`, `faults::create::a_create_makes_one_droplet_or_none_whatever_becomes_of_its_answer` |
//! | Completed means that every step succeeded; compensated and cancelled, that every step is undone or never began | `simulation`, `saga_core` |
//! | Once a saga rests, whatever it made is in the inventory, or undone, or named in a finding, or watched | `simulation`, `kills`, `crash` |
//! | What shows up after the end under the tag of an undone step is undone; under any other it is named | `late::a_droplet_that_shows_up_an_hour_after_the_saga_was_undone_is_undone_too`, `late::a_second_droplet_of_a_step_that_is_done_is_told_and_lives_and_foreign_ones_are_left_alone` |
//! | What an answer promised and nobody saw is watched like a doubt; what stands behind a clear answer is found by the audit | `late::a_droplet_that_was_promised_and_shows_up_only_after_its_step_was_undone_is_undone_too`, `late::a_second_droplet_behind_a_clear_answer_is_found_by_the_audit_and_told_once` |
//! | Nothing without our tags is touched | `late::a_second_droplet_of_a_step_that_is_done_is_told_and_lives_and_foreign_ones_are_left_alone` |
//!
//! # Going back
//!
//! | guaranteed | shown by |
//! |---|---|
//! | A step is undone once its own call and its exchange have ended, and after everything that depends on it | `saga_core`, `several_hosts::nothing_is_undone_while_another_host_has_its_request_on_the_wire` |
//! | A cancel ends cancelled with nothing left, or is refused with the reason: past a pivot, or already ended | `rollback::a_cancel_at_any_of_a_hundred_moments_ends_with_an_empty_cloud_or_is_refused_with_the_reason` |
//! | An undo that can't succeed names what is left, and stops only what depends on it | `rollback::an_undo_that_can_t_succeed_names_its_droplet_while_the_other_branches_are_undone` |
//! | Retry, skip, abandon and repin lose nothing, and nothing runs again after it succeeded but for a late effect | `verbs`, `verbs_repin::a_stuck_undo_is_retried_with_the_version_it_was_given`, `rollback::a_skipped_or_abandoned_undo_leaves_its_droplet_and_says_so` |
//! | The death of a host uses up no attempt; a saga that takes host after host down is stopped | `saga_core`, `store::ownership` |
//!
//! # Several hosts
//!
//! | guaranteed | shown by |
//! |---|---|
//! | A saga has one owner; what an earlier one writes changes nothing | `store::contract::sqlite::a_late_fence_changes_nothing`, `ownership_model::with_every_rule_on_nothing_is_violated_in_any_state` |
//! | A host sends nothing once its lease has no margin, and ends once it is lost | `cluster::stale`, `several_hosts::a_host_without_its_database_sends_nothing_more_and_another_makes_no_second_droplet` |
//! | The sagas of a host that dies go on within its lease and a few seconds; of one that is told to end, at once | `cluster::shared::a_killed_hosts_sagas_go_on_within_its_lease_and_a_few_seconds`, `cluster::shared::a_host_that_is_asked_to_end_hands_over_at_once_and_exits_with_0` |
//! | An answer that comes to a host which is no longer the owner is kept, and acted on | `several_hosts::a_saga_taken_with_its_request_on_the_wire_hears_of_the_answer_and_makes_no_second_droplet`, `several_hosts::an_answer_that_comes_after_the_sagas_end_has_its_droplet_undone` |
//! | A slow host, or one that stands still in the middle of a commit, holds up no other | `cluster::slow` |
//! | The clocks of the machines may jump: leases and timers go by the database's, or by what SQLite's file knows | `cluster::clock` |
//! | All of it at once, for as long as you like | `cluster::chaos`, `kills` |
//! | A host that is added does its share; one that is taken away takes nothing along | `several_hosts::a_second_host_adds_its_own_calls_to_those_of_the_first`, `cluster::shared` |
//! | What several hosts do at the same moment is done once | `store::together` |
//! | SQLite, PostgreSQL and the model answer and hold the same | `store::differential`, `store::contract` |
//!
//! # The database in trouble
//!
//! | guaranteed | shown by |
//! |---|---|
//! | A database that takes no writes accepts nothing: 503 with a time to ask again, and sagas go on once it does | `trouble::disk::on_a_full_disk_nothing_is_accepted_and_sagas_go_on_once_there_is_room`, `trouble::disk::on_a_disk_that_became_read_only_nothing_is_accepted_and_sagas_go_on_once_it_can_be_written` |
//! | A failed fsync ends the process before anything is answered that rests on it | `trouble::disk::a_failed_fsync_of_whatever_is_written_ends_the_process_before_it_is_answered` |
//! | A server that restarts, has no session left, gives statements up or rolls them back costs a saga time, and no attempt | `trouble::postgres`, `engine::a_database_that_can_t_keep_what_a_step_says_costs_the_step_no_attempt` |
//! | A commit whose connection broke is settled before anything is answered | `store::cut` |
//! | Rows that make no sense stop their own saga, loudly, and no other | `trouble::rows` |
//! | Looking for what is wrong (`arcadia doctor`) changes nothing of a database, and keeps no host from working | `doctor::trace` |
//! | A second host on one SQLite file is refused | `trouble::disk::a_second_host_on_the_same_file_is_refused_and_the_first_goes_on` |
//!
//! # What no engine can close
//!
//! | not guaranteed | because | bounded by |
//! |---|---|---|
//! | "Exactly once" at the provider | its API has no idempotency keys: between a request and its answer nobody knows | tags: what was made is found, adopted or undone, and there is no second request while there is doubt |
//! | That nothing leaves after a host was given up | a process can be stopped between its last look at the lease and the system's own write; a suspended machine's clock stands still | the fence: what it learns counts as evidence only. The watch: what its request makes is undone or named (`ownership_model::a_host_whose_clock_stands_still_sends_late_and_nothing_worse_comes_of_it`) |
//! | That late effects are seen for ever | a watch ends, after 24 hours by default | the audit: every hour everything under our tags is compared with the inventory, without end |
//! | That something is ours which never shows its tag | names are not unique, and not ours | it is named while its saga is watched, and never touched |
//! | What a provider's listings deny | an absence is believed once the thing was seen before, or the settle window is over | the watch, and the audit, as soon as a listing shows it |
//! | A restore of the database to an earlier state | what happened since is known to nobody here | the audit tells in the log what carries a tag that this database doesn't know |
//! | A disk or server that lies about its sync | nothing written is safe then | settings are read back at the start, and refused where they lose commits |
