//! The end of a run as a sequence diagram (SVG): a column for each node, time going down, messages as arrows, faults as
//! bands behind them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use regatta::Pid;

use super::perfetto::step_name;
use super::scale::{ROW, Scale};
use crate::record::{Event, Passage, What};
use crate::run::FAILED;
use crate::run::remains::Remains;
use crate::scenario::Scenario;

/// Moments at which something happens that are drawn, counted back from the end.
const MOMENTS_MAX: usize = 120;
/// Arrows that are drawn; of more, the last.
const ARROWS_MAX: usize = 400;
/// Columns that are drawn; of more nodes, those to which something happens.
const COLUMNS_MAX: usize = 24;

const LEFT: f64 = 230.0;
const TOP: f64 = 86.0;
const COLUMN: f64 = 150.0;

/// The diagram.
pub(crate) fn svg(scenario: &Scenario, remains: &Remains) -> String {
    let end_ns = moment_of_failure(remains);
    let until: Vec<&Event> = remains.events.iter().filter(|event| event.at_ns <= end_ns).collect();
    let columns = columns(scenario, remains, &until);
    let scale = Scale::new(&BTreeMap::new());
    let mut picture =
        Picture { scenario, remains, columns, scale, start_ns: 0, end_ns, whole: true, out: String::new() };
    let moments = picture.moments(&until);
    let first = moments.keys().rev().nth(MOMENTS_MAX).copied();
    picture.whole = first.is_none();
    picture.start_ns = first.or_else(|| moments.keys().next().copied()).unwrap_or(end_ns);
    picture.scale = Scale::new(&moments.range(picture.start_ns..).map(|(at, rows)| (*at, *rows)).collect());
    let events: Vec<&Event> = until.into_iter().filter(|event| event.at_ns >= picture.start_ns).collect();
    picture.draw(&events);
    picture.out
}

/// When the run was found to be wrong: the last step's end, or the first expectation that was broken.
fn moment_of_failure(remains: &Remains) -> u64 {
    let broken =
        remains.events.iter().find(|event| matches!(event.what, What::Expectation { met: false, .. }));
    let ended = u64::try_from(remains.ended.as_nanos()).unwrap_or(u64::MAX);
    broken.map_or(ended, |event| event.at_ns)
}

/// The nodes that are drawn, with their columns.
fn columns(scenario: &Scenario, remains: &Remains, events: &[&Event]) -> BTreeMap<String, usize> {
    let node = |pid: Pid| remains.nodes.get(&pid.incarnation()).cloned();
    let concerned = |name: &str| {
        events.iter().any(|event| match &event.what {
            What::Node { node, .. } | What::Link { node, .. } | What::Name { node, .. } => node == name,
            What::Sent(passage) | What::Received(passage) => {
                [passage.from, passage.to].into_iter().any(|pid| node(pid.0).as_deref() == Some(name))
            }
            _ => false,
        })
    };
    let all = scenario.nodes.iter().map(|node| node.name.as_str());
    let shown: Vec<&str> = if scenario.nodes.len() <= COLUMNS_MAX {
        all.collect()
    } else {
        all.filter(|name| concerned(name)).take(COLUMNS_MAX).collect()
    };
    shown.into_iter().enumerate().map(|(index, name)| (name.to_owned(), index)).collect()
}

struct Picture<'a> {
    scenario: &'a Scenario,
    remains: &'a Remains,
    columns: BTreeMap<String, usize>,
    scale: Scale,
    start_ns: u64,
    end_ns: u64,
    /// Nothing came before what is drawn.
    whole: bool,
    out: String,
}

