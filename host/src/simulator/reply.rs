//! The HTTP form of an answer: headers that every answer has, and the ways in which a fault mangles a body.

use std::io;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{Response, StatusCode, body::Frame, header};
use serde_json::{Value, json};

use super::{
    api::Answer,
    fault::{AnswerFault, BodyForm, Strange},
    provider::Admission,
    rate::Verdict,
    refusal::Refusal,
};

/// The body of an answer.
pub type Body = BoxBody<Bytes, io::Error>;

const HTML: &str =
    "<html>\n<head><title>Bad gateway</title></head>\n<body>\n<h1>Bad gateway</h1>\n</body>\n</html>\n";

/// An answer on its way to the client.
#[derive(Debug)]
pub(super) struct Reply {
    status: u16,
    json: Option<Value>,
    form: BodyForm,
    retry_after: Option<String>,
}

impl Reply {
    /// The true answer.
    pub(super) fn of(answer: Result<Answer, Refusal>, admission: &Admission) -> Self {
        let (status, json) = match answer {
            Ok(answer) => (answer.status, answer.body),
            Err(refusal) => (refusal.status, Some(error_body(&refusal, admission))),
        };
        let retry_after = match admission.standing.verdict {
            Verdict::Burst { retry_after_s } if status == 429 => Some(retry_after_s.to_string()),
            Verdict::Burst { .. } | Verdict::Exhausted | Verdict::Admitted => None,
        };
        Self {
            status,
            json,
            form: BodyForm::Proper,
            retry_after,
        }
    }

    /// The answer that a fault puts in place of the true one, or of none.
    pub(super) fn of_fault(fault: &AnswerFault, truth: Option<Self>, admission: &Admission) -> Self {
        let true_status = truth.as_ref().map_or(500, |truth| truth.status);
        let status = fault.status.unwrap_or(true_status);
        let mut refusal = Refusal::of_status(status);
        if let Some(message) = &fault.message {
            refusal = refusal.with_message(message.clone());
        }
        let json = if status < 300 || status == true_status {
            truth.and_then(|truth| truth.json)
        } else {
            None
        };
        let json = json.or_else(|| (status >= 300).then(|| error_body(&refusal, admission)));
        Self {
            status,
            json,
            form: fault.body,
            retry_after: fault.retry_after.clone(),
        }
    }

    /// Puts things into the body that the documentation doesn't have.
    pub(super) fn make_strange(&mut self, strange: &Strange) {
        if let Some(json) = &mut self.json {
            estrange(json, strange);
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn into_response(self, admission: &Admission) -> Response<Body> {
        let standing = &admission.standing;
        let remaining = if self.status == 429 { 0 } else { standing.remaining };
        let mut response = Response::builder()
            .status(StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            .header("x-request-id", &admission.request_id)
            .header("ratelimit-limit", standing.limit)
            .header("ratelimit-remaining", remaining)
            .header("ratelimit-reset", standing.reset_s);
        if let Some(retry_after) = &self.retry_after {
            response = response.header(header::RETRY_AFTER, retry_after);
        }
        let text = self.json.as_ref().map(Value::to_string).unwrap_or_default();
        let half = text.get(..text.len() / 2).unwrap_or(&text).to_owned();
        let (kind, body) = match self.form {
            BodyForm::Proper => ("application/json; charset=utf-8", whole(text)),
            BodyForm::Truncated => ("application/json; charset=utf-8", whole(half)),
            BodyForm::CutOff => {
                response = response.header(header::CONTENT_LENGTH, text.len());
                ("application/json; charset=utf-8", cut_off(half))
            }
            BodyForm::Html => ("text/html", whole(HTML.to_owned())),
            BodyForm::Empty => ("application/json; charset=utf-8", whole(String::new())),
        };
        if self.status != 204 {
            response = response.header(header::CONTENT_TYPE, kind);
        }
        // Only a header from a fault can be unsendable, such as a retry-after with a line break.
        response.body(body).unwrap_or_else(|error| {
            let mut response = Response::new(whole(error.to_string()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }
}

fn error_body(refusal: &Refusal, admission: &Admission) -> Value {
    let request_id = admission.id_in_body.then_some(admission.request_id.as_str());
    refusal.body(request_id)
}

fn whole(text: String) -> Body {
    Full::from(text).map_err(|never| match never {}).boxed()
}

/// Some bytes, and then the connection breaks.
fn cut_off(text: String) -> Body {
    let frames = stream::unfold(Some(text), |rest| async move {
        match rest {
            Some(text) if text.is_empty() => {
                // Let the bytes before leave first.
                tokio::task::yield_now().await;
                Some((Err(io::ErrorKind::ConnectionAborted.into()), None))
            }
            Some(text) => Some((Ok(Frame::data(Bytes::from(text))), Some(String::new()))),
            None => None,
        }
    });
    BodyExt::boxed(StreamBody::new(frames))
}

fn estrange(value: &mut Value, strange: &Strange) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| estrange(item, strange)),
        Value::Object(fields) => {
            for field in fields.values_mut() {
                estrange(field, strange);
            }
            if strange.extra_fields {
                fields.insert("x_unknown".into(), json!({"since": "2031", "list": [1, null]}));
            }
            if strange.null_tags && fields.contains_key("tags") {
                fields.insert("tags".into(), Value::Null);
            }
            let status = if fields.contains_key("size_slug") {
                &strange.droplet_status
            } else if fields.contains_key("resource_type") && fields.contains_key("started_at") {
                &strange.action_status
            } else {
                &None
            };
            if let Some(status) = status {
                fields.insert("status".into(), json!(status));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
