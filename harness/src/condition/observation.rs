//! The cluster as observed: the variables of a condition.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use thiserror::Error;

use super::shape;

/// One observation of the cluster.
///
/// It is made from one JSON object, whose keys are the variables of conditions; `docs/SCENARIOS.md` documents them all.
/// A variable that the object leaves out is there all the same, empty, so a condition over loads has a value in a run
/// without any.
#[derive(Debug, Clone)]
pub struct Observation {
    json: serde_json::Value,
    variables: BTreeMap<String, Value>,
}

/// The JSON value is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an observation is a JSON object with a key for each variable")]
pub struct NotAnObservation;

impl Observation {
    /// Takes a JSON object as an observation.
    ///
    /// # Errors
    /// [`NotAnObservation`] when `json` is no object.
    pub fn new(json: serde_json::Value) -> Result<Self, NotAnObservation> {
        let object = json.as_object().ok_or(NotAnObservation)?;
        let mut variables: BTreeMap<String, Value> =
            shape::variables().map(|(name, is_list)| (name.to_owned(), empty(is_list))).collect();
        variables.extend(object.iter().map(|(name, value)| (name.clone(), value_of(value))));
        Ok(Self { json, variables })
    }

    /// The observation as JSON, for reports.
    #[must_use]
    pub const fn json(&self) -> &serde_json::Value {
        &self.json
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.variables.iter()
    }
}

fn empty(is_list: bool) -> Value {
    if is_list { Value::List(Arc::default()) } else { Value::Map(Map { map: Arc::default() }) }
}

/// Integers become CEL's `int` wherever they fit, so that a condition can compare and add them without casts.
fn value_of(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(boolean) => Value::Bool(*boolean),
        serde_json::Value::Number(number) => number
            .as_i64()
            .map(Value::Int)
            .or_else(|| number.as_u64().map(Value::UInt))
            .or_else(|| number.as_f64().map(Value::Float))
            .unwrap_or(Value::Null),
        serde_json::Value::String(text) => Value::String(Arc::new(text.clone())),
        serde_json::Value::Array(values) => Value::List(Arc::new(values.iter().map(value_of).collect())),
        serde_json::Value::Object(object) => {
            let map: HashMap<Key, Value> =
                object.iter().map(|(key, value)| (Key::from(key.clone()), value_of(value))).collect();
            Value::Map(Map { map: Arc::new(map) })
        }
    }
}

/// The longest text of a value in an explanation, in characters; the rest is cut and counted.
const SHOWN_CHARS_MAX: usize = 160;

/// A value as text: JSON-like, map keys in order, cut when it is long.
pub(super) fn show(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    let length = text.chars().count();
    if length > SHOWN_CHARS_MAX {
        text = text.chars().take(SHOWN_CHARS_MAX).collect();
        text.push_str(&format!("… ({} more)", length - SHOWN_CHARS_MAX));
    }
    text
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Int(int) => out.push_str(&int.to_string()),
        Value::UInt(uint) => out.push_str(&uint.to_string()),
        Value::Float(float) => out.push_str(&format!("{float:?}")),
        Value::String(text) => out.push_str(&format!("{text:?}")),
        Value::Bool(boolean) => out.push_str(&boolean.to_string()),
        Value::Null => out.push_str("null"),
        Value::List(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_value(value, out);
            }
            out.push(']');
        }
        Value::Map(map) => {
            // The map hashes; text is told in order.
            let ordered: BTreeMap<String, &Value> =
                map.map.iter().map(|(key, value)| (key.to_string(), value)).collect();
            out.push('{');
            for (index, (key, value)) in ordered.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                out.push_str(&key);
                out.push_str(": ");
                write_value(value, out);
            }
            out.push('}');
        }
        other => out.push_str(&format!("{other:?}")),
    }
}
