//! The page of a history: each series over the runs, with its changes of level.

use maud::html;

use super::chart::{Chart, Line, Rule, Scale};
use super::page;
use crate::report::history::line;
use crate::results::history::Series;

/// The page.
#[must_use]
pub fn history(all: &[Series]) -> String {
    let changed: Vec<&Series> = all.iter().filter(|one| !one.steps.is_empty()).collect();
    let content = html! {
        h1 { "History" }
        p.sub { (all.len()) " series, " (changed.len()) " with a change of level. A change is told, and gates nothing." }
        @if !changed.is_empty() {
            h2 { "Changes" }
            @for one in &changed {
                h3 { (one.load) ", " (one.figure) }
                ul { @for step in &one.steps {
                    li class=(if step.worse > 0.0 { "bad" } else { "good" }) { (line(step)) }
                } }
            }
        }
        h2 { "Series" }
        div.charts { @for one in all { (chart(one).render()) } }
    };
    page("Regatta history", &content)
}

fn chart(one: &Series) -> Chart {
    let values = || one.points.iter().map(|point| point.value);
    let mut chart = Chart::new(
        &format!("{}, {}", one.load, one.figure),
        ("run", Scale::Linear(0.0, (one.points.len().max(2) - 1) as f64)),
        (&one.figure, Scale::from_zero(values())),
    );
    let points =
        one.points.iter().enumerate().map(|(index, point)| {
            (index as f64, point.value, format!("{}: {}", point.revision, point.value))
        });
    let line = Line { marked: true, joined: true, points: points.collect(), ..Line::default() };
    chart.lines.push(line);
    let rule = |step: &crate::results::history::Step| Rule {
        name: format!("{:+.1} %", step.worse * 100.0),
        at: step.at as f64 - 0.5,
        upright: true,
    };
    chart.rules = one.steps.iter().map(rule).collect();
    chart
}