impl Picture<'_> {
    fn x(&self, column: usize) -> f64 {
        LEFT + COLUMN * (column as f64 + 0.5)
    }

    fn y(&self, at_ns: u64) -> f64 {
        TOP + ROW + (self.scale.y(at_ns) * 10.0).round() / 10.0
    }

    /// Where the columns end.
    fn bottom(&self) -> f64 {
        TOP + self.scale.height() + 3.0 * ROW
    }

    /// The moments at which something is drawn, each with the most labels that stand in one place.
    fn moments(&self, events: &[&Event]) -> BTreeMap<u64, usize> {
        let mut labels: BTreeMap<u64, BTreeMap<Option<usize>, usize>> = BTreeMap::new();
        for event in events {
            if let Some((column, ..)) = self.mark(event) {
                *labels.entry(event.at_ns).or_default().entry(column).or_default() += 1;
            } else if matches!(event.what, What::Sent(_) | What::Received(_)) {
                labels.entry(event.at_ns).or_default();
            }
        }
        let most = |places: BTreeMap<_, usize>| places.into_values().max().unwrap_or(0);
        labels.into_iter().map(|(at, places)| (at, most(places))).collect()
    }

    fn column(&self, pid: Pid) -> Option<usize> {
        self.columns.get(self.remains.nodes.get(&pid.incarnation())?).copied()
    }

    fn label(&self, pid: Pid) -> String {
        self.remains.labels.get(&pid).cloned().unwrap_or_else(|| "…".to_owned())
    }

    /// Adds a line of SVG. Writing to a string does not fail.
    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(line);
        self.out.push('\n');
    }

    fn draw(&mut self, events: &[&Event]) {
        let width = LEFT + COLUMN * self.columns.len().max(1) as f64 + 40.0;
        let height = self.bottom() + 40.0;
        self.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">"
        ));
        self.put(format_args!("{}", style()));
        self.put(format_args!("<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>"));
        let window = if self.whole {
            String::new()
        } else {
            format!(" — the last {}", time(self.end_ns - self.start_ns))
        };
        let title = format!("{}{window}", self.scenario.title());
        self.put(format_args!("<text class=\"title\" x=\"16\" y=\"28\">{}</text>", escape(&title)));
        self.bands(width);
        self.ruler(width);
        let columns: Vec<_> = self.columns.iter().map(|(name, column)| (name.clone(), *column)).collect();
        for (name, column) in columns {
            let (x, bottom) = (self.x(column), self.bottom());
            self.put(format_args!(
                "<text class=\"node\" x=\"{x}\" y=\"{}\">{}</text>",
                TOP - 14.0,
                escape(&name)
            ));
            self.put(format_args!(
                "<line class=\"life\" x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{bottom}\"/>"
            ));
        }
        self.arrows(events);
        self.marks(events);
        self.put(format_args!("</svg>"));
    }

    /// Faults: a band over the columns that they are about, or over all.
    fn bands(&mut self, width: f64) {
        let ended = u64::try_from(self.remains.ended.as_nanos()).unwrap_or(u64::MAX);
        let mut lane: Vec<u64> = Vec::new();
        let remains = self.remains;
        for (_, record, _) in &remains.faults {
            let from = u64::try_from(record.begun.as_nanos()).unwrap_or(u64::MAX);
            let to = record.ended.map_or(ended, |at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
            if to < self.start_ns || from > self.end_ns {
                continue;
            }
            let (top, bottom) = (self.y(from), self.y(to));
            let about = record.fault.kind.about();
            let columns: Vec<usize> =
                about.iter().filter_map(|node| self.columns.get(node).copied()).collect();
            let spans: Vec<(f64, f64)> = if columns.is_empty() {
                vec![(LEFT, width - LEFT - 20.0)]
            } else {
                columns.iter().map(|column| (self.x(*column) - COLUMN / 2.0 + 6.0, COLUMN - 12.0)).collect()
            };
            let tall = (bottom - top).max(2.0);
            for (x, wide) in spans {
                self.put(format_args!(
                    "<rect class=\"fault\" x=\"{x}\" y=\"{top}\" width=\"{wide}\" height=\"{tall}\"/>"
                ));
            }
            // Names of faults that go on at the same time stand beside each other, or one below the other in a column.
            let free = lane.iter().position(|until| *until <= from.max(self.start_ns));
            let place = free.unwrap_or_else(|| {
                lane.push(0);
                lane.len() - 1
            });
            lane[place] = to;
            let name = record.id.clone().unwrap_or_else(|| record.fault.kind.name().to_owned());
            let (x, y) = match columns.first() {
                Some(column) => {
                    (self.x(*column) - COLUMN / 2.0 + 10.0, top.max(TOP) + 11.0 * (place as f64 + 1.0))
                }
                None => (LEFT + 4.0 + 70.0 * place as f64, top.max(TOP) + 11.0),
            };
            self.put(format_args!("<text class=\"fault-name\" x=\"{x}\" y=\"{y}\">{}</text>", escape(&name)));
        }
    }

    fn ruler(&mut self, width: f64) {
        let ticks: Vec<(u64, f64)> = self.scale.ticks().collect();
        for (at, _) in ticks {
            let y = self.y(at);
            self.put(format_args!(
                "<line class=\"tick\" x1=\"{}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\"/>",
                LEFT - 6.0,
                width - 20.0
            ));
            self.put(format_args!(
                "<text class=\"time\" x=\"{}\" y=\"{}\">{}</text>",
                LEFT - 10.0,
                y + 4.0,
                time(at)
            ));
        }
    }

    fn arrows(&mut self, events: &[&Event]) {
        let mut sent: BTreeMap<(Pid, String, u64), (u64, &Passage)> = BTreeMap::new();
        let mut arrows: Vec<(u64, Option<u64>, &Passage)> = Vec::new();
        for event in events {
            match &event.what {
                What::Sent(passage) => {
                    let key = (passage.from.0, passage.kind.clone(), passage.number);
                    if let Some((at, lost)) = sent.insert(key, (event.at_ns, passage)) {
                        arrows.push((at, None, lost));
                    }
                }
                What::Received(passage) => {
                    let key = (passage.from.0, passage.kind.clone(), passage.number);
                    let left = sent.remove(&key).map_or(event.at_ns, |(at, _)| at);
                    arrows.push((left, Some(event.at_ns), passage));
                }
                _ => {}
            }
        }
        arrows.extend(sent.into_values().map(|(at, passage)| (at, None, passage)));
        arrows.sort_by_key(|(at, ..)| *at);
        let skipped = arrows.len().saturating_sub(ARROWS_MAX);
        if skipped > 0 {
            let y = self.bottom() + 20.0;
            self.put(format_args!("<text class=\"time left\" x=\"{LEFT}\" y=\"{y}\">{skipped} earlier messages are not drawn</text>"));
        }
        for (left, arrived, passage) in arrows.into_iter().skip(skipped) {
            let (Some(from), Some(to)) = (self.column(passage.from.0), self.column(passage.to.0)) else {
                continue;
            };
            let (x1, y1, x2) = (self.x(from), self.y(left), self.x(to));
            let text = format!(
                "{} {} {} → {}",
                passage.kind,
                passage.number,
                self.label(passage.from.0),
                self.label(passage.to.0)
            );
            let title = escape(&text);
            if from == to {
                let class = if arrived.is_some() { "local" } else { "lost-dot" };
                self.put(format_args!("<circle class=\"{class}\" cx=\"{x1}\" cy=\"{y1}\" r=\"2.5\"><title>{title}</title></circle>"));
                continue;
            }
            match arrived {
                Some(at) => {
                    let y2 = self.y(at);
                    self.put(format_args!("<line class=\"message {}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" marker-end=\"url(#head)\"><title>{title}</title></line>", passage.kind));
                }
                None => {
                    // It left, and did not arrive so far.
                    let (x, y) = (x1 + (x2 - x1) * 0.35, y1 + 3.0);
                    self.put(format_args!("<line class=\"lost\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x}\" y2=\"{y}\"><title>{title}: did not arrive</title></line>"));
                    self.put(format_args!("<text class=\"cross\" x=\"{x}\" y=\"{}\">×</text>", y + 4.0));
                }
            }
        }
    }

    /// Steps at the left; what happens to nodes beside their lines.
    fn marks(&mut self, events: &[&Event]) {
        let mut rows: BTreeMap<Option<usize>, f64> = BTreeMap::new();
        for event in events {
            let Some((column, class, text)) = self.mark(event) else { continue };
            let y = self.y(event.at_ns);
            // One below the other, where there are several at one moment.
            let row = rows.entry(column).or_insert(f64::MIN);
            let at = y.max(*row + ROW);
            *row = at;
            let (x, anchor) = match column {
                Some(column) => (self.x(column) + 5.0, ""),
                None => (LEFT - 72.0, " left-of"),
            };
            self.put(format_args!(
                "<text class=\"{class}{anchor}\" x=\"{x}\" y=\"{}\">{}</text>",
                at + 3.0,
                escape(&text)
            ));
        }
    }

    /// The label of an event that has one: its column, or none for the left, its class, and its text.
    fn mark(&self, event: &Event) -> Option<(Option<usize>, &'static str, String)> {
        let of = |node: &str| self.columns.get(node).copied();
        Some(match &event.what {
            What::StepBegun { step } => (None, "step", format!("{} ▸", step_name(self.scenario, *step))),
            What::StepEnded { step, outcome } if outcome == FAILED => {
                (None, "broken", format!("{} {FAILED}", step_name(self.scenario, *step)))
            }
            What::Expectation { id, met: false } => (None, "broken", format!("{id} is broken")),
            What::Node { node, runs } => (of(node), "note", (if *runs { "runs" } else { "gone" }).to_owned()),
            What::Link { node, peer, up } => {
                let (class, sign) = if *up { ("note", '+') } else { ("broken", '−') };
                (of(node), class, format!("{sign} link {peer}"))
            }
            What::Name { node, name, owner } => {
                let owner = owner.as_deref().unwrap_or("nobody");
                (of(node), "note", format!("{name} is {owner}'s"))
            }
            What::Told { watcher, process, reason, .. } => {
                let text = format!("† {} ({reason})", self.label(process.0));
                (self.column(watcher.0), "note", text)
            }
            _ => return None,
        })
    }
}

