//! What may go wrong with a request.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Nothing is sent; costs neither attempt nor poll.
    Connect,
    RateLimited(u64),
    Unavailable,
    /// Nothing is sent.
    BudgetExhausted,
    Cancelled,
    /// Sent, without effect and without an answer.
    LostBefore,
    /// Takes effect; the answer is lost.
    LostAfter,
    /// Takes effect; the guest's patience ends before the answer arrives, so many milliseconds after the request.
    Slow(u64),
    /// Answered like this, with or without effect.
    Answer {
        status: u16,
        body: String,
        effect: bool,
    },
    /// The host dies: before the request has effect, after it, or when the answer is recorded and nothing else is.
    DieBefore,
    DieAfter,
    DieAnswered,
}

/// The request that it happens to.
#[derive(Clone, Debug)]
pub struct Fault {
    pub method: &'static str,
    /// The path begins like this.
    pub path: String,
    /// So many of these requests pass first.
    pub skip: u32,
    /// So many are hit then.
    pub times: u32,
    pub what: What,
}

/// The first request of this method whose path begins like this.
pub fn on(method: &'static str, path: impl Into<String>, what: What) -> Fault {
    Fault {
        method,
        path: path.into(),
        skip: 0,
        times: 1,
        what,
    }
}

impl Fault {
    pub fn times(self, times: u32) -> Fault {
        Fault { times, ..self }
    }

    pub fn after(self, skip: u32) -> Fault {
        Fault { skip, ..self }
    }
}

impl What {
    pub fn refusal(status: u16, message: &str) -> What {
        let body = Value::Object(
            [("id", "refused"), ("message", message)]
                .map(|(name, text)| (name.to_owned(), text.into()))
                .into_iter()
                .collect(),
        );
        What::Answer {
            status,
            body: body.to_string(),
            effect: false,
        }
    }
}

/// Take the fault that this request meets, if any.
pub(crate) fn meet(faults: &mut Vec<Fault>, method: &str, path: &str) -> Option<What> {
    let index = faults
        .iter()
        .position(|fault| fault.method == method && path.starts_with(&fault.path))?;
    let fault = &mut faults[index];
    if fault.skip > 0 {
        fault.skip -= 1;
        return None;
    }
    let what = fault.what.clone();
    fault.times -= 1;
    if fault.times == 0 {
        faults.remove(index);
    }
    Some(what)
}
