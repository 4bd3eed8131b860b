//! Asking before something is done that is not easily undone.

use std::io::{self, BufRead, IsTerminal, Write};

/// What the person at the terminal said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// Go on.
    Given,
    /// Do not.
    Refused,
    /// There is no terminal to ask at.
    NobodyToAsk,
}

/// Asks on the terminal; whoever only says enter means no.
pub(super) fn ask(question: &str) -> Consent {
    let input = io::stdin();
    if !input.is_terminal() || !io::stderr().is_terminal() {
        return Consent::NobodyToAsk;
    }
    eprint!("{question} [y/N] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    match input.lock().read_line(&mut answer) {
        Ok(_) if is_yes(&answer) => Consent::Given,
        _ => Consent::Refused,
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_a_yes_is_a_yes() {
        assert_eq!(["y", "Yes\n", " YES "].map(is_yes), [true; 3]);
        assert_eq!(["", "\n", "n", "no", "yep", "y n"].map(is_yes), [false; 6]);
    }
}
