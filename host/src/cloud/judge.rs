//! What the end of an exchange that may change something proves: for the journal, and for the guest. Pure.

use serde::de::IgnoredAny;

use super::{
    FetchError, Once, Response,
    exchange::{Ending, MAX_RESPONSE_BYTES, WireAnswer},
    redact::{guest_headers, kept_headers},
};
use crate::saga::{AnswerVerdict, RecordedResponse};

pub(super) const UNAUTHORIZED: &str = "the service refuses the host's credential (401)";

pub(super) const FORBIDDEN: &str = "the service refuses everything that the host's credential asks (403)";

/// The journal's verdict and the guest's result.
pub(super) fn judge(once: Option<&Once>, ending: Ending) -> (AnswerVerdict, Result<Response, FetchError>) {
    let too_large = FetchError::ResponseTooLarge(MAX_RESPONSE_BYTES as u64);
    match ending {
        Ending::Unsent(reason) => (AnswerVerdict::Unsent, Err(FetchError::Connect(reason))),
        Ending::Lost(reason) => (AnswerVerdict::Lost, Err(FetchError::Interrupted(reason))),
        Ending::TimedOut => (AnswerVerdict::Lost, Err(FetchError::Timeout)),
        Ending::Answered(answer) => {
            let proof = proof_of(once, answer.status, &answer.body);
            (verdict(once, proof, &answer), for_guest(answer))
        }
        // The status alone can prove that nothing happened; that something happened it can't.
        Ending::TooLarge(head) => match refusal(once, head.status) {
            Some(proof) => (
                verdict(once, proof, &head),
                unauthorized(head.status).map_or(Err(too_large), Err),
            ),
            None => (verdict(once, Proof::Doubt, &head), Err(too_large)),
        },
        Ending::Cut(head, reason) => match refusal(once, head.status) {
            Some(proof) => (verdict(once, proof, &head), for_guest(head)),
            None => (AnswerVerdict::Lost, Err(FetchError::Interrupted(reason))),
        },
    }
}

/// An answer to a request that changes nothing.
pub(super) fn judge_read(ending: Ending) -> Result<WireAnswer, FetchError> {
    match ending {
        Ending::Unsent(reason) => Err(FetchError::Connect(reason)),
        Ending::Lost(reason) => Err(FetchError::Interrupted(reason)),
        Ending::TimedOut => Err(FetchError::Timeout),
        Ending::TooLarge(head) | Ending::Cut(head, _) | Ending::Answered(head) if head.status == 401 => {
            Err(FetchError::Unavailable(UNAUTHORIZED.to_owned()))
        }
        Ending::TooLarge(_) => Err(FetchError::ResponseTooLarge(MAX_RESPONSE_BYTES as u64)),
        Ending::Cut(_, reason) => Err(FetchError::Interrupted(reason)),
        Ending::Answered(answer) => Ok(answer),
    }
}

