//! The page of a self-test: false alarms over equal builds, and which slowdowns are caught.

use maud::{Markup, html};

use super::chart::{Chart, Line, Rule, Scale};
use super::{origin, page, table};
use crate::paired::selftest::{LevelProof, MetricProof, Proof};
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
        (levels(of))
        (power(of))
        @for why in of.unsupported.iter().chain(&of.failures) { p.warn { "Not proved: " (why) } }
    }
}

/// What was caught, a column for each slowdown.
fn levels(of: &Proof) -> Markup {
    let levels = || of.metrics.iter().flat_map(|metric| &metric.levels);
    let mut injected: Vec<f64> = levels().map(|level| level.injected).collect();
    injected.sort_by(f64::total_cmp);
    injected.dedup();
    let head: Vec<String> = injected.iter().map(|share| format!("{:.0} %", share * 100.0)).collect();
    let head: Vec<&str> = std::iter::once("injected").chain(head.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<String>> = of
        .metrics
        .iter()
        .filter(|metric| !metric.levels.is_empty())
        .flat_map(|metric| {
            let row = |name: &str, cell: &dyn Fn(&LevelProof) -> String| {
                let of = |share: &f64| metric.levels.iter().find(|level| level.injected == *share);
                let cells = injected.iter().map(|share| of(share).map_or_else(String::new, cell));
                std::iter::once(name.to_owned()).chain(cells).collect()
            };
            let unclear = metric.levels.iter().any(|level| level.count.inconclusive > 0);
            let caught =
                row(&metric.name, &|level| format!("{} of {}", level.count.alarms, level.count.decisions));
            let measured = row("measured", &|level| share(level.measured));
            let inconclusive =
                unclear.then(|| row("inconclusive", &|level| level.count.inconclusive.to_string()));
            [caught, measured].into_iter().chain(inconclusive)
        })
        .collect();
    html! {
        p.note { "Of decisions over so much slower builds, those that said regression; and what was measured, the median." }
        (table(&head, &rows, &[0]))
    }
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
            // Where two lie on each other, both are seen.
            dashed: colour % 2 == 1,
            marked: true,
            joined: true,
            points: points.collect(),
        });
    }
    html! { div.charts { (chart.render()) } }
}
