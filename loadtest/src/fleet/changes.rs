//! Who has received and accepted which change.