pub(super) fn response_of(answer: WireAnswer, age_ms: u64) -> Response {
    Response {
        status: answer.status,
        headers: guest_headers(&answer.headers),
        body: answer.body,
        replayed: false,
        age_ms,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Nothing,
    Done,
    Doubt,
}

fn proof_of(once: Option<&Once>, status: u16, body: &[u8]) -> Proof {
    if let Some(proof) = refusal(once, status) {
        return proof;
    }
    let conclusive = match once {
        // 204 has no body by definition.
        Some(_) => {
            status == 204 || (is_success(status) && serde_json::from_slice::<IgnoredAny>(body).is_ok())
        }
        None => is_success(status),
    };
    if conclusive { Proof::Done } else { Proof::Doubt }
}

/// Statuses by which a service says that it did nothing. Without `once` these are all 4xx but 403 (it can come after a part of
/// the effect) and 408 (the request may have arrived whole).
fn refusal(once: Option<&Once>, status: u16) -> Option<Proof> {
    let refused = match once {
        Some(once) => matches!(status, 401 | 429) || once.refusals.contains(&status),
        None => (400..500).contains(&status) && !matches!(status, 403 | 408),
    };
    refused.then_some(Proof::Nothing)
}

fn verdict(once: Option<&Once>, proof: Proof, answer: &WireAnswer) -> AnswerVerdict {
    let response = RecordedResponse {
        status: answer.status,
        headers: kept_headers(&answer.headers),
        body: if once.is_some() {
            answer.body.clone()
        } else {
            Vec::new()
        },
    };
    match proof {
        Proof::Nothing => AnswerVerdict::Refused { response },
        Proof::Done => AnswerVerdict::Answered {
            response,
            conclusive: true,
        },
        Proof::Doubt => AnswerVerdict::Answered {
            response,
            conclusive: false,
        },
    }
}

fn for_guest(answer: WireAnswer) -> Result<Response, FetchError> {
    match unauthorized(answer.status) {
        Some(error) => Err(error),
        None => Ok(response_of(answer, 0)),
    }
}

fn unauthorized(status: u16) -> Option<FetchError> {
    (status == 401).then(|| FetchError::Unavailable(UNAUTHORIZED.to_owned()))
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Conclusive,
        Inconclusive,
        Refused,
        Unsent,
        Lost,
    }

    fn seen(verdict: &AnswerVerdict) -> Seen {
        match verdict {
            AnswerVerdict::Answered { conclusive: true, .. } => Seen::Conclusive,
            AnswerVerdict::Answered {
                conclusive: false, ..
            } => Seen::Inconclusive,
            AnswerVerdict::Refused { .. } => Seen::Refused,
            AnswerVerdict::Unsent => Seen::Unsent,
            AnswerVerdict::Lost => Seen::Lost,
        }
    }

    fn answer(status: u16, body: &str) -> WireAnswer {
        WireAnswer {
            status,
            headers: vec![
                ("set-cookie".to_owned(), "c".to_owned()),
                ("x-request-id".to_owned(), "r".to_owned()),
            ],
            body: body.as_bytes().to_vec(),
        }
    }

    fn create() -> Once {
        Once {
            key: "create".to_owned(),
            refusals: vec![400, 422],
        }
    }

    #[test]
    fn every_answer_under_once_and_without_it() {
        use Seen::{Conclusive, Inconclusive, Refused};
        let json = "{\"droplet\":{}}";
        let table = [
            (202, json, Conclusive, Conclusive),
            (202, "", Inconclusive, Conclusive),
            (202, "{\"droplet\":", Inconclusive, Conclusive),
            (200, "<html>", Inconclusive, Conclusive),
            (204, "", Conclusive, Conclusive),
            (302, json, Inconclusive, Inconclusive),
            (400, json, Refused, Refused),
            (401, json, Refused, Refused),
            (403, json, Inconclusive, Inconclusive),
            (404, json, Inconclusive, Refused),
            (408, json, Inconclusive, Inconclusive),
            (409, json, Inconclusive, Refused),
            (422, json, Refused, Refused),
            (429, json, Refused, Refused),
            (500, json, Inconclusive, Inconclusive),
            (503, json, Inconclusive, Inconclusive),
        ];
        for (status, body, under_once, without) in table {
            let once = create();
            let (verdict, guest) = judge(Some(&once), Ending::Answered(answer(status, body)));
            assert_eq!(seen(&verdict), under_once, "{status} {body} under once");
            assert_eq!(guest.is_ok(), status != 401, "{status}");
            let (verdict, _) = judge(None, Ending::Answered(answer(status, body)));
            assert_eq!(seen(&verdict), without, "{status} {body} without once");
        }
    }

    #[test]
    fn the_whole_body_is_recorded_only_under_once_and_cookies_never() {
        let once = create();
        let (recorded, guest) = judge(Some(&once), Ending::Answered(answer(202, "{}")));
        let kept = vec![("x-request-id".to_owned(), "r".to_owned())];
        let response = RecordedResponse {
            status: 202,
            headers: kept.clone(),
            body: b"{}".to_vec(),
        };
        assert_eq!(
            recorded,
            AnswerVerdict::Answered {
                response: response.clone(),
                conclusive: true
            }
        );
        let for_guest = Response {
            status: 202,
            headers: kept,
            body: b"{}".to_vec(),
            replayed: false,
            age_ms: 0,
        };
        assert_eq!(guest, Ok(for_guest));

        let (recorded, _) = judge(None, Ending::Answered(answer(202, "{}")));
        let response = RecordedResponse {
            body: Vec::new(),
            ..response
        };
        assert_eq!(
            recorded,
            AnswerVerdict::Answered {
                response,
                conclusive: true
            }
        );
    }

    #[test]
    fn an_exchange_that_broke_proves_only_what_its_status_proves() {
        let once = create();
        let end = |ending| {
            let (verdict, guest) = judge(Some(&once), ending);
            (seen(&verdict), guest.map(|response| response.status))
        };
        let too_large = || FetchError::ResponseTooLarge(MAX_RESPONSE_BYTES as u64);
        let unauthorized = || FetchError::Unavailable(UNAUTHORIZED.to_owned());
        let text = || "x".to_owned();
        assert_eq!(
            end(Ending::Unsent(text())),
            (Seen::Unsent, Err(FetchError::Connect(text())))
        );
        assert_eq!(
            end(Ending::Lost(text())),
            (Seen::Lost, Err(FetchError::Interrupted(text())))
        );
        assert_eq!(end(Ending::TimedOut), (Seen::Lost, Err(FetchError::Timeout)));
        assert_eq!(
            end(Ending::TooLarge(answer(202, ""))),
            (Seen::Inconclusive, Err(too_large()))
        );
        assert_eq!(
            end(Ending::TooLarge(answer(422, ""))),
            (Seen::Refused, Err(too_large()))
        );
        assert_eq!(
            end(Ending::TooLarge(answer(401, ""))),
            (Seen::Refused, Err(unauthorized()))
        );
        assert_eq!(
            end(Ending::Cut(answer(202, ""), text())),
            (Seen::Lost, Err(FetchError::Interrupted(text())))
        );
        assert_eq!(
            end(Ending::Cut(answer(422, ""), text())),
            (Seen::Refused, Ok(422))
        );
        assert_eq!(
            end(Ending::Cut(answer(401, ""), text())),
            (Seen::Refused, Err(unauthorized()))
        );
    }
}
