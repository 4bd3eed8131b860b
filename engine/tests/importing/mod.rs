//! What is imported from bytes that come from outside.

use legation::cli::import::import_text;

/// Longest text, in bytes: functions of a template may make something longer of it, within their own bounds.
const TEXT_BYTES_MAX: usize = 16_000;

/// Takes the bytes for what the first of them says: JSON or YAML. Whatever is written of them is a form of its own that can be
/// imported, and comes to the same.
pub(crate) fn check(bytes: &[u8]) {
    let Some((first, text)) = bytes.split_first() else { return };
    let Ok(text) = str::from_utf8(&text[..text.len().min(TEXT_BYTES_MAX)]) else { return };
    let name = if first % 2 == 0 { "a.yaml" } else { "a.json" };
    let (written, code) = import_text(name, text);
    assert_eq!(written.is_empty(), code == 2, "what cannot be used writes nothing, and only that");
    if code == 2 {
        return;
    }
    let (again, code) = import_text("b.yaml", &written);
    assert_ne!(code, 2, "what is written can be read:\n{written}");
    assert_eq!(without_comments(&again), without_comments(&written), "what is written comes back");
}

/// The text without the lines that tell where a document comes from: those before a document's first.
fn without_comments(written: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut starts = true;
    for line in written.lines() {
        if !(starts && line.starts_with("# ")) {
            lines.push(line);
        }
        starts = line == "---";
    }
    lines
}
