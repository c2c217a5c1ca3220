//! How a simulated provider behaves: what a test sets before the start, and the rules that it may patch while it runs.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

/// What is fixed for the life of a simulator, and the rules that it starts with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the provider's API listens; port 0 takes a free one.
    pub api_addr: SocketAddr,
    /// Where the control API listens; port 0 takes a free one.
    pub control_addr: SocketAddr,
    /// Seeds every random choice: ids, addresses, the order of networks, faults with a probability.
    pub seed: u64,
    pub clock: ClockMode,
    pub rules: Rules,
}

impl Default for Options {
    fn default() -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            api_addr: loopback,
            control_addr: loopback,
            seed: 1,
            clock: ClockMode::Real,
            rules: Rules::default(),
        }
    }
}

/// Whether time passes by itself. Each clock can be advanced by hand.
#[derive(Clone, Debug)]
pub enum ClockMode {
    Real,
    Virtual,
    /// Somebody else's.
    Given(GivenClock),
}

/// Answers milliseconds since the Unix epoch; never goes back.
#[derive(Clone)]
pub struct GivenClock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl GivenClock {
    pub fn new(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    pub(super) fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for GivenClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GivenClock").field(&self.now_ms()).finish()
    }
}

/// The rules, all of which `PATCH /options` can change while the simulator runs. Times are milliseconds of the
/// simulator's clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    pub tokens: Vec<Token>,
    pub account_uuid: String,
    pub account_status: AccountStatus,
    /// Counts every droplet that isn't gone yet.
    pub droplet_limit: u32,
    pub rate_per_minute: u32,
    pub rate_per_hour: u32,
    /// From the create's answer to `active`.
    pub activation_ms: u64,
    /// How much later than the activation the create action completes; negative: earlier.
    pub create_action_skew_ms: i64,
    /// From a delete's 204 to the first 404.
    pub delete_ms: u64,
    pub snapshot_ms: u64,
    /// Every droplet action but create and snapshot.
    pub action_ms: u64,
    pub lag: Lag,
    /// From the completed action to the first listing that shows the snapshot.
    pub snapshot_lag_ms: u64,
    pub order: Order,
    pub links: LinksForm,
    /// Where every URL in an answer points to.
    pub link_origin: LinkOrigin,
    /// Whether a number in a text is an image's id in a create or a rebuild, as some clients write it. The documentation
    /// knows numbers for ids and texts for slugs.
    pub text_image_ids: bool,
    pub unknown_tag: UnknownTag,
    pub delete_while_new: DeleteWhileNew,
    /// Whether a droplet with a running action shows `locked: true`.
    pub locked_while_busy: bool,
    /// Whether the droplet-scoped action shows `completed_at: null` although it completed.
    pub hide_completed_at: bool,
    /// Added to every timestamp in an answer: the provider's clock is not the client's.
    pub timestamp_skew_ms: i64,
    /// Regions that refuse new droplets.
    pub unavailable_regions: Vec<String>,
    /// The journal keeps this many entries and forgets the oldest.
    pub journal_limit: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            tokens: vec![Token::full("sim-token")],
            account_uuid: "a7c1a2b0-5d2e-4b8c-9a51-0c3d5c1f7e01".into(),
            account_status: AccountStatus::Active,
            droplet_limit: 1_000,
            rate_per_minute: 250,
            rate_per_hour: 5_000,
            activation_ms: 20_000,
            create_action_skew_ms: 0,
            delete_ms: 3_000,
            snapshot_ms: 30_000,
            action_ms: 5_000,
            lag: Lag::default(),
            snapshot_lag_ms: 0,
            order: Order::NewestFirst,
            links: LinksForm::Empty,
            link_origin: LinkOrigin::At("https://api.simulated.invalid".into()),
            text_image_ids: false,
            unknown_tag: UnknownTag::Empty,
            delete_while_new: DeleteWhileNew::Accepted,
            locked_while_busy: false,
            hide_completed_at: false,
            timestamp_skew_ms: 0,
            unavailable_regions: Vec::new(),
            journal_limit: 200_000,
        }
    }
}

/// A bearer token of the account. All tokens see the same account; each has its own rate windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub token: String,
    /// What the journal calls it, since the journal never shows a token.
    pub name: String,
    /// None allows everything; otherwise scopes such as `droplet:create`.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// A missing scope answers 403 only after the effect took place.
    #[serde(default)]
    pub forbidden_after_effect: bool,
}

impl Token {
    /// A token that may do everything, named like itself.
    pub fn full(token: &str) -> Self {
        Self {
            token: token.into(),
            name: token.into(),
            scopes: None,
            forbidden_after_effect: false,
        }
    }

    /// A token that may do only what the scopes allow.
    pub fn scoped(token: &str, scopes: &[&str]) -> Self {
        Self {
            scopes: Some(scopes.iter().map(|scope| (*scope).into()).collect()),
            ..Self::full(token)
        }
    }

    pub(super) fn allows(&self, scope: &str) -> bool {
        self.scopes
            .as_ref()
            .is_none_or(|scopes| scopes.iter().any(|held| held == scope))
    }
}

/// How long after its creation a droplet stays unseen, per way of looking at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lag {
    /// The listing without a filter, and by type.
    pub list_ms: u64,
    /// The listing by tag.
    pub tag_ms: u64,
    /// The listing by name.
    pub name_ms: u64,
    /// GET by id, which answers 404 meanwhile.
    pub get_ms: u64,
}

impl Lag {
    /// The same lag for every way of looking.
    pub fn everywhere(lag_ms: u64) -> Self {
        Self {
            list_ms: lag_ms,
            tag_ms: lag_ms,
            name_ms: lag_ms,
            get_ms: lag_ms,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountStatus {
    Active,
    Warning,
    Locked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

/// What `links` looks like when everything fits on one page; all three are seen in the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinksForm {
    Absent,
    Empty,
    EmptyPages,
}

/// Scheme and host of the URLs in answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum LinkOrigin {
    /// `own`: the host that the request named, so that a client may follow them.
    Own,
    /// An origin such as `https://api.simulated.invalid`: a client that follows them instead of counting pages fails, and
    /// a client that sends its token along is found out.
    At(String),
}

impl From<String> for LinkOrigin {
    fn from(text: String) -> Self {
        match text.as_str() {
            "own" => Self::Own,
            _ => Self::At(text),
        }
    }
}

impl From<LinkOrigin> for String {
    fn from(origin: LinkOrigin) -> Self {
        match origin {
            LinkOrigin::Own => "own".into(),
            LinkOrigin::At(origin) => origin,
        }
    }
}

/// What an unknown tag gives in a listing and in a delete by tag; the documentation doesn't say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownTag {
    Empty,
    NotFound,
}

/// What DELETE does to a droplet that is still being created; reports differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeleteWhileNew {
    Accepted,
    /// 422, pending event.
    Refused,
    /// 204, and the droplet stays.
    Ignored,
}
