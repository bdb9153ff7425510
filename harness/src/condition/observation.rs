//! The cluster as observed: the variables of a condition.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use thiserror::Error;

use super::shape;

/// One observation of the cluster.
///
/// Its variables are those of conditions; `docs/SCENARIOS.md` documents them all. A variable that nobody fills is there all
/// the same, empty, so a condition over loads has a value in a run without any.
#[derive(Debug, Clone)]
pub struct Observation {
    variables: BTreeMap<&'static str, Value>,
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
    pub fn new(json: &serde_json::Value) -> Result<Self, NotAnObservation> {
        let object = json.as_object().ok_or(NotAnObservation)?;
        Ok(Self::of(shape::variables().filter_map(|(name, _)| Some((name, value_of(object.get(name)?))))))
    }

    /// An observation of these variables.
    pub(crate) fn of(variables: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let mut all: BTreeMap<&'static str, Value> =
            shape::variables().map(|(name, is_list)| (name, empty(is_list))).collect();
        all.extend(variables);
        Self { variables: all }
    }

    /// A variable as JSON; null if there is none of this name.
    pub(crate) fn json(&self, variable: &str) -> serde_json::Value {
        self.variables.get(variable).map_or(serde_json::Value::Null, json_of)
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.variables.iter().map(|(name, value)| (*name, value))
    }
}

fn empty(is_list: bool) -> Value {
    if is_list { Value::List(Arc::default()) } else { Value::Map(Map { map: Arc::default() }) }
}

/// A record with these fields.
pub(crate) fn record<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    map(fields.into_iter())
}

/// A map from texts to values.
pub(crate) fn map<'a>(entries: impl Iterator<Item = (&'a str, Value)>) -> Value {
    let map: HashMap<Key, Value> = entries.map(|(key, value)| (Key::from(key.to_owned()), value)).collect();
    Value::Map(Map { map: Arc::new(map) })
}

/// A list of texts.
pub(crate) fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Value {
    list(texts.into_iter().map(|each| text(each.as_ref())))
}

/// A list.
pub(crate) fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::List(Arc::new(values.into_iter().collect()))
}

/// A text.
pub(crate) fn text(text: &str) -> Value {
    Value::String(Arc::new(text.to_owned()))
}

/// A number that is counted.
pub(crate) fn number(number: u64) -> Value {
    i64::try_from(number).map_or(Value::UInt(number), Value::Int)
}

/// Integers become CEL's `int` wherever they fit, so that a condition can compare and add them without casts.
pub(crate) fn value_of(json: &serde_json::Value) -> Value {
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

/// The way back.
fn json_of(value: &Value) -> serde_json::Value {
    match value {
        Value::Int(int) => (*int).into(),
        Value::UInt(uint) => (*uint).into(),
        Value::Float(float) => (*float).into(),
        Value::String(text) => text.as_str().into(),
        Value::Bool(boolean) => (*boolean).into(),
        Value::List(values) => values.iter().map(json_of).collect(),
        Value::Map(map) => {
            let entry = |(key, value): (&Key, &Value)| (key.to_string(), json_of(value));
            serde_json::Value::Object(map.map.iter().map(entry).collect())
        }
        // Observations hold nothing else.
        _ => serde_json::Value::Null,
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
