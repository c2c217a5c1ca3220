//! Several hosts, each a process of its own, on one PostgreSQL database: who goes on when one of them dies, ends, hangs or loses its
//! database, and what the one that comes back may still do.

mod chaos;
mod clock;
mod line;
mod nodes;
mod shared;
mod slow;
mod stale;
