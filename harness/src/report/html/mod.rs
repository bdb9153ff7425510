//! Reports for a browser: one file each, without anything to be fetched, without scripts.
//!
//! | File | Its one job |
//! |---|---|
//! | `chart` | lines, points, bands and rules over two axes, as SVG |
//! | `bench` | the page of a benchmark run |
//! | `gate` | the page of a gate |
//! | `proof` | the page of a self-test, and its part in a gate's page |
//! | `stored` | the page of two stored runs |
//! | `history` | the page of a history |
//! | `style.css` | light, dark, phone and paper |

mod bench;
mod chart;
mod gate;
mod history;
mod proof;
mod stored;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use time::OffsetDateTime;
use time::macros::format_description;

pub use bench::bench;
pub use gate::gate;
pub use history::history;
pub use proof::proof;
pub use stored::stored;

use crate::results::machine::Machine;

/// A whole page.
fn page(title: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (content)
                footer { "Regatta " (env!("CARGO_PKG_VERSION")) ". This page is one file and needs no network." }
            }
        }
    };
    page.into_string()
}

/// A table that scrolls sideways where it is too wide. The first `left` columns are text.
fn table(head: &[&str], rows: &[Vec<String>], left: &[usize]) -> Markup {
    let class = |column: usize| left.contains(&column).then_some("left");
    html! {
        div.wide {
            table {
                thead { tr { @for (column, name) in head.iter().enumerate() {
                    th class=[class(column)] scope="col" { (name) }
                } } }
                tbody {
                    @for row in rows {
                        tr { @for (column, cell) in row.iter().enumerate() { td class=[class(column)] { (cell) } } }
                    }
                }
            }
        }
    }
}

/// Where figures come from, and how to get them again.
fn origin(machine: &Machine, command: &str, unix_s: u64, more: &[(&str, String)]) -> Markup {
    html! {
        h2 { "Machine and command" }
        dl {
            dt { "Command" } dd { code { (command) } }
            @for (name, value) in more { dt { (name) } dd { (value) } }
            dt { "When" } dd { (when(unix_s)) }
            dt { "Processor" } dd { (machine.cpu) ", " (machine.cpus) " logical, " (machine.virtualisation) ", governor "
                (machine.governor) }
            dt { "Kernel" } dd { (machine.kernel) }
            dt { "Compiler" } dd { (machine.rustc) @if !machine.optimised { ", " strong.bad { "not optimised" } } }
            dt { "Lock file" } dd { code { (machine.lock) } }
            dt { "Machine id" } dd { code { (machine.id) } }
        }
    }
}

/// A moment, to the minute.
fn when(unix_s: u64) -> String {
    let at = i64::try_from(unix_s).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    at.and_then(|at| at.format(format).ok()).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_fetches_nothing_and_runs_nothing() {
        let text = page("a <title>", &html! { p { "x" } });
        for forbidden in ["<script", "http://", "https://", "<link", "@import", "url("] {
            assert!(!text.contains(forbidden), "{forbidden} in {text}");
        }
        assert!(text.contains("a &lt;title&gt;"), "{text}");
    }
}
