//! Which hosts there are: each keeps a record of itself in the store for as long as it lives.
//!
//! | file | holds |
//! |---|---|
//! | `member` | what a host tells of itself |
//! | [`registration`] | keeps the record of this host there, under a lease |
//! | [`members`] | all of them, kept current |
//! | [`sharing`] | whose a mesh is |

mod member;
pub mod members;
pub mod registration;
pub mod sharing;

pub use self::member::{Member, MemberId};
pub use self::members::Members;
pub use self::registration::Registration;
pub use self::sharing::Sharing;

/// The prefix of the records of all hosts.
const MEMBERS: &str = "members/";
