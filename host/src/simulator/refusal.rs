//! The provider's errors, with the words it uses for them. Statuses and messages come from its documentation and from
//! public issue threads; where neither says, the status is the documented class and the words are plain.

use serde_json::{Value, json};

/// An answer other than success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The `id` field: a hint, which real clients must not branch on.
    pub(super) id: &'static str,
    pub(super) message: String,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    /// `{error, messages, root_causes}`, which the tags endpoints use.
    RootCauses,
}

pub(super) const PENDING_EVENT: &str = "Droplet already has a pending event.";

impl Refusal {
    fn new(status: u16, id: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            id,
            message: message.into(),
            form: Form::Plain,
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "bad_request", message)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "unauthorized", "Unable to authenticate you")
    }

    pub(super) fn forbidden() -> Self {
        let message = "You are not authorized to perform this operation";
        Self::new(403, "forbidden", message)
    }

    pub(super) fn not_found() -> Self {
        let message = "The resource you were accessing could not be found.";
        Self::new(404, "not_found", message)
    }

    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "unprocessable_entity", message)
    }

    pub(super) fn pending_event() -> Self {
        Self::unprocessable(PENDING_EVENT)
    }

    pub(super) fn too_many_requests() -> Self {
        Self::new(429, "too_many_requests", "API Rate limit exceeded.")
    }

    /// A tag with characters that tags can't have; this endpoint has a body form of its own.
    pub(super) fn invalid_tag(name: &str) -> Self {
        Self {
            form: Form::RootCauses,
            ..Self::bad_request(format!("tag name is invalid: {name}"))
        }
    }

    /// What a status says when a fault asks for it without words of its own.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            400 => Self::bad_request("bad request"),
            401 => Self::unauthorized(),
            403 => Self::forbidden(),
            404 => Self::not_found(),
            422 => Self::pending_event(),
            429 => Self::too_many_requests(),
            503 => Self::new(503, "service_unavailable", "Service is currently unavailable."),
            other => Self::new(other, "server_error", "Unexpected server-side error"),
        }
    }

    pub(super) fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    pub(super) fn body(&self, request_id: Option<&str>) -> Value {
        match (self.form, request_id) {
            (Form::RootCauses, _) => {
                json!({"error": self.message, "messages": [self.message], "root_causes": []})
            }
            (Form::Plain, Some(request_id)) => {
                json!({"id": self.id, "message": self.message, "request_id": request_id})
            }
            (Form::Plain, None) => json!({"id": self.id, "message": self.message}),
        }
    }
}
