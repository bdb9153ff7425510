//! Charts as SVG within the page: lines, points, bands and rules over two axes.
//!
//! What must stay true: colours and fonts come from the page's style, so a chart follows it into dark and onto paper; all
//! text is drawn large enough to be read on a phone, where a chart is as wide as the screen.

use maud::{Markup, html};

/// The size of a chart in its own units; the page scales it.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 280.0;
/// Room around the plot.
const LEFT: f64 = 54.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 42.0;
/// Colours that the style tells apart; more lines than that begin again.
const COLOURS: usize = 6;

/// How values are laid along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Evenly.
    Linear(f64, f64),
    /// By decades; both ends are above zero.
    Log(f64, f64),
    /// Quantiles from 0 on, by how many nines they have, up to so many.
    Nines(f64),
}

impl Scale {
    /// A linear scale from zero to a round number that holds all of `values`.
    pub(super) fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let most = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let step = step(most.max(f64::MIN_POSITIVE), 5.0);
        Self::Linear(0.0, (most / step).ceil().max(1.0) * step)
    }

    /// A logarithmic scale over all of `values` that are above zero.
    pub(super) fn decades(values: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            (least, most) = (least.min(value), most.max(value));
        }
        if least > most {
            return Self::Log(1.0, 10.0);
        }
        // Round ends, and at least a decade between them.
        let (low, high) = (floor_1_2_5(least), ceil_1_2_5(most * 1.02));
        if high / low < 10.0 { Self::Log(low, ceil_1_2_5(low * 10.0)) } else { Self::Log(low, high) }
    }

    /// The value at its end.
    pub(super) fn end(self) -> f64 {
        match self {
            Self::Linear(_, high) | Self::Log(_, high) => high,
            Self::Nines(nines) => 1.0 - 10f64.powf(-nines),
        }
    }

    /// Where a value is, from 0 to 1; outside of it beyond the ends.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear(low, high) => (value - low) / (high - low).max(f64::MIN_POSITIVE),
            Self::Log(low, high) => (value.max(low / 10.0) / low).ln() / (high / low).ln(),
            Self::Nines(nines) => -(1.0 - value).max(1e-9).log10() / nines,
        }
    }

    fn ticks(self) -> Vec<(f64, String)> {
        match self {
            Self::Linear(low, high) => {
                let step = step(high - low, 5.0);
                let count = ((high - low) / step + 1e-9).floor().max(0.0) as u32;
                let first = (low / step).ceil() * step;
                let all = (0..=count).map(|index| first + step * f64::from(index));
                all.filter(|value| *value <= high + step * 1e-6).map(|value| (value, short(value))).collect()
            }
            Self::Log(low, high) => {
                let decades = (high / low).log10();
                let steps: &[f64] = if decades > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let mut ticks = Vec::new();
                let mut decade = 10f64.powf(low.log10().floor());
                while decade <= high * 1.001 {
                    let here = steps.iter().map(|step| step * decade);
                    ticks.extend(here.filter(|value| *value >= low * 0.999 && *value <= high * 1.001));
                    decade *= 10.0;
                }
                ticks.into_iter().map(|value| (value, short(value))).collect()
            }
            Self::Nines(nines) => {
                let all = [(0.0, "0"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];
                let all = all.into_iter().chain([(0.99999, "99.999 %")]);
                all.filter(|(value, _)| Self::Nines(nines).place(*value) <= 1.001)
                    .map(|(value, text)| (value, text.to_owned()))
                    .collect()
            }
        }
    }
}

/// A step of 1, 2 or 5 times a power of ten that divides `range` into about `parts`.
fn step(range: f64, parts: f64) -> f64 {
    ceil_1_2_5(range / parts)
}

fn ceil_1_2_5(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    let of = value / decade;
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| of <= step * 1.000_001).unwrap_or(10.0);
    round * decade
}

