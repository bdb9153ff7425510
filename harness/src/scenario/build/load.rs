//! `[[load]]` and `[[gate]]`.

use super::Build;
use super::step::{SENDERS_MAX, payload};
use crate::diagnostic::suggestion;
use crate::gate::Level;
use crate::scenario::fields::{Fields, integer_in};
use crate::scenario::load::{
    AMOUNT_DEFAULT, Amount, Arrivals, Gate, GateRule, Goal, Load, LoadModel, PAYLOAD_BYTES_DEFAULT,
};
use crate::scenario::problem::Problem;
use crate::scenario::raw::{Span, Table};

/// The most messages that one sender keeps in flight.
const IN_FLIGHT_MAX: u64 = 1 << 20;
/// The most slices of a load.
pub(crate) const SLICES_MAX: u64 = 1_000;

/// A rate above 0.
fn rate_of(fields: &Fields<'_>, key: &'static str) -> Option<f64> {
    let rate = fields.require(key, fields.number(key, "1000"), "1000")?;
    if rate.value > 0.0 {
        return Some(rate.value);
    }
    fields.report(Problem::new(rate.span, format!("`{key}` must be above 0, in messages a second")));
    None
}

impl Build<'_> {
    pub(super) fn loads(&self, fields: &Fields<'_>) -> Vec<Load> {
        fields.tables("load").into_iter().filter_map(|(table, span)| self.load(table, span)).collect()
    }

    fn load(&self, table: &Table, span: Span) -> Option<Load> {
        let fields = Fields::new(table, span.clone(), "[[load]]", self.problems);
        let id = fields.require("id", fields.string("id", "\"latency\""), "\"latency\"");
        let after = self.point(&fields, "after");
        let from = fields.require("from", self.node(&fields, "from"), "\"n1\"");
        let round = self.round(&fields);
        let model = fields.require("model", self.model(&fields), "\"closed\"");
        if let (Some(round), Some(model)) = (&round, &model)
            && !(round.is_one() || model.has_rounds())
        {
            let message = format!("`{}` loads send to one process", model.name());
            let help = "write `to = \"svc/echo\"`, or use `model = \"closed\"`";
            fields.report(Problem::new(fields.span(), message).help(help));
        }
        let payload = payload(&fields).unwrap_or(PAYLOAD_BYTES_DEFAULT);
        let mix = self.mix(&fields);
        let senders = fields.integer("senders", 1..=SENDERS_MAX, "8").map_or(1, |senders| senders.value);
        let warmup = fields.duration("warmup").unwrap_or_default();
        let work = fields.duration("work").unwrap_or_default();
        let duration = fields.time("duration");
        let messages = fields.integer("messages", 1..=u64::MAX, "10000");
        let amount = match (duration, messages) {
            (Some(_), Some(messages)) => {
                let message = "a load ends by `duration` or by `messages`, not by both";
                fields.report(Problem::new(messages.span, message));
                AMOUNT_DEFAULT
            }
            (Some(duration), None) => Amount::Duration(duration),
            (None, Some(messages)) => Amount::Messages(messages.value),
            (None, None) => AMOUNT_DEFAULT,
        };
        let slices = fields.integer("slices", 1..=SLICES_MAX, "12");
        if let (Some(slices), Some(model)) = (&slices, &model)
            && !matches!(model, LoadModel::Closed { in_flight } if in_flight.len() == 1)
        {
            let message = "`slices` are of a `closed` load with one number in flight";
            fields.report(Problem::new(slices.span.clone(), message));
        }
        let slices = slices.map_or(1, |slices| slices.value);
        fields.finish();
        Some(Load {
            id: id?.value,
            line: self.line(&span),
            after,
            from: from?,
            round: round?,
            model: model?,
            payload,
            mix,
            senders,
            warmup,
            amount,
            slices,
            work,
        })
    }

    fn model(&self, fields: &Fields<'_>) -> Option<LoadModel> {
        let model = fields.word("model", &LoadModel::NAMES.map(|name| (name, name)))?;
        let in_flight = || -> Vec<u64> {
            let nodes = fields.list("in_flight").unwrap_or_default();
            let number = |node| integer_in(node, "`in_flight`", &(1..=IN_FLIGHT_MAX), self.problems);
            nodes.into_iter().filter_map(number).map(|number| number.value).collect()
        };
        let arrivals = || fields.word("arrivals", &Arrivals::ALL).unwrap_or(Arrivals::Poisson);
        Some(match model {
            "flood" => LoadModel::Flood,
            "search" => {
                LoadModel::Search { in_flight: in_flight(), goal: self.goal(fields), arrivals: arrivals() }
            }
            "curve" => LoadModel::Curve { goal: self.goal(fields), arrivals: arrivals() },
            "ramp" => {
                let rate = rate_of(fields, "rate");
                let rate_end = rate_of(fields, "rate_end");
                LoadModel::Ramp { rate: rate?, rate_end: rate_end?, arrivals: arrivals() }
            }
            "open" => LoadModel::Open { rate: rate_of(fields, "rate")?, arrivals: arrivals() },
            _ => {
                let numbers = in_flight();
                LoadModel::Closed { in_flight: if numbers.is_empty() { vec![1] } else { numbers } }
            }
        })
    }

    fn mix(&self, fields: &Fields<'_>) -> Vec<(u64, u64)> {
        let tables = fields.tables("mix").into_iter();
        let parts = tables.filter_map(|(table, span)| {
            let own = Fields::new(table, span, "`mix`", self.problems);
            let bytes = own.require("payload", payload(&own), "\"64B\"");
            let weight = own.integer("weight", 1..=1_000_000, "9").map_or(1, |weight| weight.value);
            own.finish();
            Some((bytes?, weight))
        });
        parts.collect()
    }

    fn goal(&self, fields: &Fields<'_>) -> Option<Goal> {
        let node = &fields.entry("goal")?.node;
        let own = Fields::of(node, "`goal`", "goal = { loss = 0, response_p99 = \"20ms\" }", self.problems)?;
        let goal = Goal { loss: own.share("loss"), response_p99: own.duration("response_p99") };
        own.finish();
        Some(goal)
    }

    pub(super) fn gates(&self, fields: &Fields<'_>) -> Vec<Gate> {
        fields.tables("gate").into_iter().filter_map(|(table, span)| self.gate(table, span)).collect()
    }

    fn gate(&self, table: &Table, span: Span) -> Option<Gate> {
        let fields = Fields::new(table, span, "[[gate]]", self.problems);
        let metric =
            fields.require("metric", fields.string("metric", "\"latency.p99_us\""), "\"latency.p99_us\"");
        let levels = [("block", Level::Block), ("warn", Level::Warn)];
        let level = fields.word("level", &levels).unwrap_or(Level::Block);
        let exact = fields.boolean("exact").unwrap_or(false);
        let paired = fields.entry("paired").and_then(|entry| {
            let own =
                Fields::of(&entry.node, "`paired`", "paired = { max_decrease = \"8%\" }", self.problems)?;
            let rule = GateRule::Paired {
                max_decrease: own.percentage("max_decrease"),
                max_increase: own.percentage("max_increase"),
            };
            own.finish();
            Some(rule)
        });
        let rule = match (paired, exact) {
            (Some(rule), false) => Some(rule),
            (None, true) => Some(GateRule::Exact),
            (None, false) if fields.has("paired") => None,
            _ => {
                let problem = Problem::new(fields.span(), "a gate is either `paired` or `exact`");
                fields.report(problem.help("for example `paired = { max_decrease = \"8%\" }`"));
                None
            }
        };
        let bounds = metric.map(|metric| {
            let (load, figure) = metric.value.split_once('.').unwrap_or((metric.value.as_str(), ""));
            let figures = Gate::figures();
            if !self.names.ids.loads.contains(load) {
                let help = suggestion(load, self.names.ids.loads.iter().map(String::as_str), "loads");
                fields.report(Problem::new(metric.span.clone(), format!("unknown load `{load}`")).help(help));
            } else if !figures.contains(&figure) {
                let help = suggestion(figure, figures, "figures");
                fields.report(
                    Problem::new(metric.span.clone(), format!("unknown figure `{figure}`")).help(help),
                );
            }
            (load.to_owned(), figure.to_owned())
        });
        fields.finish();
        let (load, figure) = bounds?;
        Some(Gate { load, figure, rule: rule?, level })
    }
}
