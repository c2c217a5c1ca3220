//! A DigitalOcean simulator: a real HTTP server with state, rules and faults, and a second port that controls it.
//!
//! It owns what the provider would own (droplets, actions, snapshots, tags, keys, the account) and nothing outlives its
//! process. It uses nothing else of this crate. What happens is decided by pure code that is told the time
//! ([`world`](self) and the endpoints), so that every rule can be tested without a socket.
//!
//! Answers carry URLs on another host name than the simulator's own, ids above 2^31, networks in random order, and the
//! rate-limit headers with their limits. Everything random comes from one seed.
//!
//! # A request's way
//! Read to its end; written into the journal; token, rate limit; faults and holds are decided; delayed; held; **effect**;
//! held; delayed; answered, or the connection cut. A client that goes away before the effect prevents it: also one that is
//! killed while its request is held and only then released.
//!
//! [`InProcess`] is the same without sockets, for a client in this process.
//!
//! # The control API
//! JSON both ways; errors are `{"error": "…"}`. Times are milliseconds since the Unix epoch by the simulator's clock.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /state` | | [`StateReport`]: droplets (gone ones too), snapshots, actions, tags |
//! | `GET /droplets/count` | | `{"live": 1, "ever": 3}` |
//! | `POST /droplets/{id}/out-of-band` | `{"change": "delete"}`, `power-off`, `power-on`, `rename` + `name`, `resize` + `size`, `retag` + `tags`, `rebuild` + `image` | 204 |
//! | `GET /journal?after=&method=&tag=` | | [`JournalPage`]: [`Entry`] by entry, with effects |
//! | `POST /faults` | [`Fault`]: `{"match": Matcher, "nth", "times", "probability", "fault": {"kind": …}}` | 201 `{"id": 1}` |
//! | `GET /faults`, `DELETE /faults`, `DELETE /faults/{id}` | | [`Faults`]; 204 |
//! | `POST /holds` | [`Hold`]: `{"match": Matcher, "nth": 1, "point": "before-effect"}` | 201 `{"id": 1}` |
//! | `GET /holds`, `GET /holds/{id}?wait_ms=5000` | | [`HoldReport`]; waits until a request is held (at most 60 s) |
//! | `POST /holds/{id}/release` | | [`HoldReport`] |
//! | `GET /options`, `PATCH /options` | a part of [`Rules`] (JSON merge patch) | all [`Rules`] |
//! | `GET /clock`, `POST /clock/advance` | `{"ms": 60000}` | `{"now_ms": …}` |
//!
//! A [`Matcher`] is `{"method", "path", "query", "tag", "body"}`, each optional; `path` is a glob.
//!
//! # What it can do, and the tests that say so
//! The numbers are those of the project's notes on the provider. Options are fields of [`Rules`]; kinds are those of
//! [`FaultKind`], and every fault takes a matcher, `nth`, `times` and `probability`
//! (`simulator_faults::faults_are_chosen_by_tag_by_number_and_by_a_seeded_chance`). Names of tests: `r::` is
//! `tests/simulator_rules.rs`, `s::` `tests/simulator.rs`, `w::` `world/tests.rs`, `f::` `tests/simulator_faults.rs`, `wf::`
//! `tests/simulator_world_faults.rs`, `h::` `tests/simulator_holds.rs`, `page::` and `rate::` those beside their code.
//!
//! | rule | options | tests |
//! |---|---|---|
//! | 1 bearer tokens, scopes, 403 after the effect | `tokens` | `r::only_a_bearer_token_is_a_credential`, `s::a_token_without_the_scope_is_refused_before_the_effect_or_after` |
//! | 2 limits of a minute and an hour, their headers | `rate_per_minute`, `rate_per_hour` | `s::every_answer_tells_the_rate_limit_and_a_request_id`, `s::a_minute_and_an_hour_of_requests_are_limited_in_their_own_ways`, `rate::the_minute_slides`, `rate::the_hour_slides_and_counts_down` |
//! | 3 request ids | | `r::an_error_body_repeats_the_request_id_or_leaves_it_out` |
//! | 4 what a create refuses, and what it makes | `droplet_limit`, `unavailable_regions`, `text_image_ids` | `w::a_refused_create_says_why_in_the_providers_words`, `w::many_names_make_as_many_droplets_each_with_its_own_action`, `s::a_droplet_lives_from_new_to_gone`, `w::the_first_spelling_of_a_tag_is_kept_until_the_tag_is_deleted`, `r::digits_in_a_text_name_an_image_only_when_the_rules_allow_it` |
//! | 5 from new to active, power, resize | `activation_ms`, `create_action_skew_ms`, `action_ms` | `s::a_droplet_lives_from_new_to_gone`, `r::the_order_of_a_droplets_networks_is_no_rule`, `w::the_create_action_may_end_before_or_after_the_activation`, `w::one_action_runs_at_a_time_and_each_does_what_it_says`, `w::features_are_switched_and_a_restore_writes_the_disk` |
//! | 6 one action at a time, `locked` | `locked_while_busy` | `w::one_action_runs_at_a_time_and_each_does_what_it_says`, `r::a_busy_droplet_is_locked_only_when_the_rules_say_so` |
//! | 7 snapshots | `snapshot_ms`, `snapshot_lag_ms` | `s::a_snapshot_outlives_its_droplet_and_makes_another`, `r::every_snapshot_is_listed_as_late_as_the_rules_say`, `r::a_snapshot_carries_tags_as_an_image` |
//! | 8 deletes | `delete_ms`, `delete_while_new`, `unknown_tag` | `r::a_delete_is_accepted_once_and_by_tag_for_all_carriers`, `w::a_delete_of_a_new_droplet_follows_the_rule`, `w::a_droplet_whose_create_action_errored_can_be_deleted_under_every_rule` |
//! | 9 listings | `links`, `link_origin`, `order`, `unknown_tag` | `s::listings_filter_by_tag_and_name_and_point_to_another_host`, `r::listings_hide_gpus_refuse_a_tag_with_a_type_and_have_an_order`, `r::a_page_has_20_items_unless_asked_otherwise`, `r::links_can_be_followed_when_they_name_the_simulator_itself`, `page::*` |
//! | 10 actions | `hide_completed_at` | `r::actions_outlive_their_droplet_and_may_hide_when_they_completed` |
//! | 11 account, regions, sizes, images, keys, tags | `account_uuid`, `account_status`, `droplet_limit`, `unavailable_regions` | `r::the_account_has_a_limit_and_a_status_and_regions_can_close`, `r::a_key_is_known_by_its_own_fingerprint_and_only_once`, `simulator_openapi::every_answer_conforms_to_the_official_description` |
//! | 12 journal | `journal_limit` | `s::the_journal_tells_what_each_request_changed` |
//!
//! | fault | how | tests |
//! |---|---|---|
//! | F1, F4 reset, closed | `reset`, `close` with a `point` | `f::f1_f4_a_reset_connection_leaves_a_droplet_or_none_as_the_point_says`, `f::a_closed_connection_is_no_reset`, `f::f4_a_500_before_the_effect_leaves_nothing` |
//! | F2 slow | `slow` | `f::f2_a_slow_answer_comes_after_the_clients_patience_and_the_effect_stays` |
//! | F3 another answer | `answer` with `status` and `body` | `f::f3_an_unreadable_answer_hides_a_droplet_that_is_there`, `f::f3_a_body_can_break_off_in_the_middle` |
//! | F5 lag by tag, by name, by id, in the plain listing | `lag`; for all requests the rule `lag` | `f::f5_a_lagging_list_shows_what_was_made_only_later`, `f::f5_each_way_of_looking_lags_for_itself` |
//! | F6 late apparition | `late` | `f::f6_a_late_droplet_appears_long_after_the_reset_and_counts_for_its_request` |
//! | F7 the client is killed | `POST /holds`, then a kill, then the release | `h::a_client_killed_while_held_before_the_effect_causes_none_however_soon_the_release_comes`, `h::a_request_held_after_its_effect_has_it_though_the_client_dies`; `tests/crash.rs` kills a host so |
//! | F8 429 with `retry-after` in seconds, as a date, absurd, absent | `answer` with `status: 429` and `retry_after` | `f::f8_a_429_says_retry_after_in_any_words_or_not_at_all` |
//! | F9 slow, never active, without address, flapping | `activation` | `wf::f9_a_droplet_is_slow_never_active_without_address_or_flapping` |
//! | F10, F11 placement fails, the create action errors | `placement-fails`, `create-errors` | `wf::f10_f11_a_create_fails_after_its_202_with_or_without_a_droplet_left` |
//! | F12 deleted by others while new, active, or in a snapshot | `vanish`; out-of-band `delete` | `wf::f12_f14_others_change_and_delete_droplets`, `wf::f12_a_droplet_goes_while_its_snapshot_is_taken` |
//! | F13 two under one tag | `twice` | `wf::f13_one_request_can_make_two_droplets` |
//! | F14 changed by others | out-of-band `resize`, `rename`, `retag`, `power-off`, `rebuild` | `wf::f12_f14_others_change_and_delete_droplets` |
//! | F15 snapshot errored, lost, late, twice | `action-errors`, `reset`, `snapshot-lag`, `twice` | `wf::f15_a_snapshot_errors_comes_twice_or_is_listed_late`, `wf::f15_the_answer_to_a_snapshot_is_lost_and_a_second_one_has_the_same_name` |
//! | F16 delete: 422, 204 in vain, 500 with effect, 404 | `answer`, `delete-ignored` | `wf::f16_a_delete_is_refused_ignored_or_done_in_spite_of_a_500` |
//! | F17 shifted items, a page that fails, an empty last page, a wrong total | `listing` with `shift`, `page_more`, `total`; `answer` for one page | `wf::f17_f19_a_listing_shifts_lies_fails_on_one_page_or_is_empty`, `page::*` |
//! | F18 401 and 403 in the middle | `PATCH /options` with other `tokens` | `wf::f18_a_token_is_revoked_in_the_middle` |
//! | F19 200 with nothing | `listing` with `empty` | `wf::f17_f19_a_listing_shifts_lies_fails_on_one_page_or_is_empty` |
//! | F20 droplets of others | plain calls, with another of the `tokens` | `wf::f20_droplets_of_others_stand_in_the_same_listings` |
//! | F21 unknown fields and words, null tags | `strange` | `wf::f21_an_answer_has_unknown_fields_and_statuses_and_null_tags` |
//! | F22 another clock | `timestamp_skew_ms` | `wf::f22_the_providers_clock_differs_by_a_skew` |
//!
//! `tests/simulator_openapi.rs` holds every answer to the official description, refusals of every endpoint included. Of the
//! described endpoints around droplets only `POST /v2/images` (importing an image from a URL) is missing. There are no volumes,
//! VPCs, projects, firewalls or reserved addresses.
//!
//! # Clients that were pointed at it
//! `tests/clients/run` does it again, each on `arcadia simulate digitalocean --lenient`, with every call that they have for
//! account, regions, sizes, images, keys, droplets (create one and many, get, all pages, by tag, delete, delete by tag),
//! actions (power, reboot, resize, rename, rebuild, restore, features, snapshot) and their polling, snapshots, tags, and with
//! refusals (401, 404, 422, 429, 5xx).
//!
//! | client | how to point it here |
//! |---|---|
//! | pydo 0.44.0 (official) | `pydo.Client(token, endpoint=URL, authentication_policy=HeadersPolicy({"Authorization": "Bearer …"}))`: its own policy refuses plain http |
//! | godo 1.37.0 (official, from Debian) | `godo.New(client, godo.SetBaseURL(URL))` |
//! | @digitalocean/mcp 1.0.70 (official, with godo 1.206.0) | `-digitalocean-api-endpoint URL`. It has no calls for `/v2/snapshots`, tags, or a droplet listing by tag |
//! | python-digitalocean 1.17.0 | `DIGITALOCEAN_END_POINT=URL/v2/`; it follows links, so it needs `--lenient` or `"link_origin": "own"` |
//! | apache-libcloud 3.9.1 | `driver.connection.host`, `.port`, `.secure = False`, then `.connect()`; it writes image ids as text, so it needs `--lenient` or `"text_image_ids": true`. It has no calls for tags and `/v2/snapshots` |
//! | dots-wrapper 3.12.12 | `createApiClient({ token, endpoint: URL + "/v2" })` |
//! | packer 1.6.6 (with godo) | `"api_url": URL` in the builder, `"communicator": "none"`: builds a snapshot and cleans up |

