//! The JSON schema of scenario files, for editors: keys, types and words, from the same lists that the reader uses.
//!
//! It is wider than `regatta check`, never narrower: what refers to something else in the file is a text here, and
//! wherever a matrix value may stand, `"${key}"` may.

use serde_json::{Map, Value, json};

use super::action::{
    Action, AttachList, CallResult, ConfirmResult, DialResult, PAYLOAD_BYTES_MIN, SpawnResult,
};
use super::build::{NODES_MAX, PROCESSES_MAX, SENDERS_MAX, SLICES_MAX};
use super::fault::{FaultKind, PacketKind, PartitionShape, Target};
use super::load::{Arrivals, LoadModel};
use super::model::{View, World};

/// The schema, in the draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let described = |about: &str, schema: Value| with(schema, "description", json!(about));
    let list = |of: &str| json!({ "type": "array", "items": reference(of) });
    let mut properties = Map::new();
    for (key, about, schema) in [
        (
            "about",
            "Why the scenario exists and what must come out.",
            json!({ "type": "string", "minLength": 1 }),
        ),
        ("tags", "For filters; `long` keeps it out of ordinary runs.", strings()),
        ("seed", "What every random choice comes from.", number("integer", 0)),
        ("timeout", "When the whole run is given up.", reference("duration")),
        (
            "worlds",
            "Where it may run; the first is the default.",
            one_or_many(words(World::ALL.map(World::name))),
        ),
        (
            "matrix",
            "One run for each combination of values.",
            json!({
                "type": "object",
                "additionalProperties": { "type": "array", "minItems": 1,
                    "items": { "type": ["integer", "number", "string", "boolean"] } },
            }),
        ),
        (
            "trust",
            "How nodes prove who they are.",
            json!({
                "type": "object", "additionalProperties": reference("trust"),
            }),
        ),
        ("node", "The nodes.", with(list("node"), "minItems", json!(1))),
        ("network", "What the network is like.", reference("network")),
        ("process", "Processes that run from the start of their node.", list("process")),
        ("step", "What happens, in order.", list("step")),
        ("nemesis", "Random faults, or faults at given times.", list("nemesis")),
        ("expect", "What must hold.", list("expect")),
        ("snapshot", "Views that are compared with an accepted text.", list("snapshot")),
        ("load", "Measured traffic.", list("load")),
        ("gate", "Bounds on figures.", list("gate")),
    ] {
        properties.insert(key.to_owned(), described(about, schema));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A scenario of Regatta",
        "description": "docs/SCENARIOS.md is the reference.",
        "type": "object",
        "properties": properties,
        "required": ["about", "node"],
        "additionalProperties": false,
        "$defs": definitions(),
    })
}

fn definitions() -> Value {
    json!({
        "cell": { "type": "string", "pattern": "\\$\\{[^}]+\\}", "description": "A value of the matrix." },
        "duration": text("^[0-9][0-9_.]* *(us|µs|ms|s|m|h)$", "A duration: 250us, 250ms, 1.5s, 2m, 1h."),
        "size": text("^[0-9][0-9_.]* *(B|kB|MB|GB|KiB|MiB|GiB)$", "A size: 64B, 1kB, 1KiB."),
        "rate": text("^[0-9][0-9_.]* *(bit|kbit|Mbit|Gbit)$", "A bit rate: 50Mbit."),
        "percentage": text("^[0-9][0-9.]* *%$", "A percentage: 8%."),
        "share": either(json!({ "type": "number", "minimum": 0, "maximum": 1 })),
        "point": { "type": "string", "description": "The id of a step, an expectation or a load." },
        "condition": { "type": "string", "description": "A CEL expression over the cluster as observed." },
        "nodes": described_nodes("A node, a group, or a list of them."),
        "target": described_nodes(&format!("Nodes, or a word: {}.", Target::WORDS.join(", "))),
        "receiver": { "oneOf": [{ "type": "string" }, object(&[
            ("global", json!({ "type": "string" })),
            ("process", json!({ "type": "string" })),
            ("name", json!({ "type": "string" })),
            ("node", json!({ "type": "string" })),
        ], &[])] },
        "trust": object(&[
            ("ca", string()), ("role", string()), ("valid_for", reference("duration")), ("claims", string()),
            ("shared", string()),
        ], &[]),
        "node": object(&[
            ("name", string()), ("count", bounded(1, NODES_MAX)), ("trust", string()),
            ("start", words(["auto", "manual"])), ("connect", reference("nodes")), ("pin", boolean()),
            ("spin", reference("duration")), ("connect_all", boolean()), ("hidden", boolean()),
        ], &["name"]),
        "process": object(&[
            ("on", reference("nodes")), ("behaviour", string()), ("label", string()), ("name", string()),
            ("global", string()), ("group", string()), ("args", json!({ "type": "object" })),
            ("count", bounded(1, PROCESSES_MAX)),
        ], &["on", "behaviour"]),
        "network": object(&[
            ("default", reference("link-shape")),
            ("links", json!({ "type": "array", "items": link(&[("from", string()), ("to", string())]) })),
        ], &[]),
        "link-shape": link(&[]),
        "fault": fault(&[], &[]),
        "strike": fault(&[("at", reference("duration"))], &["at"]),
        "nemesis": nemesis(),
        "step": step(),
        "expect": expect(),
        "snapshot": object(
            &[("id", string()), ("after", reference("point")), ("view", view())],
            &["id", "after", "view"],
        ),
        "load": load(),
        "gate": object(&[
            ("metric", json!({ "type": "string", "pattern": "\\." })),
            ("paired", object(
                &[("max_decrease", reference("percentage")), ("max_increase", reference("percentage"))],
                &[],
            )),
            ("exact", json!({ "type": "boolean" })),
            ("level", words(["block", "warn"])),
        ], &["metric"]),
    })
}

