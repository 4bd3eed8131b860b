//! Which hosts there are: each keeps a record of itself in the store for as long as it lives.
//!
//! | file | holds |
//! |---|---|
//! | `member` | what a host tells of itself |
//! | [`registration`] | keeps the record of this host there, under a lease |
//! | [`members`] | all of them, kept current |
//! | [`losses`] | notes which hosts went without a farewell, and forgets them in time |
//! | [`sharing`] | whose a mesh is |
//!
//! A host has two records: one under its lease, which says that it is alive, and one that stays. It takes both away when it ends
//! in order. So one that has the second alone is **lost**: it died, or is cut off from the store and serves its Envoys.

pub mod losses;
mod member;
pub mod members;
pub mod registration;
pub mod sharing;
#[cfg(test)]
mod tests;

pub use self::losses::Losses;
pub use self::member::{KnownMember, Member, MemberId};
pub use self::members::Members;
pub use self::registration::Registration;
pub use self::sharing::Sharing;

/// The prefix of the records of all hosts.
const MEMBERS: &str = "members/";

/// The prefix of those under a lease.
const ALIVE: &str = "members/alive/";

/// The prefix of those that stay.
const KNOWN: &str = "members/known/";
