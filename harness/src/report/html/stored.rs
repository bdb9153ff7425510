//! The page of two stored runs side by side.

use maud::{Markup, html};

use super::chart::{Chart, Line, Scale};
use super::{origin, page};
use crate::bench::stored::{Apart, Stored};
use crate::bench::{Bench, Measured};
use crate::report::bench::{apart, is_latency};
use crate::report::paired::{figure, share};

/// The page.
#[must_use]
pub fn stored(a: &Bench, b: &Bench, both: &Stored) -> String {
    let content = html! {
        h1 { (b.id) " against " (a.id) }
        p.sub { code { (b.revision) } " against " code { (a.revision) } }
        div.box { p { "The runs are of different sessions of the machine: this tells, and gates nothing. "
            "Shares above zero are worse." } }
        div.wide {
            table {
                thead { tr { @for name in ["load", "figure", &a.id, &b.id, "worse by", "rounds"] { th scope="col" { (name) } } } }
                tbody {
                    @for row in &both.rows {
                        tr {
                            td { (row.load) }
                            td { (row.figure) " " (row.unit) }
                            td { (figure(row.a.median)) }
                            td { (figure(row.b.median)) }
                            td { (share(Some(row.worse))) }
                            td class=[class(row.apart)] { (apart(row.apart).0) }
                        }
                    }
                }
            }
        }
        @for one in &both.alone { p.note { "Not compared: " (one) } }
        div.charts {
            @for one in a.measured.iter().filter(|one| is_latency(one)) {
                @if let Some(other) = b.measured.iter().find(|other| other.title() == one.title()) {
                    (percentiles([(&a.id, one), (&b.id, other)]))
                }
            }
        }
        (origin(&b.machine, &b.command, b.unix_s, &[]))
    };
    page(&format!("{} against {} · Regatta", b.id, a.id), &content)
}

const fn class(of: Apart) -> Option<&'static str> {
    match of {
        Apart::Worse => Some("bad"),
        Apart::Better => Some("good"),
        Apart::Overlap | Apart::Few => None,
    }
}

fn percentiles(of: [(&String, &Measured); 2]) -> Markup {
    let lines: Vec<Line> = of
        .iter()
        .enumerate()
        .map(|(colour, (id, one))| {
            let curve = one.times.as_ref().map(|times| times.curve.clone()).unwrap_or_default();
            let points = curve.into_iter().map(|(quantile, us)| (quantile, us, String::new())).collect();
            Line { name: (*id).clone(), colour, joined: true, points, ..Line::default() }
        })
        .collect();
    let values = lines.iter().flat_map(|line| line.points.iter().map(|(_, us, _)| *us));
    let mut chart = Chart::new(
        &of[0].1.title(),
        ("share of responses that took at most so long", Scale::Nines(4.0)),
        ("response time, µs", Scale::decades(values)),
    );
    chart.lines = lines;
    chart.render()
}
