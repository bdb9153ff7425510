//! A history for a terminal: each series as a small line, its last value, and where its level changed.

use std::fmt::Write as _;

use owo_colors::{OwoColorize, Style};

use super::paired::{figure, share};
use crate::results::history::{Series, Step};

/// Points of the small line.
const SPARK: usize = 24;

/// The history for a terminal.
#[must_use]
pub fn text(series: &[Series], colour: bool) -> String {
    let paint =
        |text: &str, style: Style| if colour { text.style(style).to_string() } else { text.to_owned() };
    let mut out = String::new();
    let mut load = "";
    for one in series {
        if one.load != load {
            load = &one.load;
            let _ = writeln!(out, "{}", paint(load, Style::new().bold()));
        }
        let values: Vec<f64> = one.points.iter().map(|point| point.value).collect();
        let last = values.last().copied().unwrap_or(0.0);
        let _ = writeln!(
            out,
            "  {:<28} {:<SPARK$} {:>10}  {} runs",
            one.figure,
            spark(&values),
            figure(last),
            values.len()
        );
        for step in &one.steps {
            let style = if step.worse > 0.0 { Style::new().red() } else { Style::new().green() };
            let _ = writeln!(out, "      {}", paint(&line(step), style));
        }
    }
    out
}

/// A change of level, as a line.
pub(crate) fn line(step: &Step) -> String {
    format!(
        "{} -> {} ({} worse) after {}, up to {}; p {:.3}",
        figure(step.before),
        figure(step.now),
        share(Some(step.worse)),
        step.after,
        step.revision,
        step.p
    )
}

/// The last values as bars of eight heights, from the least to the greatest.
fn spark(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values = &values[values.len().saturating_sub(SPARK)..];
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |value: &f64| {
        let place = if most > least { (value - least) / (most - least) * 7.0 } else { 3.0 };
        BARS[(place.round() as usize).min(7)]
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_line_shows_the_last_values_between_their_ends() {
        assert_eq!(spark(&[1.0, 2.0, 8.0]), "▁▂█");
        assert_eq!(spark(&[5.0; 3]), "▄▄▄");
        assert_eq!(spark(&(0..100).map(f64::from).collect::<Vec<_>>()).chars().count(), SPARK);
    }
}
