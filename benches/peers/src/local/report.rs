//! Figures in, a table or JSON out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use regatta_benches::local::Probe;
use serde_json::json;

use super::SYSTEMS;

/// All figures so far, by round; a system that does not do a probe has none for it.
#[derive(Default)]
pub(crate) struct Results(BTreeMap<Probe, BTreeMap<String, Vec<f64>>>);

/// One system at one probe.
struct Row {
    system: &'static str,
    median: f64,
    min: f64,
    max: f64,
    /// Median over the rounds of the base's figure against this one's, so that more is better for it.
    ratio: Option<f64>,
}

impl Results {
    pub(crate) fn add(&mut self, probe: Probe, system: &str, figure: Option<f64>) {
        let rounds = self.0.entry(probe).or_default();
        if let Some(figure) = figure {
            rounds.entry(system.to_owned()).or_default().push(figure);
        }
    }

    fn rows(&self, probe: Probe) -> Vec<Row> {
        let rounds = &self.0[&probe];
        let base = SYSTEMS.iter().find_map(|system| Some((*system, rounds.get(*system)?)));
        let row = |system: &'static str| {
            let figures = rounds.get(system)?;
            let ratio = base.filter(|(name, _)| *name != system).and_then(|(_, base)| {
                let ratios: Vec<f64> = figures.iter().zip(base).map(|(mine, base)| mine / base).collect();
                median(&ratios)
            });
            let extreme = |pick: fn(f64, f64) -> f64| figures.iter().copied().reduce(pick);
            Some(Row {
                system,
                median: median(figures)?,
                min: extreme(f64::min)?,
                max: extreme(f64::max)?,
                ratio,
            })
        };
        SYSTEMS.iter().filter_map(|system| row(system)).collect()
    }

    pub(crate) fn table(&self, rounds: usize, scale: u64) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{rounds} rounds, scale {scale}, {} workers, {}",
            super::WORKERS,
            env!("PEERS_RUSTC")
        );
        let _ = writeln!(
            text,
            "{:<12} {:<9} {:>14} {:>14} {:>14}  {:<14} ratio",
            "probe", "system", "median", "min", "max", "unit"
        );
        for probe in self.0.keys() {
            for row in self.rows(*probe) {
                let ratio = row.ratio.map_or_else(|| "base".to_owned(), |ratio| format!("{ratio:.2}"));
                let _ = writeln!(
                    text,
                    "{:<12} {:<9} {:>14} {:>14} {:>14}  {:<14} {ratio}",
                    probe.name(),
                    row.system,
                    grouped(row.median),
                    grouped(row.min),
                    grouped(row.max),
                    probe.unit(),
                );
            }
        }
        text
    }

    pub(crate) fn json(&self, rounds: usize, scale: u64) -> String {
        let rows: Vec<_> = self
            .0
            .keys()
            .flat_map(|probe| self.rows(*probe).into_iter().map(|row| (*probe, row)))
            .map(|(probe, row)| {
                json!({
                    "probe": probe.name(), "system": row.system, "unit": probe.unit(), "median": row.median,
                    "min": row.min, "max": row.max, "ratio": row.ratio,
                })
            })
            .collect();
        let whole = json!({
            "schema": 1, "rounds": rounds, "scale": scale, "workers": super::WORKERS, "rustc": env!("PEERS_RUSTC"),
            "rows": rows,
        });
        format!("{whole:#}")
    }
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// A whole number with commas between thousands.
fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0.0, 999.0, 1_000.0, 1_234_567.4].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_own() {
        let mut results = Results::default();
        for (base, mine) in [(1.0, 2.0), (10.0, 30.0), (100.0, 100.0)] {
            results.add(Probe::Spawn, "rusm-otp", Some(base));
            results.add(Probe::Spawn, "regatta", Some(mine));
        }
        let ratio = results.rows(Probe::Spawn)[1].ratio;
        assert_eq!(ratio, Some(2.0), "the ratios are 2, 3 and 1");
    }
}
