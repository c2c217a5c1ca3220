//! One moment of everything: the database, the hosts' memory, what is on the wire, the cloud.

/// A third one is what a lost one is started again as.
pub const HOSTS: usize = 3;
/// As many creates as one step may ever send here; a step that would send more fails for good.
pub const POSTS: usize = 2;
/// Cancels, and verbs that only take the saga to another host.
const VERBS: u8 = 2;

/// By the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lease {
    Held,
    /// Nobody has noticed.
    RanOut,
    Lost,
}

/// Where a host's call of the create step is; a crash forgets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    None,
    /// Nothing of the step's was accepted so far, and nothing carries its tag: about to record its intent.
    Clear,
    /// For the end of its own exchange.
    Waits(u8),
    /// Knows what it made: about to write it down.
    Keeps(u8),
    /// The id is written, the inventory's row isn't.
    KeepsRow(u8),
    /// About to record that the step failed for good.
    GivesUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Host {
    pub alive: bool,
    /// A row of the database.
    pub lease: Lease,
    pub believes: Belief,
    pub call: Call,
}

/// Whether a host believes to own the saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Belief {
    Stranger,
    /// Under a fence that is no longer the saga's.
    OldFence,
    Fence,
}

impl Host {
    const FRESH: Host = Host {
        alive: true,
        lease: Lease::Held,
        believes: Belief::Stranger,
        call: Call::None,
    };

    pub fn is_sound(&self) -> bool {
        self.alive && self.lease == Lease::Held
    }
}

/// The journal's record of a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Record {
    Absent,
    Open { ended: bool },
    Created,
    Refused,
    Unsent,
}

/// The sender's side; a crash ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exchange {
    Intended,
    /// The last question was answered with yes: the bytes leave within the lease's margin, unless the process is stopped.
    Cleared,
    /// Stopped after that question.
    Stopped,
    OnTheWire,
    /// About to be journaled.
    Answered(Answer),
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    Created,
    Refused,
    Unsent,
    Lost,
}

/// What the create makes in the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Thing {
    Nothing,
    /// The request is under way.
    Coming,
    Refused,
    /// It is there, and nobody can see it yet.
    Hidden,
    /// It can be seen by its name and its id.
    Untagged,
    Tagged,
    Deleted,
}

impl Thing {
    pub fn is_live(self) -> bool {
        matches!(self, Thing::Hidden | Thing::Untagged | Thing::Tagged)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Post {
    pub sender: u8,
    /// The saga's owner or fence is no longer that of the intent.
    pub fenced: bool,
    pub record: Record,
    pub exchange: Exchange,
    pub thing: Thing,
    /// It takes longer than any settle window.
    pub late: bool,
    /// An undo has ended since the record says that it was created.
    pub acted_on: bool,
    /// A finding names it.
    pub named: bool,
    /// The answer that says so has reached its sender, who lived to record it.
    pub told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Row {
    None,
    Live,
    Deleted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    Running,
    /// The create is done; a later step is not.
    Made,
    Undoing,
    Completed,
    Compensated,
}

impl Phase {
    pub fn is_ended(self) -> bool {
        matches!(self, Phase::Completed | Phase::Compensated)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    pub hosts: [Host; HOSTS],
    pub owner: u8,
    pub phase: Phase,
    /// The id in the saga's context.
    pub kept: Option<u8>,
    pub rows: [Row; POSTS],
    pub posts: [Option<Post>; POSTS],
    pub watched: bool,
    pub verbs: u8,
    /// At most one request of a run takes longer than the settle window, besides those of stopped processes.
    pub delays: u8,
    /// A write under an old fence changed rows.
    pub stale_write: bool,
    /// A request left although its exchange counted as ended, and its host wasn't stopped.
    pub left_after_end: bool,
    /// A create was intended after the saga had turned.
    pub intended_after_turn: bool,
}

impl World {
    /// The first host has just accepted a saga.
    pub fn first(hosts: usize) -> World {
        let mut world = World {
            hosts: [Host::FRESH; HOSTS],
            owner: 0,
            phase: Phase::Running,
            kept: None,
            rows: [Row::None; POSTS],
            posts: [None; POSTS],
            watched: false,
            verbs: VERBS,
            delays: 1,
            stale_write: false,
            left_after_end: false,
            intended_after_turn: false,
        };
        for host in &mut world.hosts[hosts..] {
            host.alive = false;
            host.lease = Lease::Lost;
        }
        world.hosts[0].believes = Belief::Fence;
        world
    }

    /// Forgets what can make no difference any more.
    pub fn settled(mut self) -> World {
        for host in &mut self.hosts {
            if host.believes == Belief::Stranger {
                host.call = Call::None;
            }
        }
        for post in self.posts.iter_mut().flatten() {
            let on_the_way = matches!(post.thing, Thing::Coming | Thing::Hidden | Thing::Untagged);
            post.late &= on_the_way;
            if post.exchange != Exchange::Over {
                continue;
            }
            post.fenced = false;
            if post.record != (Record::Open { ended: false }) {
                post.sender = 0;
            }
            if !on_the_way && post.thing != Thing::Tagged {
                (post.told, post.named) = (false, false);
            }
        }
        self
    }

    pub fn sent(&self) -> impl Iterator<Item = (usize, &Post)> {
        let posts = self.posts.iter().enumerate();
        posts.filter_map(|(index, post)| post.as_ref().map(|post| (index, post)))
    }

    /// The host believes what the database says.
    pub fn owns(&self, host: usize) -> bool {
        usize::from(self.owner) == host && self.hosts[host].believes == Belief::Fence
    }

    /// No request is about to leave, on the wire, or without a journaled end, and all that was made can be seen.
    pub fn is_quiet(&self) -> bool {
        self.sent().all(|(_, post)| {
            post.exchange == Exchange::Over && !matches!(post.thing, Thing::Coming | Thing::Hidden)
        })
    }
}
