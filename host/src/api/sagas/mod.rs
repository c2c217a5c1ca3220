//! Sagas: starting, looking, and the verbs.

mod batch;
mod details;
mod doings;
mod list;
mod pauses;
mod repin;
mod retry_all;
mod show;
mod start;
mod verbs;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use show::watched_until_ms;
pub(super) use start::{Request, start};

use super::ApiState;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(start::start_saga, list::list_sagas))
        .routes(routes!(batch::start_sagas))
        .routes(routes!(show::get_saga))
        .routes(routes!(details::list_steps))
        .routes(routes!(details::list_events))
        .routes(routes!(details::list_context))
        .routes(routes!(doings::list_logs))
        .routes(routes!(doings::list_requests))
        .routes(routes!(verbs::cancel_saga))
        .routes(routes!(verbs::rollback_saga))
        .routes(routes!(pauses::pause_saga))
        .routes(routes!(pauses::resume_saga))
        .routes(routes!(pauses::pause_sagas))
        .routes(routes!(pauses::resume_sagas))
        .routes(routes!(pauses::list_pauses))
        .routes(routes!(verbs::retry_saga))
        .routes(routes!(verbs::skip_step))
        .routes(routes!(repin::repin_saga))
        .routes(routes!(repin::repin_sagas))
        .routes(routes!(retry_all::retry_sagas))
        .routes(routes!(verbs::abandon_saga))
}
