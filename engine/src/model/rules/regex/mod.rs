//! Regular expressions in the dialect that Envoy reads, RE2's, and within the size that it takes.
//!
//! They are parsed by `regex-syntax`, whose dialect is larger in some places and smaller in others. What only it knows is
//! refused here; what only RE2 knows, such as `\Q..\E`, `\C` and braces that stand for themselves, is not parsed.
//!
//! RE2 compiles an expression into a program, and Envoy refuses programs above a size. Here the size is estimated from
//! above, in the way in which RE2 compiles: for characters in UTF-8, as Envoy 1.36 has it. Envoy 1.40 takes each byte for
//! a character, and its programs are never larger.

mod class;
mod names;

use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{
    AssertionKind, Ast, Flag, Flags, FlagsItemKind, Group, GroupKind, Literal, LiteralKind, Repetition,
    RepetitionKind, RepetitionRange,
};

use crate::model::shape::error::quote;
use crate::model::shape::{Errors, Path};

/// How many instructions Envoy takes: what the bootstraps that Legation gives out set, `re2.max_program_size.error_level`.
const INSTRUCTIONS_MAX: usize = 1000;

/// How many instructions every program has: to begin anywhere, to match, to fail.
const INSTRUCTIONS_ALWAYS: usize = 4;

/// How many instructions a loop takes at most, beside what is in it.
const LOOP_SIZE: u32 = 4;

/// The last character that is one byte to Envoy 1.40.
const ONE_BYTE_MAX: char = '\u{ff}';

/// How often RE2 lets something be repeated, all repetitions around it multiplied (`kMaxRepeat`).
const REPEATS_MAX: u32 = 1000;

/// A regular expression is one that Envoy reads, and not too large a program.
pub(super) fn check_regex(pattern: &str, at: &Path, errors: &mut Errors) {
    match instructions(pattern) {
        Ok(size) if size <= INSTRUCTIONS_MAX => {}
        Ok(_) => errors.report(
            at,
            format_args!(
                "{} is too large a program: Envoy takes at most {INSTRUCTIONS_MAX} instructions",
                quote(pattern)
            ),
        ),
        Err(problem) => {
            errors.report(at, format_args!("{} is not a regular expression: {problem}", quote(pattern)));
        }
    }
}

/// The instructions of the program, or why there is none.
fn instructions(pattern: &str) -> Result<usize, String> {
    let parsed = ParserBuilder::new().octal(true).build().parse(pattern);
    let ast = parsed.map_err(|error| error.kind().to_string())?;
    check_repeats(&ast, REPEATS_MAX)?;
    let mut compiler = Compiler { ignores_case: false };
    Ok(INSTRUCTIONS_ALWAYS + compiler.size(&ast)?)
}

/// Reports repetitions that RE2 refuses for their numbers: `left` divided by each that stands around another must not
/// become zero.
fn check_repeats(ast: &Ast, left: u32) -> Result<(), String> {
    match ast {
        Ast::Repetition(repetition) => {
            let times = times(&repetition.op.kind);
            let left = left.checked_div(times).unwrap_or(left);
            if left == 0 {
                return Err(format!("something is repeated more than {REPEATS_MAX} times"));
            }
            check_repeats(&repetition.ast, left)
        }
        Ast::Group(group) => check_repeats(&group.ast, left),
        Ast::Alternation(alternation) => each(&alternation.asts, |ast| check_repeats(ast, left)),
        Ast::Concat(concat) => each(&concat.asts, |ast| check_repeats(ast, left)),
        _ => Ok(()),
    }
}

/// How often a repetition asks for its content at most, or at least if there is no such limit; zero if it does not say.
fn times(kind: &RepetitionKind) -> u32 {
    match kind {
        RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 0,
        RepetitionKind::Range(
            RepetitionRange::Exactly(times)
            | RepetitionRange::AtLeast(times)
            | RepetitionRange::Bounded(_, times),
        ) => *times,
    }
}

fn each(asts: &[Ast], mut check: impl FnMut(&Ast) -> Result<(), String>) -> Result<(), String> {
    for ast in asts {
        check(ast)?;
    }
    Ok(())
}

/// Adds up instructions, and refuses what RE2 does not know.
struct Compiler {
    /// Whether `(?i)` is on.
    ignores_case: bool,
}

impl Compiler {
    fn size(&mut self, ast: &Ast) -> Result<usize, String> {
        match ast {
            Ast::Empty(_) => Ok(1),
            Ast::Flags(set) => {
                self.set_flags(&set.flags)?;
                Ok(1)
            }
            Ast::Literal(literal) => self.literal_size(literal),
            Ast::Dot(_) => Ok(class::size(&class::any())),
            Ast::Assertion(assertion) => assertion_size(&assertion.kind),
            Ast::ClassUnicode(class) => Ok(class::size(&class::unicode(class, self.ignores_case)?)),
            Ast::ClassPerl(class) => Ok(class::size(&class::perl(class, self.ignores_case)?)),
            Ast::ClassBracketed(class) => {
                let class = class::bracketed(class, self.ignores_case)?;
                Ok(class::size(&class))
            }
            Ast::Repetition(repetition) => self.repetition_size(repetition),
            Ast::Group(group) => self.group_size(group),
            Ast::Alternation(alternation) => self.sum(&alternation.asts),
            Ast::Concat(concat) => self.sum(&concat.asts),
        }
    }

