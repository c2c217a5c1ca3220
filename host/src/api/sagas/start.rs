//! Starting a saga: accepted once it is durable, and at most once per idempotency key.

use std::collections::BTreeMap;

use axum::{
    Extension, Json as JsonAnswer,
    extract::State,
    http::{HeaderValue, StatusCode, header::LOCATION},
    response::{IntoResponse as _, Response},
};
use serde_json::{Map, Value};

use crate::{
    api::{
        ApiState,
        auth::Actor,
        body::Body,
        canonical::request_hash,
        dto::{self, SagaLinks, Started},
        headers::{IDEMPOTENCY_REPLAYED, IdempotencyKey, Wait},
        mapped::unknown_saga,
        problem::{Code, Problem},
        query::{MAX_TEXT_CHARS, NoQuery},
    },
    engine::{self, Idempotency, PlanSource, StartError},
    saga::{Json, Status},
};

/// What is asked for, by this endpoint or by a short way to it.
pub(in crate::api) struct Request {
    pub plan: PlanSource,
    pub inputs: Map<String, Value>,
    pub params: BTreeMap<String, Map<String, Value>>,
    pub paused: bool,
    pub deployment_id: Option<String>,
    pub triggered_by: Option<String>,
    /// Where the engine's pointers into `inputs` lead in the body as it was sent.
    pub inputs_at: &'static str,
}

/// Start a saga.
///
/// By the name of a definition, or with `kind` and `steps` in the request. The answer comes when the saga is durable: from
/// there on it survives anything. A request with a known `Idempotency-Key` and the same meaning answers the saga that the
/// first one started.
#[utoipa::path(
    post, path = "/sagas", tag = "sagas", operation_id = "start_saga", request_body = dto::StartSaga,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "At most 255 characters; kept for as long as the saga."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer when the saga rests, after N seconds (at most 60) at the latest."),
    ),
    responses(
        (status = 202, description = "Accepted.", body = Started, headers(("Location" = String, description = "The saga."))),
        (status = 200, description = "It came to rest within the time to wait.", body = Started),
        (status = 400, description = "`invalid-json`, `invalid-header`"),
        (status = 409, description = "`component-pending`, `component-retired`, `component-revoked`: names the call that approves it"),
        (status = 413, description = "`body-too-large`: over 256 KiB"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-request`, `idempotency-key-reused`"),
        (status = 503, description = "`overloaded`, `store-unavailable`; with `Retry-After`"),
    ),
)]
pub(super) async fn start_saga(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    IdempotencyKey(key): IdempotencyKey,
    wait: Wait,
    _: NoQuery,
    Body(body): Body<dto::StartSaga>,
) -> Result<Response, Problem> {
    start(&state, &actor, request_of(body)?, key, wait).await
}

pub(super) fn request_of(body: dto::StartSaga) -> Result<Request, Problem> {
    Ok(Request {
        plan: plan_source(body.definition, body.kind, body.steps)?,
        inputs: body.inputs.unwrap_or_default(),
        params: body.params,
        paused: body.paused,
        deployment_id: body.deployment_id,
        triggered_by: body.triggered_by,
        inputs_at: "/inputs",
    })
}

fn plan_source(
    definition: Option<String>,
    kind: Option<crate::saga::Kind>,
    steps: Option<Value>,
) -> Result<PlanSource, Problem> {
    let refuse = |pointer: &str, reason: &str, message: &str| {
        Err(Problem::at_pointer(
            Code::InvalidRequest,
            pointer,
            reason,
            message,
        ))
    };
    match (definition, kind, steps) {
        (Some(name), None, None) => Ok(PlanSource::Definition { name }),
        (None, Some(kind), Some(steps)) => Ok(PlanSource::Inline { kind, steps }),
        (None, None, None) => refuse(
            "/definition",
            "missing",
            "name a definition, or give kind and steps",
        ),
        (None, None, Some(_)) => refuse("/kind", "missing", "steps need a kind beside them"),
        (None, Some(_), None) => refuse("/steps", "missing", "a kind needs steps beside it"),
        (Some(_), Some(_), _) => refuse(
            "/kind",
            "ambiguous",
            "a definition has its own kind: leave one of them out",
        ),
        (Some(_), None, Some(_)) => refuse(
            "/steps",
            "ambiguous",
            "a definition has its own steps: leave one of them out",
        ),
    }
}

/// Has it accepted; nobody waits for more than that.
pub(super) async fn accept(
    state: &ApiState,
    actor: &Actor,
    request: Request,
    key: Option<String>,
) -> Result<engine::Started, Problem> {
    let inputs_at = request.inputs_at;
    let request = to_engine(request, actor, key)?;
    let started = state.engine().start_saga(request).await;
    started.map_err(|error| match error {
        StartError::Invalid(problems) => Problem::of_body(problems, |pointer| placed(pointer, inputs_at)),
        error => error.into(),
    })
}

pub(in crate::api) async fn start(
    state: &ApiState,
    actor: &Actor,
    request: Request,
    key: Option<String>,
    mut wait: Wait,
) -> Result<Response, Problem> {
    let started = accept(state, actor, request, key).await?;
    // A saga that was just accepted runs, whatever it has become since.
    let status = if started.created && wait.0.is_none() {
        Status::Running
    } else {
        let standing = state.wait(started.saga, None, &mut wait).await?;
        standing.ok_or_else(|| unknown_saga(started.saga))?.status
    };
    let rests = wait.0.is_some() && (status.is_final() || status == Status::NeedsAttention);
    let links = SagaLinks::of(started.saga);
    let location = HeaderValue::from_str(&links.itself).expect("a path of our own is legal in a header");
    let answer = Started {
        id: started.saga,
        status,
        links,
    };
    let code = if rests {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = (code, JsonAnswer(answer)).into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    if !started.created {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    wait.applied(headers);
    Ok(response)
}

fn to_engine(request: Request, actor: &Actor, key: Option<String>) -> Result<engine::StartSaga, Problem> {
    let deployment_id = short("/deployment_id", request.deployment_id)?;
    let triggered_by = short("/triggered_by", request.triggered_by)?;
    let mut request = engine::StartSaga {
        plan: request.plan,
        inputs: Json::of(&request.inputs),
        params: request.params,
        paused: request.paused,
        deployment_id,
        triggered_by: triggered_by.unwrap_or_else(|| actor.0.clone()),
        actor: actor.0.clone(),
        idempotency: None,
    };
    request.idempotency = key.map(|key| Idempotency {
        key,
        request_hash: request_hash(&request),
    });
    Ok(request)
}

fn short(pointer: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.is_empty() || text.chars().count() > MAX_TEXT_CHARS => Err(Problem::at_pointer(
            Code::InvalidRequest,
            pointer,
            "length",
            format!("it has 1 to {MAX_TEXT_CHARS} characters; leave it out if there is none"),
        )),
        text => Ok(text),
    }
}

/// Where the engine's pointer leads in the body as it was sent.
fn placed(pointer: String, inputs_at: &str) -> String {
    match pointer.strip_prefix("/inputs") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{inputs_at}{rest}"),
        Some(_) | None => pointer,
    }
}
