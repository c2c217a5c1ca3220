//! The way out: named services with their credential, allow-list and rate budget, and the one function that sends.
//!
//! | file | noun |
//! |---|---|
//! | `services`, `service` | the configured services, and `fetch`; one of them |
//! | `config`, `secret`, `credential` | what the operator says about them; a credential in memory, and the one in use |
//! | `request`, `journal` | the words: what a step asks for; the journal as the exchange sees it |
//! | `identity`, `probe` | whose account a service reaches; how that is read |
//! | `gate`, `leave` | whether it may be used now: a 401 closes it; whether anything may leave this host |
//! | `look` | what a provider has under our tags |
//! | `policy`, `grants` | which requests have a legal shape and are granted; what two lists of grants have in common |
//! | `read`, `write` | the two ways through: shared and unjournaled; journaled and sent at most once |
//! | `exchange`, `judge` | one exchange; what its end proves |
//! | `transport` | what carries it: the wire, or what a host is given in its place |
//! | `budget`, `slot`, `turns`, `ratelimit` | the rate budget, a place in it, who is next, what the service says about it |
//! | `shared`, `open` | answers that calls share; which steps have an exchange on the wire |
//! | `record`, `redact` | a record as the step sees it again; what is kept for people |
//! | `crypto` | the TLS provider |

mod budget;
mod config;
mod credential;
mod crypto;
mod exchange;
mod gate;
pub mod grants;
mod identity;
mod journal;
mod judge;
mod leave;
mod look;
mod open;
mod policy;
mod probe;
mod ratelimit;
mod read;
mod record;
mod redact;
mod request;
mod secret;
mod service;
mod services;
mod shared;
mod slot;
mod transport;
mod turns;
mod write;

pub use config::{ConfigError, DIGITALOCEAN, ServiceConfig};
pub use crypto::install_crypto;
pub use exchange::{EXCHANGE_LIMIT, MAX_RESPONSE_BYTES};
pub use gate::Closed;
pub use identity::{Identity, IdentityProbe};
pub use journal::{IntentRefused, Journal};
pub use look::{DROPLET, LookError, SNAPSHOT, Seen, Sighting, Wanted, is_lookable};
pub use policy::{MAX_REQUEST_BODY_BYTES, MAX_URL_BYTES};
pub use record::{Recorded, recorded};
pub use request::{FetchError, Grant, Once, Outgoing, Response};
pub use secret::Secret;
pub use services::{DEFAULT_TIMEOUT, MAX_TIMEOUT, ServiceReport, Services, ServicesError};
pub use transport::{NotAnswered, Transport};