fn floor_1_2_5(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    let of = value / decade;
    let round = [5.0, 2.0, 1.0].into_iter().find(|step| of >= step * 0.999_999).unwrap_or(1.0);
    round * decade
}

/// A number that is short enough for an axis.
pub(super) fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 1.0 => 1,
        size if size >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// A line with its points.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    /// What it shows; the legend names it.
    pub(super) name: String,
    /// Which colour.
    pub(super) colour: usize,
    /// Whether it is dashed.
    pub(super) dashed: bool,
    /// Whether each point is marked.
    pub(super) marked: bool,
    /// Whether the points are joined.
    pub(super) joined: bool,
    /// The points, each with a text that is shown when it is pointed at.
    pub(super) points: Vec<(f64, f64, String)>,
}

/// A stretch along the horizontal axis.
#[derive(Debug, Clone)]
pub(super) struct Band {
    /// Its text.
    pub(super) name: String,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// A line across the plot.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) at: f64,
    /// Whether it crosses the horizontal axis; otherwise the vertical one.
    pub(super) upright: bool,
}

/// A chart.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: String,
    /// A sentence on how to read it.
    pub(super) note: String,
    pub(super) x: (String, Scale),
    pub(super) y: (String, Scale),
    pub(super) lines: Vec<Line>,
    pub(super) bands: Vec<Band>,
    pub(super) rules: Vec<Rule>,
}

impl Chart {
    /// A chart without anything in it.
    pub(super) fn new(title: &str, x: (&str, Scale), y: (&str, Scale)) -> Self {
        Self {
            title: title.to_owned(),
            note: String::new(),
            x: (x.0.to_owned(), x.1),
            y: (y.0.to_owned(), y.1),
            lines: Vec::new(),
            bands: Vec::new(),
            rules: Vec::new(),
        }
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let across = self.x.1.place(x).clamp(-0.01, 1.01);
        let up = self.y.1.place(y).clamp(-0.01, 1.01);
        (LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))
    }

    /// The chart with its title and legend.
    pub(super) fn render(&self) -> Markup {
        let named: Vec<&Line> = self.lines.iter().filter(|line| !line.name.is_empty()).collect();
        html! {
            figure.chart {
                figcaption {
                    strong { (self.title) }
                    @if !self.note.is_empty() { span.note { (self.note) } }
                }
                (self.svg())
                @if named.len() > 1 || !self.bands.is_empty() {
                    ul.legend {
                        @for line in &named {
                            li { span class=(key(line)) {} (line.name) }
                        }
                        @if let Some(band) = self.bands.first() {
                            li { span.key.band {} "fault: " (band.name) @if self.bands.len() > 1 { " and others" } }
                        }
                    }
                }
            }
        }
    }

    fn svg(&self) -> Markup {
        let (left, right, top, bottom) = (LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM);
        let number = |value: f64| format!("{value:.1}");
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.title) {
                @for (value, text) in self.y.1.ticks() {
                    @let (_, y) = self.at(0.0, value);
                    line.grid x1=(left) x2=(right) y1=(number(y)) y2=(number(y)) {}
                    text.tick x=(left - 6.0) y=(number(y + 4.0)) text-anchor="end" { (text) }
                }
                @for (value, text) in self.x.1.ticks() {
                    @let (x, _) = self.at(value, 0.0);
                    line.grid x1=(number(x)) x2=(number(x)) y1=(top) y2=(bottom) {}
                    text.tick x=(number(x)) y=(bottom + 16.0) text-anchor="middle" { (text) }
                }
                text.axis x=(f64::midpoint(left, right)) y=(HEIGHT - 6.0) text-anchor="middle" { (self.x.0) }
                text.axis transform=(format!("translate(13 {}) rotate(-90)", f64::midpoint(top, bottom)))
                    text-anchor="middle" { (self.y.0) }
                @for band in &self.bands {
                    @let (from, _) = self.at(band.from, 0.0);
                    @let (to, _) = self.at(band.to, 0.0);
                    rect.band x=(number(from)) y=(top) width=(number((to - from).max(1.5)))
                        height=(number(bottom - top)) { title { (band.name) } }
                }
                @for rule in &self.rules { (self.rule(rule)) }
                @for line in &self.lines { (self.line(line)) }
            }
        }
    }

    fn rule(&self, rule: &Rule) -> Markup {
        let (left, right, top, bottom) = (LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM);
        let (x, y) = self.at(rule.at, rule.at);
        let number = |value: f64| format!("{value:.1}");
        // The text goes to the side that has more room.
        let (text_x, anchor) =
            if x > f64::midpoint(left, right) { (x - 5.0, "end") } else { (x + 5.0, "start") };
        html! {
            @if rule.upright {
                line.rule x1=(number(x)) x2=(number(x)) y1=(top) y2=(bottom) {}
                text.rule x=(number(text_x)) y=(top + 12.0) text-anchor=(anchor) { (rule.name) }
            } @else {
                line.rule x1=(left) x2=(right) y1=(number(y)) y2=(number(y)) {}
                text.rule x=(right - 4.0) y=(number(y - 5.0)) text-anchor="end" { (rule.name) }
            }
        }
    }

    fn line(&self, line: &Line) -> Markup {
        let colour = line.colour % COLOURS;
        let mut path = String::new();
        for (index, (x, y, _)) in line.points.iter().enumerate() {
            let (x, y) = self.at(*x, *y);
            path.push_str(&format!("{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" }));
        }
        html! {
            g class=(format!("c{colour}{}", if line.dashed { " dashed" } else { "" })) {
                @if line.joined { path.line d=(path) {} }
                @if line.marked {
                    @for (x, y, told) in &line.points {
                        @let (x, y) = self.at(*x, *y);
                        circle cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="3.2" {
                            @if !told.is_empty() { title { (told) } }
                        }
                    }
                }
            }
        }
    }
}