mod api;
mod catalogue;
mod clock;
mod control;
mod fault;
mod gate;
mod hold;
mod in_process;
mod journal;
mod matcher;
mod options;
mod provider;
mod rate;
mod refusal;
mod reply;
mod server;
mod world;

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};

pub use control::{
    ActionReport, ClockReport, DropletCount, DropletReport, Faults, HoldReport, Holds, JournalPage,
    SnapshotReport, StateReport,
};
pub use fault::{AnswerFault, BodyForm, Fault, FaultKind, Point, PostedFault, Strange};
pub use gate::Cut;
pub use hold::{Hold, HoldState};
pub use in_process::InProcess;
pub use journal::{Entry, Outcome};
pub use matcher::Matcher;
pub use options::{
    AccountStatus, ClockMode, DeleteWhileNew, GivenClock, Lag, LinkOrigin, LinksForm, Options, Order, Rules,
    Token, UnknownTag,
};
pub use reply::Body;
pub use world::{Activation, Drift, Effect, Listing};

use provider::Provider;

/// A running simulator. Many can run in one process; each has its own state. Dropped, it stops at once: its ports close
/// and its connections break.
#[derive(Debug)]
pub struct Simulator {
    api_addr: SocketAddr,
    control_addr: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Simulator {
    /// Binds both ports and serves on the current tokio runtime.
    ///
    /// # Errors
    /// A port can't be bound.
    pub async fn start(options: Options) -> io::Result<Self> {
        let api = TcpListener::bind(options.api_addr).await?;
        let control = TcpListener::bind(options.control_addr).await?;
        let (api_addr, control_addr) = (api.local_addr()?, control.local_addr()?);
        let provider = Arc::new(Provider::new(&options));
        let router = control::router(provider.clone());
        Ok(Self {
            api_addr,
            control_addr,
            tasks: [
                tokio::spawn(server::serve_api(api, provider)),
                tokio::spawn(server::serve_control(control, router)),
            ],
        })
    }

    /// Base URL of the provider's API, without a trailing slash or `/v2`.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api_addr)
    }

    /// Base URL of the control API, without a trailing slash.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control_addr)
    }

    /// Stops, and returns when both ports are closed.
    pub async fn shutdown(mut self) {
        for task in &mut self.tasks {
            task.abort();
            // The error says that the task was aborted, as it should be.
            let _aborted = task.await;
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
