//! Bodies: read whole within a limit and a time, and JSON bodies checked text first, then shape.

use std::time::Duration;

use axum::{
    body::Body as AxumBody,
    extract::{FromRequest, Request},
    http::{
        HeaderMap,
        header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT},
    },
};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;

use super::problem::{Code, Problem};
use crate::saga::{Json, JsonError, MAX_JSON_BYTES};

/// Largest JSON body, in bytes.
pub const MAX_JSON_BODY_BYTES: usize = MAX_JSON_BYTES;

/// How long a JSON body may take to arrive.
const JSON_WITHIN: Duration = Duration::from_secs(30);
/// How long, and how many bytes, of a body that is refused are read and thrown away, so that the caller, who is still
/// sending, gets to read the answer.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
const DRAIN_BYTES: usize = 128 << 20;

/// A JSON body.
pub(super) struct Body<T>(pub T);

/// A JSON body that may be left out.
pub(super) struct OptionalBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Body<T>, Problem> {
        read(request, MAX_JSON_BODY_BYTES).await?.shape().map(Body)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<OptionalBody<T>, Problem> {
        let text = read(request, MAX_JSON_BODY_BYTES).await?;
        if text.bytes.is_empty() {
            return Ok(OptionalBody(T::default()));
        }
        text.shape().map(OptionalBody)
    }
}

/// A JSON body as it came.
pub(super) struct RawBody(pub Json);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<RawBody, Problem> {
        read(request, MAX_JSON_BODY_BYTES).await?.json().map(RawBody)
    }
}

/// A JSON body of at most `LIMIT` bytes as its text, which nobody has checked yet.
pub(super) struct LongBody<const LIMIT: usize>(pub String);

impl<S: Send + Sync, const LIMIT: usize> FromRequest<S> for LongBody<LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<LongBody<LIMIT>, Problem> {
        read(request, LIMIT).await?.text().map(LongBody)
    }
}

struct Sent {
    bytes: Vec<u8>,
    media_type: Option<String>,
}

async fn read(request: Request, limit: usize) -> Result<Sent, Problem> {
    let media_type = media_type(request.headers());
    let bytes = collect(request, limit, JSON_WITHIN).await?;
    Ok(Sent { bytes, media_type })
}

impl Sent {
    fn text(self) -> Result<String, Problem> {
        let is_json = self.media_type.as_deref().is_some_and(|given| {
            given == "application/json" || (given.starts_with("application/") && given.ends_with("+json"))
        });
        if !is_json {
            return Err(unsupported(self.media_type.as_deref(), "application/json"));
        }
        String::from_utf8(self.bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            invalid_json(format!("it is not UTF-8 at byte {at}"))
        })
    }

    fn json(self) -> Result<Json, Problem> {
        checked(&self.text()?)
    }

    fn shape<T: DeserializeOwned>(self) -> Result<T, Problem> {
        shaped(self.json()?.as_str())
    }
}

/// A text that obeys the rules for JSON.
pub(super) fn checked(text: &str) -> Result<Json, Problem> {
    Json::parse(text).map_err(|error| match error {
        JsonError::Invalid(reason) => invalid_json(reason),
        JsonError::TooLarge { .. } => too_large(MAX_JSON_BODY_BYTES),
    })
}

/// A JSON object as what it means.
pub(super) fn shaped<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    // Serde would read an array as the fields in their order.
    if text.trim_start().starts_with(|first| first != '{') {
        return Err(Problem::at_pointer(
            Code::InvalidRequest,
            "",
            "wrong-shape",
            "expected a JSON object",
        ));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let shaped = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        match error.classify() {
            Category::Data => {
                Problem::at_pointer(Code::InvalidRequest, &pointer, "wrong-shape", error.to_string())
            }
            Category::Syntax | Category::Eof | Category::Io => invalid_json(error.to_string()),
        }
    })?;
    deserializer
        .end()
        .map_err(|error| invalid_json(error.to_string()))?;
    Ok(shaped)
}

fn invalid_json(reason: String) -> Problem {
    Problem::at_pointer(Code::InvalidJson, "", "invalid-json", reason)
}

/// `a/b` without its parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let given = value.split(';').next().unwrap_or_default().trim();
    (!given.is_empty()).then(|| given.to_ascii_lowercase())
}

