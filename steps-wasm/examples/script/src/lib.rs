//! The steps `scripted` and `scripted-pivot`: their parameters say what they do, so that tests of the engine need no others.
//!
//! ```json
//! {"run": [{"set": {"k": 1}}, {"again": {"after_ms": 100}}, {"done": {"x": 2}}], "compensate": [{"log": "undone"}]}
//! ```
//!
//! A script is a list of operations, each an object with one field. They are carried out in order until one ends the call; a
//! script that comes to its end is done with `{}`. `again` ends the call, and the next call goes on behind it. An attempt
//! after a failure begins behind the last `again`.
//!
//! | ends the call | what |
//! |---|---|
//! | `{"done": VALUE}` | done with this output |
//! | `{"facts": {"context": ["k"], "output_of": ["step"], "info": ["name"]}}` | done; the output says everything the call knows |
//! | `{"again": {"after_ms": 0, "times": 1, "state": VALUE, "progress": ""}}` | sleep, so many times |
//! | `{"transient": {"times": 1, "code": "", "message": "", "retry_after_ms": N}}` | fail so many attempts, then go on |
//! | `{"permanent": {"times": N, "code": "", "message": ""}}` | fail for good; with `times`, so many calls (counted in the context under `scripted`, by a checkpoint, so that an operator's retry goes on) |
//! | `{"trap": {"times": N}}` | trap in so many attempts, without `times` in all |
//! | `{"spin": {"times": N}}` | the same with a loop that never ends |
//! | `{"recurse": {}}` | use up the stack |
//!
//! | goes on | what |
//! |---|---|
//! | `{"set": {"k": VALUE}}`, `{"remove": ["k"]}`, `{"checkpoint": {}}` | context |
//! | `{"log": "text"}` | one line |
//! | `{"allocate": BYTES}` | hold that much memory until the call ends |
//! | `{"until_cancelled": {}}` | wait, busily, until a cancel is requested |
//! | `{"http": {"service": "digitalocean", "method": "GET", "path": "/", "query": {}, "headers": {}, "body": VALUE, "timeout_ms": N, "max_age_ms": N, "once": {"key": "k", "refusals": []}, "save": "k"}}` | one request; its answer, or its error, goes to the context key `save`. Without `save` an error ends the call: `again` where it costs nothing, else transient |
//! | `{"recall": {"phase": "run", "key": "k", "save": "k"}}` | what the journal says |
//! | `{"upsert": {"provider": "", "kind": "", "provider_id": "", "status": "", "name": "", "spec": VALUE}}` | an inventory row; with `spec` its desired state too |
//! | `{"mark_deleted": {"provider": "", "kind": "", "provider_id": ""}}`, `{"report": {"code": "", "provider": "", "kind": "", "provider_id": "", "message": ""}}` | inventory and findings |
//!
//! What the host refuses (a key that isn't declared, a row that isn't valid) ends the call with the permanent error of the
//! droplet steps for it.

mod call;
mod request;
mod script;

pub use call::{compensate, run};