fn step() -> Value {
    let node = || object(&[("node", reference("nodes"))], &["node"]);
    let target = || object(&[("node", reference("target"))], &["node"]);
    let ends = [("from", string()), ("to", reference("receiver"))];
    let named = object(&[("process", string()), ("global", string()), ("name", string())], &["process"]);
    let grouped = object(&[("process", string()), ("group", string())], &["process", "group"]);
    let dial = object(
        &[("from", string()), ("to", string()), ("expect", words(DialResult::ALL.map(|(word, _)| word)))],
        &["from", "to"],
    );
    let verb = |verb: &str| match verb {
        "start" | "rotate" | "revoke" => node(),
        "stop" | "pause" | "resume" | "restart" => target(),
        "kill" => object(&[("node", reference("target")), ("process", reference("receiver"))], &[]),
        "spawn" => object(
            &[
                ("from", string()),
                ("on", string()),
                ("factory", string()),
                ("label", string()),
                ("name", string()),
                ("global", string()),
                ("args", json!({ "type": "object" })),
                ("link", boolean()),
                ("monitor", boolean()),
                ("expect", words(SpawnResult::ALL.map(|(word, _)| word))),
            ],
            &["from", "on", "factory"],
        ),
        "send" => object(
            &[
                ends[0].clone(),
                ends[1].clone(),
                ("count", number("integer", 1)),
                ("payload", reference("size")),
                ("senders", bounded(1, SENDERS_MAX)),
            ],
            &["from", "to"],
        ),
        "call" => object(
            &[
                ends[0].clone(),
                ends[1].clone(),
                ("payload", reference("size")),
                ("expect", words(CallResult::ALL.map(|(word, _)| word))),
            ],
            &["from", "to"],
        ),
        "register" => object(
            &[
                ("process", string()),
                ("global", string()),
                ("name", string()),
                ("confirmed", boolean()),
                ("expect", words(ConfirmResult::ALL.map(|(word, _)| word))),
            ],
            &["process"],
        ),
        "unregister" => named.clone(),
        "join" | "leave" => grouped.clone(),
        "link" | "monitor" => object(&ends, &["from", "to"]),
        "exit" => object(
            &[("process", reference("receiver")), ("from", string()), ("reason", string())],
            &["process"],
        ),
        "attach" => object(
            &[
                ("from", string()),
                ("to", string()),
                ("list", words(AttachList::ALL.map(|(word, _)| word))),
                ("run", string()),
                ("expect", one_or_many(string())),
            ],
            &["to"],
        ),
        "await" => reference("condition"),
        "barrier" => json!({ "const": true }),
        "fault" => reference("fault"),
        "heal" | "load" => one_or_many(string()),
        "connect" => one_or_many(dial.clone()),
        "snapshot" => view(),
        _ => reference("duration"),
    };
    let mut properties =
        vec![("id", string()), ("within", reference("duration")), ("for", reference("duration"))];
    properties.extend(Action::VERBS.into_iter().map(|name| (name, verb(name))));
    one_of(object(&properties, &[]), &Action::VERBS)
}

fn fault(more: &[(&'static str, Value)], required: &[&str]) -> Value {
    let kind = |name: &str| match name {
        "partition" => json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "minItems": 2, "items": { "type": "array", "minItems": 1, "items": string() } },
        ] }),
        "loss" | "burst-loss" | "reorder" | "duplicate" | "corrupt" => reference("share"),
        "latency" | "jitter" => reference("duration"),
        "bandwidth" => reference("rate"),
        "mtu" | "drop-nth" => number("integer", 1),
        _ => reference("target"),
    };
    let mut properties = vec![
        ("id", string()),
        ("hold", reference("duration")),
        ("shape", words(PartitionShape::ALL.map(|(word, _)| word))),
        ("burst", number("integer", 1)),
        ("packet", words(PacketKind::ALL.map(|(word, _)| word))),
        ("offset", text("^-?[0-9][0-9_.]* *(us|µs|ms|s|m|h)$", "A duration that may be negative.")),
        ("drift", either(json!({ "type": "number" }))),
        ("from", reference("nodes")),
        ("to", reference("nodes")),
    ];
    properties.extend(FaultKind::NAMES.into_iter().map(|name| (name, kind(name))));
    properties.extend(more.iter().cloned());
    one_of(object(&properties, required), &FaultKind::NAMES)
}