    fn sum(&mut self, asts: &[Ast]) -> Result<usize, String> {
        let mut sum = 0;
        for ast in asts {
            sum += self.size(ast)?;
        }
        Ok(sum)
    }

    fn literal_size(&self, literal: &Literal) -> Result<usize, String> {
        check_literal(literal)?;
        if self.ignores_case {
            let class = class::folded(class::of_char(literal.c), true)?;
            return Ok(class::size(&class));
        }
        Ok(literal.c.len_utf8())
    }

    /// What is repeated is there as often as it must be, and once more if it may be more often. Each place where there is a
    /// choice is an instruction; a loop is some more, most of all if what is in it may be empty.
    fn repetition_size(&mut self, repetition: &Repetition) -> Result<usize, String> {
        if matches!(*repetition.ast, Ast::Repetition(_)) {
            return Err("a repetition is repeated without a group around it".to_owned());
        }
        let once = self.size(&repetition.ast)?;
        let repeated = |times: u32, choices: u32| once * (times as usize) + choices as usize;
        Ok(match repetition.op.kind {
            RepetitionKind::ZeroOrOne => repeated(1, 1),
            RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => repeated(1, LOOP_SIZE),
            RepetitionKind::Range(RepetitionRange::Exactly(times)) => repeated(times.max(1), 0),
            RepetitionKind::Range(RepetitionRange::AtLeast(times)) => repeated(times.max(1), LOOP_SIZE),
            RepetitionKind::Range(RepetitionRange::Bounded(least, most)) => {
                repeated(most.max(1), most.saturating_sub(least))
            }
        })
    }

    fn group_size(&mut self, group: &Group) -> Result<usize, String> {
        let outside = self.ignores_case;
        let own = match &group.kind {
            GroupKind::CaptureIndex(_) => 2,
            GroupKind::CaptureName { name, .. } => {
                let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if !name.name.chars().all(is_allowed) {
                    return Err("the name of a group has a character that is not in A-Z a-z 0-9 _".to_owned());
                }
                2
            }
            GroupKind::NonCapturing(flags) => {
                self.set_flags(flags)?;
                0
            }
        };
        let size = self.size(&group.ast)?;
        self.ignores_case = outside;
        Ok(own + size)
    }

    fn set_flags(&mut self, flags: &Flags) -> Result<(), String> {
        let mut is_on = true;
        for item in &flags.items {
            match item.kind {
                FlagsItemKind::Negation => is_on = false,
                FlagsItemKind::Flag(Flag::CaseInsensitive) => self.ignores_case = is_on,
                FlagsItemKind::Flag(Flag::MultiLine | Flag::DotMatchesNewLine | Flag::SwapGreed) => {}
                FlagsItemKind::Flag(Flag::Unicode | Flag::CRLF | Flag::IgnoreWhitespace) => {
                    return Err("the only flags are i, m, s and U".to_owned());
                }
            }
        }
        Ok(())
    }
}

/// Characters may be written as `\x41` and `\x{41}`, up to one byte (Envoy 1.40), but not as `\u0041`; `\1` refers back, which
/// RE2 cannot.
fn check_literal(literal: &Literal) -> Result<(), String> {
    use regex_syntax::ast::HexLiteralKind::X;
    match &literal.kind {
        LiteralKind::HexFixed(kind) | LiteralKind::HexBrace(kind) if *kind != X => {
            Err(r"\u and \U are not known; \x{...} is".to_owned())
        }
        LiteralKind::HexFixed(_) | LiteralKind::HexBrace(_) | LiteralKind::Octal
            if literal.c > ONE_BYTE_MAX =>
        {
            Err("an escape stands for more than a byte; write the character itself".to_owned())
        }
        LiteralKind::Octal => {
            // a backslash and a digit
            let is_one_digit = literal.span.end.offset - literal.span.start.offset == 2;
            if is_one_digit && literal.c != '\0' {
                return Err("there are no references back to groups".to_owned());
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// To RE2, `\<` and `\>` are characters.
fn assertion_size(kind: &AssertionKind) -> Result<usize, String> {
    match kind {
        AssertionKind::StartLine
        | AssertionKind::EndLine
        | AssertionKind::StartText
        | AssertionKind::EndText
        | AssertionKind::WordBoundary
        | AssertionKind::NotWordBoundary
        | AssertionKind::WordBoundaryStartAngle
        | AssertionKind::WordBoundaryEndAngle => Ok(1),
        AssertionKind::WordBoundaryStart
        | AssertionKind::WordBoundaryEnd
        | AssertionKind::WordBoundaryStartHalf
        | AssertionKind::WordBoundaryEndHalf => Err(r"\b{...} is not known; \b is".to_owned()),
    }
}

#[cfg(test)]
mod tests;
