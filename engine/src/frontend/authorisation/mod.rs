//! Who may do what: policies in the language of [Cedar](https://www.cedarpolicy.com), about users and their groups, the
//! operations by IAM's names, and resources with their tags.
//!
//! | module | holds |
//! |---|---|
//! | `action` | what can be allowed |
//! | `vocabulary` | the schema of policies, and the names in it |
//! | `question` | one question, with every entity that matters to it |
//! | `policies` | the policies, and what they decide |
//! | `authoriser` | whom the API asks, and who notes what was denied |
//! | `denials` | who was denied what |
//! | `commands` | which questions a request is |
//!
//! **Guarantee:** where there are policies nothing is read and nothing is changed that they do not allow, whichever way it is
//! asked for: whatever changes several definitions at once asks for each of them by itself. Who is denied is told so
//! before anything is looked up for them, so that nobody learns by it whether something exists.

mod action;
mod authoriser;
mod commands;
mod denials;
mod policies;
mod question;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use self::action::Action;
pub use self::authoriser::{Authoriser, Forbidden};
pub(in crate::frontend) use self::commands::{Permitted, Scope};
pub use self::denials::{DENIALS_MAX, DENIALS_OF_USER_MAX, Denial, Denials, Denied};
pub use self::policies::{Policies, PoliciesError, ReadError};
pub use self::question::{Question, Subject};
pub use self::vocabulary::SCHEMA;
