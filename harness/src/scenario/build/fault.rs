//! `fault` steps, `[[nemesis]]` and `[network]`.

use std::time::Duration;

use super::Build;
use super::step::signed_millis;
use crate::scenario::fault::{
    Fault, FaultKind, LinkShape, NetworkShape, PacketKind, PartitionShape, Path, Sides, Target,
};
use crate::scenario::fields::{At, Fields};
use crate::scenario::model::{Distribution, Nemesis, Strikes};
use crate::scenario::problem::Problem;
use crate::scenario::raw::{Node, Value};

impl Build<'_> {
    /// The fault that a table describes; the caller refuses what is left over.
    pub(super) fn fault(&self, fields: &Fields<'_>) -> Option<Fault> {
        let id = fields.string("id", "\"cut\"").map(|id| id.value);
        let hold = fields.duration("hold");
        let present: Vec<&'static str> =
            FaultKind::NAMES.into_iter().filter(|name| fields.entry(name).is_some()).collect();
        let kind = match present.as_slice() {
            [kind] => self.fault_kind(kind, fields),
            [] => {
                let help = format!("name one of: {}", FaultKind::NAMES.join(", "));
                fields.report(
                    Problem::new(fields.span(), "this fault does not say what goes wrong").help(help),
                );
                None
            }
            [first, second, ..] => {
                let message = format!("one fault is one thing, but this has `{first}` and `{second}`");
                fields.report(Problem::new(fields.span(), message).help("write a fault for each"));
                None
            }
        };
        kind.map(|kind| Fault { id, kind, hold })
    }

    fn fault_kind(&self, kind: &'static str, fields: &Fields<'_>) -> Option<FaultKind> {
        let whole = |key: &'static str| fields.integer(key, 1..=1 << 30, "1").map(|number| number.value);
        Some(match kind {
            "partition" => self.partition(fields)?,
            "isolate" => FaultKind::Isolate(self.target(fields, kind)?),
            "loss" => FaultKind::Loss(fields.share(kind)?, self.path(fields)),
            "burst-loss" => {
                let burst = whole("burst").unwrap_or(8);
                FaultKind::BurstLoss { share: fields.share(kind)?, burst, path: self.path(fields) }
            }
            "latency" => FaultKind::Latency(fields.duration(kind)?, self.path(fields)),
            "jitter" => FaultKind::Jitter(fields.duration(kind)?, self.path(fields)),
            "reorder" => FaultKind::Reorder(fields.share(kind)?, self.path(fields)),
            "duplicate" => FaultKind::Duplicate(fields.share(kind)?, self.path(fields)),
            "corrupt" => FaultKind::Corrupt(fields.share(kind)?, self.path(fields)),
            "bandwidth" => FaultKind::Bandwidth(fields.bit_rate(kind)?, self.path(fields)),
            "mtu" => FaultKind::Mtu(whole(kind)?, self.path(fields)),
            "drop-nth" => {
                let packet = fields.word("packet", &PacketKind::ALL).unwrap_or(PacketKind::Opening);
                FaultKind::DropNth { nth: whole(kind)?, packet, path: self.path(fields) }
            }
            "rebind" => FaultKind::Rebind(self.target(fields, kind)?),
            "pause" => FaultKind::Pause(self.target(fields, kind)?),
            "crash" => FaultKind::Crash(self.target(fields, kind)?),
            "cpu-hog" => FaultKind::CpuHog(self.target(fields, kind)?),
            "clock" => {
                let offset_ms = signed_millis(fields, "offset").unwrap_or(0);
                let drift = self.drift(fields).unwrap_or(0.0);
                if !fields.has("offset") && !fields.has("drift") {
                    let problem = Problem::new(fields.span(), "a `clock` that is neither off nor drifts");
                    self.problems.report(problem.help("add `offset = \"-10s\"` or `drift = 0.01`"));
                }
                FaultKind::Clock { nodes: self.target(fields, kind)?, offset_ms, drift }
            }
            "expire" => FaultKind::Expire(self.target(fields, kind)?),
            "revoke" => FaultKind::RevokeCertificate(self.target(fields, kind)?),
            _ => return None,
        })
    }

    /// How much faster a clock runs: it may stand still, and may not run backwards.
    fn drift(&self, fields: &Fields<'_>) -> Option<f64> {
        let At { value, span } = fields.number("drift", "0.01")?;
        if (-1.0..=1.0).contains(&value) {
            return Some(value);
        }
        let message = format!("`drift` is a share from -1 to 1, not {value}");
        self.problems.report(Problem::new(span, message).help("1 percent faster is `drift = 0.01`"));
        None
    }

    fn path(&self, fields: &Fields<'_>) -> Path {
        Path { from: self.nodes(fields, "from"), to: self.nodes(fields, "to") }
    }

    fn partition(&self, fields: &Fields<'_>) -> Option<FaultKind> {
        let shape = fields.word("shape", &PartitionShape::ALL).unwrap_or(PartitionShape::Symmetric);
        let node = &fields.entry("partition")?.node;
        if let Value::String(_) = node.value {
            let words = [
                ("one", Target::One),
                ("minority", Target::Minority),
                ("majority", Target::Majority),
                ("all", Target::All),
            ];
            let found = fields.string("partition", "\"minority\"")?;
            let target = words.into_iter().find(|(word, _)| *word == found.value).map(|(_, target)| target);
            if target.is_none() || (target == Some(Target::All)) != (shape == PartitionShape::Ring) {
                let message = format!("`{}` does not say who is cut off", found.value);
                let help = "use `one`, `minority` or `majority`, or `all` with `shape = \"ring\"`, or a list of sides";
                self.problems.report(Problem::new(found.span, message).help(help));
                return None;
            }
            return target.map(|target| FaultKind::Partition { sides: Sides::Against(target), shape });
        }
        let wrong = |node: &Node| {
            let problem =
                Problem::new(node.span.clone(), "a partition is a list of sides, each a list of nodes");
            self.problems.report(problem.help("for example `partition = [[\"n1\", \"n2\"], [\"rest\"]]`"));
        };
        let Value::Array(lists) = &node.value else {
            wrong(node);
            return None;
        };
        let mut sides: Vec<Vec<String>> = Vec::new();
        let mut rest = None;
        let mut taken: Vec<String> = Vec::new();
        for (index, list) in lists.iter().enumerate() {
            let Value::Array(members) = &list.value else {
                wrong(list);
                return None;
            };
            let mut side = Vec::new();
            for member in members {
                let Value::String(text) = &member.value else {
                    wrong(list);
                    return None;
                };
                let found = At { value: text.text.clone(), span: member.span.clone() };
                if found.value == "rest" {
                    rest = Some(index);
                    continue;
                }
                for name in self.names.nodes(&found, self.problems)? {
                    if taken.contains(&name) {
                        let message = format!("`{name}` is on two sides of the partition");
                        self.problems.report(Problem::new(member.span.clone(), message));
                    }
                    taken.push(name.clone());
                    side.push(name);
                }
            }
            sides.push(side);
        }
        if let Some(index) = rest {
            sides[index].extend(self.names.all_nodes.iter().filter(|name| !taken.contains(name)).cloned());
        }
        if sides.len() < 2 || sides.iter().any(Vec::is_empty) {
            let message = "a partition needs at least two sides, and a node on each";
            self.problems.report(Problem::new(node.span.clone(), message));
        }
        Some(FaultKind::Partition { sides: Sides::Named(sides), shape })
    }

    pub(super) fn nemeses(&self, fields: &Fields<'_>) -> Vec<Nemesis> {
        let read = |(table, span)| {
            let own = Fields::new(table, span, "[[nemesis]]", self.problems);
            let from = self.point(&own, "from");
            let until = self.point(&own, "until");
            let span = own.span();
            let empty = || {
                if self.problems.is_empty() {
                    self.problems.report(Problem::new(span, "the nemesis has no fault to strike with"));
                }
            };
            let strikes = if own.has("strikes") {
                let listed = own.list("strikes").unwrap_or_default();
                let mut strikes: Vec<_> = listed.into_iter().filter_map(|node| self.strike(node)).collect();
                own.finish();
                if strikes.is_empty() {
                    empty();
                }
                strikes.sort_by_key(|(at, _)| *at);
                Strikes::Listed(strikes)
            } else {
                let every = own.require("every", self.every(&own), "{ mean = \"400ms\" }");
                let example = "[{ pause = \"one\", hold = \"300ms\" }]";
                let faults = own.require("faults", own.list("faults"), example);
                own.finish();
                let faults: Vec<Fault> =
                    faults?.into_iter().filter_map(|node| self.nemesis_fault(node)).collect();
                if faults.is_empty() {
                    empty();
                }
                let (every, distribution) = every?;
                Strikes::Random { every, distribution, faults }
            };
            Some(Nemesis { from, until, strikes })
        };
        fields.tables("nemesis").into_iter().filter_map(read).collect()
    }

    fn nemesis_fault(&self, node: &Node) -> Option<Fault> {
        let fields = Fields::of(node, "a fault", "{ pause = \"one\", hold = \"300ms\" }", self.problems)?;
        let fault = self.fault(&fields);
        fields.finish();
        fault
    }

    fn strike(&self, node: &Node) -> Option<(Duration, Fault)> {
        let example = "{ at = \"1.2s\", pause = \"n1\", hold = \"300ms\" }";
        let fields = Fields::of(node, "a strike", example, self.problems)?;
        let at = fields.require("at", fields.duration("at"), "\"1.2s\"");
        let fault = self.fault(&fields);
        fields.finish();
        Some((at?, fault?))
    }

    fn every(&self, fields: &Fields<'_>) -> Option<(Duration, Distribution)> {
        let node = &fields.entry("every")?.node;
        let own = Fields::of(node, "`every`", "every = { mean = \"400ms\" }", self.problems)?;
        let mean = own.require("mean", own.time("mean"), "\"400ms\"");
        let words = [
            ("exponential", Distribution::Exponential),
            ("uniform", Distribution::Uniform),
            ("constant", Distribution::Constant),
        ];
        let distribution = own.word("distribution", &words).unwrap_or(Distribution::Exponential);
        own.finish();
        mean.map(|mean| (mean, distribution))
    }

    pub(super) fn network(&self, fields: &Fields<'_>) -> NetworkShape {
        let Some((table, span)) = fields.table("network", "{ default = { latency = \"5ms\" } }") else {
            return NetworkShape::default();
        };
        let own = Fields::new(table, span, "[network]", self.problems);
        let default = own.entry("default").and_then(|entry| {
            let fields =
                Fields::of(&entry.node, "`default`", "default = { latency = \"5ms\" }", self.problems)?;
            let shape = link_shape(&fields);
            fields.finish();
            Some(shape)
        });
        let links = own
            .list("links")
            .unwrap_or_default()
            .into_iter()
            .filter_map(|node| self.network_link(node))
            .collect();
        own.finish();
        NetworkShape { default: default.unwrap_or_default(), links }
    }

    fn network_link(&self, node: &Node) -> Option<(String, String, LinkShape)> {
        let example = "links = [{ from = \"n1\", to = \"n2\", latency = \"5ms\" }]";
        let fields = Fields::of(node, "`links`", example, self.problems)?;
        let from = fields.require("from", self.node(&fields, "from"), "\"n1\"");
        let to = fields.require("to", self.node(&fields, "to"), "\"n2\"");
        let shape = link_shape(&fields);
        fields.finish();
        Some((from?, to?, shape))
    }
}

fn link_shape(fields: &Fields<'_>) -> LinkShape {
    LinkShape {
        latency: fields.duration("latency"),
        jitter: fields.duration("jitter"),
        loss: fields.share("loss"),
        duplicate: fields.share("duplicate"),
        reorder: fields.share("reorder"),
        bandwidth: fields.bit_rate("bandwidth"),
        mtu: fields.integer("mtu", 1..=65_535, "1200").map(|mtu| mtu.value),
    }
}
