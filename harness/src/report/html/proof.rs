//! The page of a self-test: false alarms over equal builds, and which slowdowns are caught.

use maud::{Markup, html};

use super::chart::{Chart, Line, Rule, Scale};
use super::{origin, page, table};
use crate::paired::selftest::{MetricProof, Proof};
use crate::report::paired::share;

/// The page.
#[must_use]
pub fn proof(of: &Proof) -> String {
    let alarms = of.equal.alarms + of.equal_counts.alarms;
    let content = html! {
        h1 { "The gate's self-test" }
        p.sub { code { (of.revision) } @if of.cut { " · cut before all decisions were made" } }
        div class=(if alarms == 0 { "box good" } else { "box bad" }) {
            p { (alarms) " false alarms in " (of.equal.decisions + of.equal_counts.decisions)
                " decisions over equal builds." }
            @for line in resolutions(of) { p { (line) } }
        }
        (part(of))
        (origin(&of.machine, "regatta gate --self-test", of.unix_s, &[
            ("Blocks of a round", of.extent.blocks.to_string()),
            ("Took", format!("{:.1} minutes", of.seconds / 60.0)),
        ]))
    };
    page("Regatta gate self-test", &content)
}

fn resolutions(of: &Proof) -> Vec<String> {
    let with = of.metrics.iter().filter(|metric| !metric.levels.is_empty());
    with.map(|metric| match metric.resolution {
        Some(share) => format!(
            "{}: slowdowns from {:.0} % on are caught at least 9 times in 10.",
            metric.name,
            share * 100.0
        ),
        None => format!("{}: none of the slowdowns that were tried is caught 9 times in 10.", metric.name),
    })
    .collect()
}

/// What a self-test found, as a part of a page.
pub(super) fn part(of: &Proof) -> Markup {
    let equal = |name: &str, count: &crate::gate::power::Count| {
        vec![
            name.to_owned(),
            count.decisions.to_string(),
            count.alarms.to_string(),
            count.inconclusive.to_string(),
            format!("{:.1} %", count.rate_at_most() * 100.0),
        ]
    };
    let mut rows = vec![equal("blocks", &of.equal)];
    if of.equal_counts.decisions > 0 {
        rows.push(equal("counts", &of.equal_counts));
    }
    html! {
        h3 { "Equal builds" }
        (table(&["tier", "decisions", "false alarms", "inconclusive", "true rate below (95 %)"], &rows, &[0]))
        h3 { "Slowdowns" }
        (table(&["metric", "injected", "measured", "decisions", "caught", "inconclusive"], &levels(of), &[0]))
        (power(of))
        @for why in of.unsupported.iter().chain(&of.failures) { p.warn { "Not proved: " (why) } }
    }
}

fn levels(of: &Proof) -> Vec<Vec<String>> {
    let rows = of.metrics.iter().flat_map(|metric| {
        metric.levels.iter().map(|level| {
            vec![
                metric.name.clone(),
                format!("{:.0} %", level.injected * 100.0),
                share(level.measured),
                level.count.decisions.to_string(),
                level.count.alarms.to_string(),
                level.count.inconclusive.to_string(),
            ]
        })
    });
    rows.collect()
}

fn power(of: &Proof) -> Markup {
    let with: Vec<&MetricProof> = of.metrics.iter().filter(|metric| !metric.levels.is_empty()).collect();
    if with.is_empty() {
        return html! {};
    }
    let injected = with.iter().flat_map(|metric| metric.levels.iter().map(|level| level.injected * 100.0));
    let mut chart = Chart::new(
        "Power",
        ("injected slowdown, %", Scale::from_zero(injected)),
        ("caught, %", Scale::Linear(0.0, 100.0)),
    );
    chart.note = "How often a slowdown of this size is called a regression.".to_owned();
    chart.rules.push(Rule { name: "9 in 10".to_owned(), at: 90.0, upright: false });
    for (colour, metric) in with.iter().enumerate() {
        let points = metric.levels.iter().map(|level| {
            let (injected, caught) = (level.injected * 100.0, level.count.rate() * 100.0);
            (
                injected,
                caught,
                format!("{}: {injected:.0} % is caught {caught:.0} % of the time", metric.name),
            )
        });
        chart.lines.push(Line {
            name: metric.name.clone(),
            colour,
            marked: true,
            joined: true,
            points: points.collect(),
            ..Line::default()
        });
    }
    html! { div.charts { (chart.render()) } }
}
