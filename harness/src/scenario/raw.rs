//! What a scenario file says, with the place of every key and value: a TOML tree in file order.
//!
//! Nothing is judged here. A value that a problem has been reported for becomes [`Value::Bad`], which every reader
//! passes over in silence, so one mistake gives one message.

use std::ops::Range;

/// A stretch of the file, in bytes.
pub(super) type Span = Range<usize>;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where the value stands.
    pub(super) span: Span,
    /// The value.
    pub(super) value: Value,
}

/// A TOML value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A string.
    String(Text),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// A boolean.
    Boolean(bool),
    /// A date or time: nothing in a scenario is one.
    Datetime,
    /// An array, or an array of tables.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
    /// A value whose mistake has been reported already.
    Bad,
}

impl Value {
    /// The type as an error message names it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime => "a date or time",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
            Self::Bad => "a value",
        }
    }
}

/// A string, and where each of its bytes came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// The decoded text, matrix values put in.
    pub(super) text: String,
    /// For each byte of `text`, and for its end, the byte of the file that it stands for.
    pub(super) origin: Vec<usize>,
}

impl Text {
    /// Where the bytes `part` of the text stand in the file.
    pub(super) fn place(&self, part: Range<usize>) -> Span {
        let last = self.origin.len() - 1;
        let start = self.origin[part.start.min(last)];
        let end = self.origin[part.end.min(last)];
        start..end.max(start)
    }
}

/// A table, its entries in the order of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// The entries; no key occurs twice.
    pub(super) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) key_span: Span,
    /// The value.
    pub(super) node: Node,
}

impl Table {
    /// The entry with this key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}
