//! Classes of characters: what is in them, and how many instructions tell it.

use std::collections::BTreeSet;

use regex_syntax::ast::{
    ClassBracketed, ClassPerl, ClassPerlKind, ClassSet, ClassSetItem, ClassSetRange, ClassUnicodeKind,
    LiteralKind,
};
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};
use regex_syntax::utf8::Utf8Sequences;
use regex_syntax::{ast, parse};

use super::check_literal;
use super::names::NAMES;

/// How many instructions it takes RE2 to match any character beyond ASCII.
const BEYOND_ASCII_SIZE: usize = 6;

/// The first character beyond ASCII.
const BEYOND_ASCII: char = '\u{80}';

/// Just this character.
pub(super) fn of_char(c: char) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(c, c)])
}

/// What `.` stands for: any character but a line break. With `(?s)` it is a range less.
pub(super) fn any() -> ClassUnicode {
    let mut class = of_char('\n');
    class.negate();
    class
}

/// What `class` stands for where case is ignored.
pub(super) fn folded(mut class: ClassUnicode, ignores_case: bool) -> Result<ClassUnicode, String> {
    if ignores_case {
        class.try_case_fold_simple().map_err(|error| error.to_string())?;
    }
    Ok(class)
}

/// What `\d`, `\s` and `\w` stand for: ASCII, to RE2.
pub(super) fn perl(class: &ClassPerl, ignores_case: bool) -> Result<ClassUnicode, String> {
    let chars = written(match class.kind {
        ClassPerlKind::Digit => "[0-9]",
        ClassPerlKind::Space => r"[\t\n\f\r ]",
        ClassPerlKind::Word => "[0-9A-Za-z_]",
    })?;
    Ok(negated_if(class.negated, folded(chars, ignores_case)?))
}

/// What `\pL` or `\p{Greek}` stands for: RE2 knows general categories and scripts, by one name each.
pub(super) fn unicode(class: &ast::ClassUnicode, ignores_case: bool) -> Result<ClassUnicode, String> {
    let name = match &class.kind {
        ClassUnicodeKind::OneLetter(letter) => letter.to_string(),
        ClassUnicodeKind::Named(name) => name.clone(),
        ClassUnicodeKind::NamedValue { name, op, value } => {
            let operator = match op {
                ast::ClassUnicodeOpKind::Equal => "=",
                ast::ClassUnicodeOpKind::Colon => ":",
                ast::ClassUnicodeOpKind::NotEqual => "!=",
            };
            format!("{name}{operator}{value}")
        }
    };
    if !NAMES.contains(&name.as_str()) {
        return Err(format!(
            r"\p{{{}}} is not known; general categories such as L and scripts such as Greek are",
            crate::model::shape::error::excerpt(&name)
        ));
    }
    let chars = written(&format!(r"\p{{{name}}}"))?;
    Ok(negated_if(class.negated, folded(chars, ignores_case)?))
}

/// What a class in brackets stands for.
pub(super) fn bracketed(class: &ClassBracketed, ignores_case: bool) -> Result<ClassUnicode, String> {
    let chars = match &class.kind {
        ClassSet::Item(item) => self::item(item, ignores_case)?,
        ClassSet::BinaryOp(_) => return Err("classes have no operators &&, -- and ~~".to_owned()),
    };
    Ok(negated_if(class.negated, chars))
}

/// RE2 looks for other cases before it negates.
fn negated_if(is_negated: bool, mut chars: ClassUnicode) -> ClassUnicode {
    if is_negated {
        chars.negate();
    }
    chars
}

fn item(item: &ClassSetItem, ignores_case: bool) -> Result<ClassUnicode, String> {
    match item {
        ClassSetItem::Empty(_) => Ok(ClassUnicode::empty()),
        ClassSetItem::Literal(literal) => {
            check_literal(literal)?;
            folded(of_char(literal.c), ignores_case)
        }
        ClassSetItem::Range(range) => folded(self::range(range)?, ignores_case),
        ClassSetItem::Ascii(class) => {
            let chars = written(&format!("[[:{}:]]", posix_name(&class.kind)))?;
            Ok(negated_if(class.negated, folded(chars, ignores_case)?))
        }
        ClassSetItem::Unicode(class) => unicode(class, ignores_case),
        ClassSetItem::Perl(class) => perl(class, ignores_case),
        ClassSetItem::Bracketed(_) => Err(r"a class stands in a class; write [ as \[ there".to_owned()),
        ClassSetItem::Union(union) => {
            let mut chars = ClassUnicode::empty();
            for item in &union.items {
                chars.union(&self::item(item, ignores_case)?);
            }
            Ok(chars)
        }
    }
}

/// Envoy 1.40 takes bytes for characters: an escape is one byte, a character beyond ASCII is several, and a range from
/// the former to the latter may end before it begins.
fn range(range: &ClassSetRange) -> Result<ClassUnicode, String> {
    check_literal(&range.start)?;
    check_literal(&range.end)?;
    let is_verbatim = |kind: &LiteralKind| *kind == LiteralKind::Verbatim;
    let is_mixed = is_verbatim(&range.end.kind) && !is_verbatim(&range.start.kind);
    if is_mixed && range.start.c >= BEYOND_ASCII {
        return Err("a range begins with an escape and ends with a character; write both alike".to_owned());
    }
    Ok(ClassUnicode::new([ClassUnicodeRange::new(range.start.c, range.end.c)]))
}

fn posix_name(kind: &ast::ClassAsciiKind) -> &'static str {
    use ast::ClassAsciiKind as Kind;
    match kind {
        Kind::Alnum => "alnum",
        Kind::Alpha => "alpha",
        Kind::Ascii => "ascii",
        Kind::Blank => "blank",
        Kind::Cntrl => "cntrl",
        Kind::Digit => "digit",
        Kind::Graph => "graph",
        Kind::Lower => "lower",
        Kind::Print => "print",
        Kind::Punct => "punct",
        Kind::Space => "space",
        Kind::Upper => "upper",
        Kind::Word => "word",
        Kind::Xdigit => "xdigit",
    }
}

/// The class that is written so, in what both dialects have in common.
fn written(class: &str) -> Result<ClassUnicode, String> {
    let parsed = parse(class).map_err(|error| error.to_string())?;
    Ok(match parsed.into_kind() {
        HirKind::Class(Class::Unicode(class)) => class,
        // a class of one character
        HirKind::Literal(literal) => {
            let text = String::from_utf8_lossy(&literal.0);
            ClassUnicode::new(text.chars().map(|c| ClassUnicodeRange::new(c, c)))
        }
        _ => ClassUnicode::empty(),
    })
}

/// How many instructions tell whether a character is in a class: one for each range of bytes, where what begins with the
/// same bytes shares them.
pub(super) fn size(class: &ClassUnicode) -> usize {
    let mut size = 0;
    let mut prefixes = BTreeSet::new();
    for range in class.iter() {
        if range.start() <= BEYOND_ASCII && range.end() == char::MAX {
            let has_ascii = range.start() < BEYOND_ASCII;
            size += BEYOND_ASCII_SIZE + usize::from(has_ascii);
            continue;
        }
        for sequence in Utf8Sequences::new(range.start(), range.end()) {
            let bytes = sequence.as_slice();
            for length in 1..=bytes.len() {
                prefixes.insert(bytes[..length].to_vec());
            }
        }
    }
    // RE2's tables of Unicode are newer, and it shares less where a class is large
    size + prefixes.len() + prefixes.len() / 8
}
