//! What can be switched off: the rules of the design, and what is assumed of the world.

use std::fmt;

/// A rule of the design; [`super`] has the table of what each prevents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    FencedWrites,
    RaisedFence,
    RunOutLease,
    LostForEver,
    IntentFirst,
    LeaseChecked,
    AnswersUnfenced,
    LateAnswersActedOn,
    OnePost,
    NothingAfterTheTurn,
    UndoneAfterItsCall,
    LostSendersEnded,
    Watched,
    NeverSeenIsWatched,
    RowWithId,
}

impl Rule {
    pub const ALL: [Rule; 15] = [
        Rule::FencedWrites,
        Rule::RaisedFence,
        Rule::RunOutLease,
        Rule::LostForEver,
        Rule::IntentFirst,
        Rule::LeaseChecked,
        Rule::AnswersUnfenced,
        Rule::LateAnswersActedOn,
        Rule::OnePost,
        Rule::NothingAfterTheTurn,
        Rule::UndoneAfterItsCall,
        Rule::LostSendersEnded,
        Rule::Watched,
        Rule::NeverSeenIsWatched,
        Rule::RowWithId,
    ];
}

/// What no program can bring about, and what the guarantee therefore rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumption {
    /// What a request makes can be seen before the watch over it ends.
    SeenWithinTheWatch,
    /// A process that was stopped between its last check and the system's write goes on before the watch ends, or never.
    WokenWithinTheWatch,
    /// The clock by which a host measures its lease goes on while the host stands still.
    ClockGoesOn,
}

/// What holds in one search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Setup {
    pub hosts: usize,
    rule_off: Option<Rule>,
    assumption_off: Option<Assumption>,
}

impl Setup {
    pub fn all_on(hosts: usize) -> Setup {
        Setup {
            hosts,
            ..Setup::default()
        }
    }

    pub fn without(hosts: usize, rule: Rule) -> Setup {
        Setup {
            rule_off: Some(rule),
            ..Setup::all_on(hosts)
        }
    }

    pub fn without_assuming(hosts: usize, assumption: Assumption) -> Setup {
        Setup {
            assumption_off: Some(assumption),
            ..Setup::all_on(hosts)
        }
    }

    pub fn has(&self, rule: Rule) -> bool {
        self.rule_off != Some(rule)
    }

    pub fn assumes(&self, assumption: Assumption) -> bool {
        self.assumption_off != Some(assumption)
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hosts", self.hosts)?;
        match (self.rule_off, self.assumption_off) {
            (None, None) => write!(f, ", all rules on"),
            (Some(rule), _) => write!(f, ", without the rule {rule:?}"),
            (None, Some(assumption)) => write!(f, ", not assuming {assumption:?}"),
        }
    }
}