pub(super) fn unsupported(given: Option<&str>, expected: &str) -> Problem {
    let given = given.map_or("none was given".to_owned(), |given| format!("{given} was given"));
    Problem::new(
        Code::UnsupportedMediaType,
        format!("the content type of the body has to be {expected}; {given}"),
    )
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        Code::BodyTooLarge,
        format!("the body has at most {limit} bytes here; nothing was changed"),
    )
}

/// The whole body, at most `limit` bytes that arrive within `within`.
pub(super) async fn collect(request: Request, limit: usize, within: Duration) -> Result<Vec<u8>, Problem> {
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let waits_for_our_word = request.headers().contains_key(EXPECT);
    let mut body = request.into_body();
    if announced.is_some_and(|length| length > limit as u64) {
        if !waits_for_our_word {
            drain(&mut body).await;
        }
        return Err(too_large(limit));
    }
    match tokio::time::timeout(within, gather(&mut body, limit)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => {
            drain(&mut body).await;
            Err(too_large(limit))
        }
        Ok(Err(error)) => Err(Problem::new(
            Code::BodyInterrupted,
            format!("the body did not arrive whole: {error}"),
        )),
        Err(_) => Err(Problem::new(
            Code::BodyTimeout,
            format!("the body has to arrive within {} s", within.as_secs()),
        )),
    }
}

/// `None`: it is longer than the limit.
async fn gather(body: &mut AxumBody, limit: usize) -> Result<Option<Vec<u8>>, axum::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes))
}

async fn drain(body: &mut AxumBody) {
    let mut left = DRAIN_BYTES;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len()));
            if left == 0 {
                break;
            }
        }
    };
    // Whether it ended, broke off or took too long: the answer is the same.
    let _ = tokio::time::timeout(DRAIN_WITHIN, all).await;
}

/// Where in the body, as a JSON Pointer.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use serde_json::Value;

    use super::*;
    use crate::api::dto::StartSaga;

    async fn refusal(content_type: &str, body: &[u8]) -> (u16, Value) {
        let request = Request::builder()
            .header(CONTENT_TYPE, content_type)
            .body(AxumBody::from(body.to_vec()))
            .unwrap();
        let problem = Body::<StartSaga>::from_request(request, &())
            .await
            .map(|body| body.0)
            .expect_err(&String::from_utf8_lossy(body));
        let response = problem.into_response();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_broken_body_is_refused_with_its_place() {
        let long = format!("{:?}", "x".repeat(MAX_JSON_BODY_BYTES));
        let json = "application/json";
        let cases = [
            (json, b"".as_slice(), 400, "invalid-json", "", "EOF"),
            (json, b"{\"a\":", 400, "invalid-json", "", "line 1 column 5"),
            (
                json,
                b"{\"a\":1,\"a\":1}",
                400,
                "invalid-json",
                "",
                "duplicate key",
            ),
            (
                json,
                b"{\"a\":\"\xff\"}",
                400,
                "invalid-json",
                "",
                "UTF-8 at byte 6",
            ),
            (json, b"[]", 422, "invalid-request", "", "expected a JSON object"),
            (
                json,
                b"{\"definition\":1}",
                422,
                "invalid-request",
                "/definition",
                "expected a string",
            ),
            (
                json,
                b"{\"kind\":\"x\"}",
                422,
                "invalid-request",
                "/kind",
                "unknown variant",
            ),
            (
                json,
                b"{\"params\":{\"a/b\":7}}",
                422,
                "invalid-request",
                "/params/a~1b",
                "expected a map",
            ),
            (
                json,
                b"{\"inptus\":{}}",
                422,
                "invalid-request",
                "/inptus",
                "unknown field",
            ),
            (
                "text/plain",
                b"{}",
                415,
                "unsupported-media-type",
                "",
                "text/plain",
            ),
            (json, long.as_bytes(), 413, "body-too-large", "", "262144"),
        ];
        for (content_type, body, status, code, pointer, message) in cases {
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            let (got, problem) = refusal(content_type, body).await;
            assert_eq!(
                (got, problem["code"].as_str()),
                (status, Some(code)),
                "{shown}: {problem}"
            );
            if !problem["errors"].is_null() {
                assert_eq!(problem["errors"][0]["pointer"], pointer, "{shown}: {problem}");
            }
            assert!(
                problem["detail"].as_str().unwrap().contains(message),
                "{shown}: {problem}"
            );
        }
    }
}
