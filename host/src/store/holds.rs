//! What is paused beyond a single saga, as rows: operators pause everything, a definition or a service, and every saga that
//! it concerns is held for as long as the row is there.

/// What a pause is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HoldTarget {
    All,
    Definition(String),
    Service(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRow {
    pub target: HoldTarget,
    /// `host`, or the name of the token that asked.
    pub by: String,
    pub reason: Option<String>,
    pub since_ms: i64,
}

const ALL: &str = "all";
const DEFINITION: &str = "definition:";
const SERVICE: &str = "service:";

impl HoldTarget {
    /// `all`, `definition:<name>` or `service:<name>`: one text per target.
    pub fn key(&self) -> String {
        match self {
            HoldTarget::All => ALL.to_owned(),
            HoldTarget::Definition(name) => format!("{DEFINITION}{name}"),
            HoldTarget::Service(name) => format!("{SERVICE}{name}"),
        }
    }

    pub fn parse(key: &str) -> Option<HoldTarget> {
        if key == ALL {
            return Some(HoldTarget::All);
        }
        let definition = key.strip_prefix(DEFINITION).map(str::to_owned);
        let service = || key.strip_prefix(SERVICE).map(str::to_owned);
        definition
            .map(HoldTarget::Definition)
            .or_else(|| service().map(HoldTarget::Service))
    }
}
