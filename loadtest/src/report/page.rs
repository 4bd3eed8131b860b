//! What all pages have in common: one file that needs nothing else, light or dark as its reader likes it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::{STYLE, Svg};

/// A page with a heading, if it has one, and sections.
pub(super) fn page(title: &str, heading: Option<&Markup>, sections: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(include_str!("page.css"))) }
            }
            body {
                @if let Some(heading) = heading { header { h1 { (title) } (heading) } }
                main { (sections) }
            }
        }
    }
    .into_string()
}

/// A section that is linked to: where it is, how it is called, and what of it is bad, if anything is.
pub(super) struct Link<'a> {
    pub(super) id: String,
    pub(super) name: &'a str,
    pub(super) bad: Option<&'static str>,
}

/// Links to the sections of a page.
pub(super) fn links<'a>(links: impl Iterator<Item = Link<'a>>) -> Markup {
    html! {
        nav {
            ul {
                @for link in links {
                    li {
                        a href=(format!("#{}", link.id)) { (link.name) }
                        @if let Some(bad) = link.bad { " " span class="bad" { (bad) } }
                    }
                }
            }
        }
    }
}

/// What went wrong; nothing where nothing did.
pub(super) fn failures(sentences: &[Markup]) -> Markup {
    html! {
        @if !sentences.is_empty() {
            div class="failures" { h3 { "Failed" } ul { @for sentence in sentences { li { (sentence) } } } }
        }
    }
}

/// Plots side by side.
pub(super) fn plots<'a>(plots: impl Iterator<Item = &'a Svg>) -> Markup {
    let mut plots = plots.peekable();
    html! {
        @if plots.peek().is_some() {
            div class="plots" { @for plot in plots { figure { (plot.inline()) } } }
        }
    }
}

/// A table that is scrolled where it is too wide.
pub(super) fn table(head: &Markup, body: &Markup) -> Markup {
    html! { div class="scroll" { table { thead { (head) } tbody { (body) } } } }
}