fn key(line: &Line) -> String {
    let kind = if line.joined { "" } else { " dot" };
    format!("key k{}{}{kind}", line.colour % COLOURS, if line.dashed { " dashed" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_hold_all_values_and_have_round_ends() {
        assert_eq!(Scale::from_zero([3.2, 41.0].into_iter()), Scale::Linear(0.0, 50.0));
        assert_eq!(Scale::decades([13.0, 870.0].into_iter()), Scale::Log(10.0, 1_000.0));
        assert_eq!(Scale::decades([30.0, 40.0].into_iter()), Scale::Log(20.0, 200.0));
        assert_eq!(Scale::decades([0.0].into_iter()), Scale::Log(1.0, 10.0));
    }

    #[test]
    fn ticks_are_few_and_short() {
        let texts = |scale: Scale| scale.ticks().into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(texts(Scale::Linear(0.0, 50.0)), ["0", "10", "20", "30", "40", "50"]);
        assert_eq!(texts(Scale::Log(10.0, 1_000.0)), ["10", "20", "50", "100", "200", "500", "1k"]);
        assert_eq!(texts(Scale::Nines(3.0)), ["0", "90 %", "99 %", "99.9 %"]);
        assert_eq!([short(0.05), short(1_500.0), short(2_000_000.0)], ["0.05", "1.5k", "2M"]);
    }

    #[test]
    fn nines_are_evenly_apart() {
        let place = |value| Scale::Nines(4.0).place(value);
        assert!((place(0.99) - 2.0 * place(0.9)).abs() < 1e-9 && (place(0.9999) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let mut chart = Chart::new("<b>", ("x", Scale::Linear(0.0, 1.0)), ("y", Scale::Linear(0.0, 1.0)));
        chart.lines.push(Line { name: "</svg><script>".to_owned(), ..Line::default() });
        chart.lines.push(Line { name: "b".to_owned(), ..Line::default() });
        let text = chart.render().into_string();
        assert!(!text.contains("<script>") && text.contains("&lt;script&gt;"), "{text}");
    }
}