/// Seconds; below one, milliseconds.
fn time(ns: u64) -> String {
    let trimmed = |text: String| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    match ns {
        0 => "0".to_owned(),
        1..1_000_000_000 => format!("{} ms", trimmed(format!("{:.2}", ns as f64 / 1e6))),
        _ => format!("{} s", trimmed(format!("{:.3}", ns as f64 / 1e9))),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The style, with colours written out: not every viewer knows variables.
fn style() -> String {
    let painted = |palette: &[(&str, &str)]| {
        palette.iter().fold(RULES.to_owned(), |rules, (name, colour)| rules.replace(name, colour))
    };
    let (light, dark) = (painted(&LIGHT), painted(&DARK));
    format!("<style>{light}@media(prefers-color-scheme:dark){{{dark}}}</style>{HEAD}")
}

const LIGHT: [(&str, &str); 9] = [
    ("$paper", "#fff"),
    ("$ink", "#1c2128"),
    ("$dim", "#6b7280"),
    ("$line", "#d5d9e0"),
    ("$data", "#2563eb"),
    ("$ask", "#7c3aed"),
    ("$reply", "#059669"),
    ("$bad", "#dc2626"),
    ("$band", "#b45309"),
];
const DARK: [(&str, &str); 9] = [
    ("$paper", "#0f1419"),
    ("$ink", "#e6e8eb"),
    ("$dim", "#8b949e"),
    ("$line", "#30363d"),
    ("$data", "#60a5fa"),
    ("$ask", "#a78bfa"),
    ("$reply", "#34d399"),
    ("$bad", "#f87171"),
    ("$band", "#fbbf24"),
];
const RULES: &str = "\
text{font:11px ui-sans-serif,system-ui,sans-serif;fill:$ink}\
.paper{fill:$paper}.title{font-size:16px;font-weight:600}.node{font-size:13px;font-weight:600;text-anchor:middle}\
.life{stroke:$dim;stroke-width:1}.tick{stroke:$line;stroke-width:1}\
.time{fill:$dim;text-anchor:end;font-size:10px}.left{text-anchor:start}\
.fault{fill:$band;fill-opacity:.13;stroke:$band;stroke-opacity:.35}.fault-name{fill:$band;font-weight:600}\
.message{stroke-width:1.1;stroke:$data;color:$data}.request{stroke:$ask}.reply{stroke:$reply}\
.local{fill:$data}.lost,.lost-dot{stroke:$bad;fill:$bad;stroke-dasharray:3 2}.cross{fill:$bad;text-anchor:middle;font-size:13px}\
.step{fill:$dim}.left-of{text-anchor:end}.note{fill:$dim;font-size:10px}.broken{fill:$bad;font-weight:600}";
const HEAD: &str = "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"6\" markerHeight=\"6\" orient=\"auto\">\
<path d=\"M0 0L8 4L0 8z\" fill=\"context-stroke\"/></marker></defs>";
