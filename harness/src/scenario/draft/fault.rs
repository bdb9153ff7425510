//! A fault of the model as a table of a file.

use std::time::Duration;

use super::{float, integer, list, set, text};
use crate::scenario::fault::{Fault, FaultKind, PacketKind, PartitionShape, Path, Sides, Target};
use crate::scenario::raw::{Node, Table};

/// A duration as files write it, cut to whole microseconds.
pub(super) fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0 => "0s".to_owned(),
        _ if micros.is_multiple_of(1_000_000) => format!("{}s", micros / 1_000_000),
        _ if micros.is_multiple_of(1_000) => format!("{}ms", micros / 1_000),
        _ => format!("{micros}us"),
    }
}

/// The table that reads as this fault.
pub(super) fn table(fault: &Fault) -> Table {
    let mut table = Table::default();
    if let Some(id) = &fault.id {
        set(&mut table, "id", text(id));
    }
    kind(&mut table, &fault.kind);
    if let Some(hold) = fault.hold {
        set(&mut table, "hold", text(&duration(hold)));
    }
    table
}

fn kind(table: &mut Table, kind: &FaultKind) {
    let name = kind.name();
    match kind {
        FaultKind::Partition { sides, shape } => {
            let value = match sides {
                Sides::Named(sides) => list(sides.iter().map(|side| names(side)).collect()),
                Sides::Against(target) => self::target(target),
            };
            set(table, name, value);
            if *shape != PartitionShape::Symmetric {
                set(table, "shape", word(&PartitionShape::ALL, *shape));
            }
        }
        FaultKind::Isolate(nodes)
        | FaultKind::Rebind(nodes)
        | FaultKind::Pause(nodes)
        | FaultKind::Crash(nodes)
        | FaultKind::CpuHog(nodes)
        | FaultKind::Expire(nodes)
        | FaultKind::RevokeCertificate(nodes) => set(table, name, target(nodes)),
        FaultKind::Clock { nodes, offset_ms, drift } => {
            set(table, name, target(nodes));
            if *offset_ms != 0 {
                let sign = if *offset_ms < 0 { "-" } else { "" };
                let by = duration(Duration::from_millis(offset_ms.unsigned_abs()));
                set(table, "offset", text(&format!("{sign}{by}")));
            }
            if *drift != 0.0 {
                set(table, "drift", float(*drift));
            }
        }
        FaultKind::Loss(share, path)
        | FaultKind::Reorder(share, path)
        | FaultKind::Duplicate(share, path)
        | FaultKind::Corrupt(share, path) => {
            set(table, name, float(*share));
            along(table, path);
        }
        FaultKind::BurstLoss { share, burst, path } => {
            set(table, name, float(*share));
            set(table, "burst", integer(*burst));
            along(table, path);
        }
        FaultKind::Latency(by, path) | FaultKind::Jitter(by, path) => {
            set(table, name, text(&duration(*by)));
            along(table, path);
        }
        FaultKind::Bandwidth(bits, path) => {
            set(table, name, text(&format!("{bits}bit")));
            along(table, path);
        }
        FaultKind::Mtu(bytes, path) => {
            set(table, name, integer(*bytes));
            along(table, path);
        }
        FaultKind::DropNth { nth, packet, path } => {
            set(table, name, integer(*nth));
            set(table, "packet", word(&PacketKind::ALL, *packet));
            along(table, path);
        }
    }
}

fn along(table: &mut Table, path: &Path) {
    for (key, nodes) in [("from", &path.from), ("to", &path.to)] {
        if let Some(nodes) = nodes {
            set(table, key, names(nodes));
        }
    }
}

fn target(target: &Target) -> Node {
    match target {
        Target::One => text("one"),
        Target::Minority => text("minority"),
        Target::Majority => text("majority"),
        Target::All => text("all"),
        Target::Nodes(nodes) if nodes.len() == 1 => text(&nodes[0]),
        Target::Nodes(nodes) => names(nodes),
    }
}

fn names(names: &[String]) -> Node {
    list(names.iter().map(|name| text(name)).collect())
}

fn word<T: PartialEq>(all: &[(&'static str, T)], wanted: T) -> Node {
    text(all.iter().find(|(_, value)| *value == wanted).map_or("", |(word, _)| word))
}
