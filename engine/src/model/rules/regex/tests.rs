//! What Envoy 1.36 and 1.40 say of these expressions, with 1000 instructions allowed.

use super::instructions;

/// What is wrong with `pattern`; empty if nothing is.
fn problem(pattern: &str) -> String {
    match instructions(pattern) {
        Ok(size) if size > super::INSTRUCTIONS_MAX => "too large".to_owned(),
        Ok(_) => String::new(),
        Err(problem) => problem,
    }
}

#[test]
fn ordinary_expressions_are_taken() {
    let longest = format!("/{}", "[^/]+/".repeat(42));
    for pattern in [
        "/.*",
        "/api/v[0-9]+/users/[^/]+",
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "/[^/]{1,32}/[^/]{1,32}",
        "(?i)mozilla/.*(android|iphone).*",
        r".*\.(jpg|jpeg|png|gif|css|js|ico|svg|woff2?|ttf)$",
        "/orders/(?P<id>[0-9]{1,10})/(?<item>.+?)",
        r"/\d+/\w*/\S",
        r"[\p{Greek}\d\-_]*",
        "(?i)straße/[а-я]{1,20}/é+",
        "[[:alnum:]]+[^]a-]",
        r"(?s-i:.){3}\bfoo\b|\A\z",
        r"\x41\x{e9}\0\07\123\/",
        "(a{10}){10}",
        &longest,
    ] {
        assert_eq!(problem(pattern), "", "{pattern}");
    }
}

#[test]
fn what_re2_does_not_know_is_refused() {
    let stacked = "a repetition is repeated without a group around it";
    let repeats = "something is repeated more than 1000 times";
    let operators = "classes have no operators &&, -- and ~~";
    let nested = r"a class stands in a class; write [ as \[ there";
    let flags = "the only flags are i, m, s and U";
    let unicode_escape = r"\u and \U are not known; \x{...} is";
    let byte = "an escape stands for more than a byte; write the character itself";
    let references = "there are no references back to groups";
    let name = |name: &str| {
        format!(r"\p{{{name}}} is not known; general categories such as L and scripts such as Greek are")
    };
    for (pattern, expected) in [
        ("a++", stacked),
        ("a**", stacked),
        ("a{2}{3}", stacked),
        ("a{1001}", repeats),
        ("(a{100}){100}", repeats),
        ("(?:){1001}", repeats),
        ("x{1000}", "too large"),
        ("a{0,999}", "too large"),
        (r"\pL{2}", "too large"),
        (r"\p{Alphabetic}", &name("Alphabetic")),
        (r"\p{greek}", &name("greek")),
        (r"\p{sc=Greek}", &name("sc=Greek")),
        ("[a--b]", operators),
        (r"[\w--\d]", operators),
        ("[a&&b]", operators),
        ("[a[b]]", nested),
        ("[[:foo:]]", nested),
        (r"/[\u4e00-\u9fa5]+", unicode_escape),
        (r"\u{61}", unicode_escape),
        (r"\x{4e00}", byte),
        (r"[\x{e9}-ü]", "a range begins with an escape and ends with a character; write both alike"),
        ("(?x)a b", flags),
        (r"(?-u)\w", flags),
        ("(?R)a", flags),
        (r"\b{start}a", r"\b{...} is not known; \b is"),
        (r"(a)\1", references),
        ("(?P<a.b>x)", "the name of a group has a character that is not in A-Z a-z 0-9 _"),
    ] {
        assert_eq!(problem(pattern), expected, "{pattern}");
    }
}
