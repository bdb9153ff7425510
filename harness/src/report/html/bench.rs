//! The page of a benchmark run: summary, percentiles, curve with the knee, response times over time with faults, costs.

use maud::{Markup, html};

use super::chart::{Band, Chart, Line, Rule, Scale, short};
use super::{origin, page, table};
use crate::bench::{Bench, Measured, Rung};
use crate::report::bench::{how, is_latency, notes, tables};
use crate::report::paired::figure;

/// The page.
#[must_use]
pub fn bench(of: &Bench) -> String {
    let disturbed = of.health.disturbed();
    let content = html! {
        h1 { "Benchmark " (of.id) }
        p.sub { (notes(of).join(" · ")) }
        @if !of.machine.optimised {
            div.box.bad { p { "The harness was built without optimisation: these figures mean nothing." } }
        }
        @if !disturbed.is_empty() {
            div.box.warn { p { "The machine was not quiet: " (disturbed.join("; ")) "." } }
        }
        @if !of.failures.is_empty() {
            div.box.bad { @for failure in &of.failures { p { "Not measured: " (failure) } } }
        }
        @for of in tables(of) {
            h2 { (of.title) }
            (table(&of.head, &of.rows, &left(&of.head)))
        }
        (percentiles(of))
        (curves(of))
        (over_time(of))
        (origin(&of.machine, &of.command, of.unix_s, &[
            ("Revision", of.revision.clone()),
            ("Rounds", of.rounds.to_string()),
            ("Seed", of.seed.to_string()),
            ("Machine meanwhile", format!("{:.0} % busy, {:.1} % stolen, {} datagrams dropped by the kernel",
                of.health.busy * 100.0, of.health.steal * 100.0, of.health.udp_receive_errors)),
        ]))
    };
    page(&format!("{} · Regatta benchmark", of.id), &content)
}

/// The columns of text.
fn left(head: &[&str]) -> Vec<usize> {
    (0..head.len()).filter(|column| *column == 0 || head[*column] == "how").collect()
}

fn percentiles(of: &Bench) -> Markup {
    let lines: Vec<Line> = of
        .measured
        .iter()
        .filter(|one| is_latency(one))
        .filter_map(|one| {
            let times = one.times.as_ref()?;
            let tell = |(quantile, us): &(f64, f64)| (*quantile, *us, String::new());
            Some(Line {
                name: format!("{} ({})", one.title(), how(one)),
                joined: true,
                points: times.curve.iter().map(tell).collect(),
                ..Line::default()
            })
        })
        .collect();
    if lines.is_empty() {
        return html! {};
    }
    let quantiles = lines.iter().flat_map(|line| line.points.last()).map(|(quantile, ..)| *quantile);
    let nines = quantiles.map(|quantile| -(1.0 - quantile).log10()).fold(1.0, f64::max).ceil();
    let values = lines.iter().flat_map(|line| line.points.iter().map(|(_, us, _)| *us));
    let mut chart = Chart::new(
        "Percentiles",
        ("share of responses that took at most so long", Scale::Nines(nines)),
        ("response time, µs", Scale::decades(values)),
    );
    chart.note = "All rounds together. Each step to the right is ten times rarer.".to_owned();
    chart.lines = coloured(lines);
    html! {
        h2 { "Distribution of response times" }
        div.charts { (chart.render()) }
    }
}

/// Gives each line a colour of its own.
fn coloured(lines: Vec<Line>) -> Vec<Line> {
    lines.into_iter().enumerate().map(|(colour, line)| Line { colour, ..line }).collect()
}

fn curves(of: &Bench) -> Markup {
    let with: Vec<&Measured> = of.measured.iter().filter(|one| one.ladder.len() > 1).collect();
    html! {
        @if !with.is_empty() {
            h2 { "Throughput and latency" }
            div.charts { @for one in with { (curve(one).render()) } }
        }
    }
}

fn curve(one: &Measured) -> Chart {
    let joined = one.model != "search" || one.ladder.iter().any(|rung| rung.in_flight > 0);
    let mut rungs: Vec<(usize, &Rung)> =
        one.ladder.iter().enumerate().filter(|(_, rung)| rung.rate > 0.0).collect();
    // In the order of what was asked for: beyond saturation the line turns back.
    rungs.sort_by(|a, b| {
        a.1.in_flight.cmp(&b.1.in_flight).then(a.1.offered_rate.total_cmp(&b.1.offered_rate))
    });
    let tell = |rung: &Rung| {
        let what = match rung.in_flight {
            0 => format!("offered {}/s", figure(rung.offered_rate)),
            in_flight => format!("{in_flight} in flight"),
        };
        format!(
            "{what}: {}/s, p50 {} µs, p99 {} µs, {} errors",
            figure(rung.rate),
            figure(rung.p50_us),
            figure(rung.p99_us),
            rung.errors
        )
    };
    let line = |name: &str, colour: usize, of: fn(&Rung) -> f64| Line {
        name: name.to_owned(),
        colour,
        marked: true,
        joined,
        points: rungs.iter().map(|(_, rung)| (rung.rate, of(rung), tell(rung))).collect(),
        ..Line::default()
    };
    let rates = rungs.iter().map(|(_, rung)| rung.rate);
    let times = rungs.iter().flat_map(|(_, rung)| [rung.p50_us, rung.p99_us]);
    let mut chart = Chart::new(
        &format!("{} ({})", one.title(), how(one)),
        ("replies a second", Scale::from_zero(rates)),
        ("response time, µs", Scale::decades(times)),
    );
    chart.lines = vec![line("p50", 0, |rung| rung.p50_us), line("p99", 1, |rung| rung.p99_us)];
    let knee = one.knee.and_then(|place| one.ladder.get(place));
    chart.rules.extend(knee.map(|rung| Rule {
        name: format!("knee, {}/s", short(rung.rate)),
        at: rung.rate,
        upright: true,
    }));
    if knee.is_some() {
        chart.note = "At the knee, throughput over response time is greatest.".to_owned();
    } else if !joined {
        chart.note = "Each point is one trial of the search.".to_owned();
    }
    chart
}

fn over_time(of: &Bench) -> Markup {
    let with: Vec<&Measured> =
        of.measured.iter().filter(|one| one.moments.len() > 1 && is_latency(one)).collect();
    html! {
        @if !with.is_empty() {
            h2 { "Response times over time" }
            div.charts { @for one in with { (moments(one).render()) } }
        }
    }
}

fn moments(one: &Measured) -> Chart {
    let end = one.moments.last().map_or(1.0, |moment| moment.at_s);
    let times = one.moments.iter().flat_map(|moment| [moment.p50_us, moment.max_us]);
    let mut chart = Chart::new(
        &format!("{} ({})", one.title(), how(one)),
        ("seconds", Scale::Linear(0.0, end.max(0.1))),
        ("response time, µs", Scale::decades(times)),
    );
    let line = |name: &str, colour: usize, dashed: bool, of: fn(&crate::bench::Moment) -> f64| Line {
        name: name.to_owned(),
        colour,
        dashed,
        joined: true,
        points: one.moments.iter().map(|moment| (moment.at_s, of(moment), String::new())).collect(),
        ..Line::default()
    };
    chart.lines = vec![
        line("p50", 0, false, |moment| moment.p50_us),
        line("p99", 1, false, |moment| moment.p99_us),
        line("longest", 5, true, |moment| moment.max_us),
    ];
    chart.bands = one
        .faults
        .iter()
        .map(|fault| Band {
            name: fault.name.clone(),
            from: fault.begun_s.max(0.0),
            to: fault.ended_s.unwrap_or(end).min(end),
        })
        .collect();
    chart
}