fn nemesis() -> Value {
    let every = object(
        &[("mean", reference("duration")), ("distribution", words(["exponential", "uniform", "constant"]))],
        &["mean"],
    );
    let several = |of: &str| json!({ "type": "array", "minItems": 1, "items": reference(of) });
    let all = object(
        &[
            ("from", reference("point")),
            ("until", reference("point")),
            ("every", every),
            ("faults", several("fault")),
            ("strikes", several("strike")),
        ],
        &[],
    );
    with(all, "oneOf", json!([{ "required": ["every", "faults"] }, { "required": ["strikes"] }]))
}

fn expect() -> Value {
    let rules = ["always", "never", "eventually", "sometimes", "finally", "history"];
    let mut properties = vec![
        ("id", string()),
        ("since", reference("point")),
        ("until", reference("point")),
        ("after", reference("point")),
        ("within", reference("duration")),
    ];
    properties
        .extend(rules.map(|rule| (rule, if rule == "history" { string() } else { reference("condition") })));
    one_of(object(&properties, &["id"]), &rules)
}

fn load() -> Value {
    let goal = object(&[("loss", reference("share")), ("response_p99", reference("duration"))], &[]);
    let part = object(&[("payload", reference("size")), ("weight", number("integer", 1))], &["payload"]);
    let rate = either(json!({ "type": "number", "exclusiveMinimum": 0 }));
    let all = object(
        &[
            ("group", string()),
            ("spawn", object(&[("on", string()), ("factory", string())], &["on", "factory"])),
            ("register", object(&[("on", string())], &["on"])),
            ("id", string()),
            ("after", reference("point")),
            ("from", string()),
            ("to", one_or_many(reference("receiver"))),
            ("model", words(LoadModel::NAMES)),
            ("in_flight", one_or_many(number("integer", 1))),
            ("goal", goal),
            ("rate", rate.clone()),
            ("rate_end", rate),
            ("arrivals", words(Arrivals::ALL.map(|(word, _)| word))),
            (
                "payload",
                with(reference("size"), "description", json!(format!("At least {PAYLOAD_BYTES_MIN}B."))),
            ),
            ("mix", json!({ "type": "array", "items": part })),
            ("senders", bounded(1, SENDERS_MAX)),
            ("warmup", reference("duration")),
            ("work", reference("duration")),
            ("duration", reference("duration")),
            ("messages", number("integer", 1)),
            ("slices", bounded(1, SLICES_MAX)),
        ],
        &["id", "from", "model"],
    );
    one_of(all, &["to", "group", "spawn", "register"])
}

fn link(more: &[(&'static str, Value)]) -> Value {
    let mut properties = vec![
        ("latency", reference("duration")),
        ("jitter", reference("duration")),
        ("loss", reference("share")),
        ("duplicate", reference("share")),
        ("reorder", reference("share")),
        ("bandwidth", reference("rate")),
        ("mtu", bounded(1, 65_535)),
    ];
    properties.extend(more.iter().cloned());
    let required: Vec<&str> = more.iter().map(|(key, _)| *key).collect();
    object(&properties, &required)
}

fn view() -> Value {
    words(View::ALL.map(View::name))
}

/// An object with these keys and no others.
fn object(properties: &[(&'static str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(key, schema)| ((*key).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// An object that has exactly one of these keys.
fn one_of(object: Value, keys: &[&'static str]) -> Value {
    let each: Vec<Value> = keys.iter().map(|key| json!({ "required": [key] })).collect();
    with(object, "oneOf", json!(each))
}

fn with(mut schema: Value, key: &str, value: Value) -> Value {
    schema[key] = value;
    schema
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn boolean() -> Value {
    either(json!({ "type": "boolean" }))
}

fn strings() -> Value {
    one_or_many(string())
}

fn text(pattern: &str, about: &str) -> Value {
    let cell = "\\$\\{[^}]+\\}";
    json!({ "type": "string", "pattern": format!("({pattern})|({cell})"), "description": about })
}

fn number(kind: &str, least: u64) -> Value {
    either(json!({ "type": kind, "minimum": least }))
}

fn bounded(least: u64, most: u64) -> Value {
    either(json!({ "type": "integer", "minimum": least, "maximum": most }))
}

/// A value, or one of the matrix.
fn either(schema: Value) -> Value {
    json!({ "anyOf": [schema, reference("cell")] })
}

/// One of these words, or a value of the matrix.
fn words<const N: usize>(words: [&str; N]) -> Value {
    either(json!({ "enum": words.to_vec() }))
}

fn one_or_many(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "array", "items": schema }] })
}

fn described_nodes(about: &str) -> Value {
    with(one_or_many(string()), "description", json!(about))
}
