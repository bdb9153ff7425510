//! The matrix of a scenario: its cells, and the substitution of their values.
//!
//! `${name}` stands for a value of `[matrix]` and for nothing else. A string that is nothing but `${name}` becomes the
//! value with its type (an integer stays an integer); inside a longer string, such as a condition, it becomes the
//! value's text. Every substituted byte keeps the place of its `${`.

use std::fmt;

use super::problem::{Problem, Problems};
use super::raw::{Node, Table, Text, Value};
use crate::diagnostic::suggestion;

/// The most cells a file may have; above that the file is a mistake, not a test.
pub const CELLS_MAX: usize = 256;

/// One choice of a value for each key of the matrix, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell(Vec<(String, MatrixValue)>);

/// A value of the matrix.
#[derive(Debug, Clone, PartialEq)]
pub enum MatrixValue {
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// A string.
    String(String),
    /// A boolean.
    Boolean(bool),
}

impl Cell {
    /// The keys and their values, in the order of the file.
    pub fn values(&self) -> impl Iterator<Item = (&str, &MatrixValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether the file has no matrix.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, name: &str) -> Option<&MatrixValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// `[nodes=3,loss=0.02]`, or nothing when there is no matrix.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let before = if index == 0 { '[' } else { ',' };
            write!(f, "{before}{key}={value}")?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str("]") }
    }
}

impl fmt::Display for MatrixValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => integer.fmt(f),
            // `{:?}` keeps the point: 0.0 stays a float in a condition.
            Self::Float(float) => write!(f, "{float:?}"),
            Self::String(text) => text.fmt(f),
            Self::Boolean(boolean) => boolean.fmt(f),
        }
    }
}

/// Every cell of the file's matrix, the last key turning fastest. Without a matrix there is one empty cell.
pub(super) fn cells(document: &Table, problems: &Problems) -> Vec<Cell> {
    let Some(entry) = document.get("matrix") else { return vec![Cell::default()] };
    let Value::Table(matrix) = &entry.node.value else {
        if !matches!(entry.node.value, Value::Bad) {
            let message = format!("`matrix` must be a table, not {}", entry.node.value.kind());
            problems.report(
                Problem::new(entry.node.span.clone(), message)
                    .help("for example `[matrix]` with `nodes = [3, 5]`"),
            );
        }
        return vec![Cell::default()];
    };
    let mut cells = vec![Cell::default()];
    for entry in &matrix.entries {
        let values = axis(&entry.key, &entry.node, problems);
        if values.is_empty() {
            // Reported; a single poisoned value keeps `${key}` known.
            for cell in &mut cells {
                cell.0.push((entry.key.clone(), MatrixValue::Integer(1)));
            }
            continue;
        }
        if cells.len() * values.len() > CELLS_MAX {
            let message = format!("the matrix has more than {CELLS_MAX} cells");
            problems
                .report(Problem::new(entry.key_span.clone(), message).label("this key goes past the limit"));
            return cells;
        }
        cells = cells
            .iter()
            .flat_map(|cell| {
                values.iter().map(|value| {
                    let mut longer = cell.clone();
                    longer.0.push((entry.key.clone(), value.clone()));
                    longer
                })
            })
            .collect();
    }
    cells
}

fn axis(key: &str, node: &Node, problems: &Problems) -> Vec<MatrixValue> {
    let example = format!("for example `{key} = [3, 5]`");
    let Value::Array(values) = &node.value else {
        if !matches!(node.value, Value::Bad) {
            let message =
                format!("a matrix key lists its values: expected an array, found {}", node.value.kind());
            problems.report(Problem::new(node.span.clone(), message).help(example));
        }
        return Vec::new();
    };
    if values.is_empty() {
        let message = "a matrix key without values leaves no cell to run";
        problems.report(Problem::new(node.span.clone(), message).help(example));
    }
    let mut axis = Vec::new();
    for node in values {
        let value = match &node.value {
            Value::Integer(integer) => MatrixValue::Integer(*integer),
            Value::Float(float) => MatrixValue::Float(*float),
            Value::Boolean(boolean) => MatrixValue::Boolean(*boolean),
            Value::String(text) => MatrixValue::String(text.text.clone()),
            Value::Bad => continue,
            other => {
                let message = format!("a matrix value cannot be {}", other.kind());
                let help = "use integers, floats, strings or booleans";
                problems.report(Problem::new(node.span.clone(), message).help(help));
                continue;
            }
        };
        if axis.contains(&value) {
            problems.report(Problem::new(node.span.clone(), "this matrix value is listed twice"));
        } else {
            axis.push(value);
        }
    }
    axis
}

/// The document with the values of `cell` put in; the matrix itself is left out.
pub(super) fn substitute(document: &Table, cell: &Cell, problems: &Problems) -> Table {
    let mut table = document.clone();
    table.entries.retain(|entry| entry.key != "matrix");
    for entry in &mut table.entries {
        substitute_node(&mut entry.node, cell, problems);
    }
    table
}

fn substitute_node(node: &mut Node, cell: &Cell, problems: &Problems) {
    match &mut node.value {
        Value::Array(values) => values.iter_mut().for_each(|node| substitute_node(node, cell, problems)),
        Value::Table(table) => {
            table.entries.iter_mut().for_each(|entry| substitute_node(&mut entry.node, cell, problems));
        }
        Value::String(text) if text.text.contains("${") => node.value = substitute_text(text, cell, problems),
        _ => {}
    }
}

fn substitute_text(text: &Text, cell: &Cell, problems: &Problems) -> Value {
    let mut out = Text { text: String::new(), origin: Vec::new() };
    let mut at = 0;
    let mut bad = false;
    while let Some(offset) = text.text[at..].find("${") {
        let start = at + offset;
        out.text.push_str(&text.text[at..start]);
        out.origin.extend_from_slice(&text.origin[at..start]);
        let Some(length) = text.text[start..].find('}') else {
            let place = text.place(start..start + 2);
            problems.report(
                Problem::new(place, "`${` is not closed").help("write `${name}`, with a name of [matrix]"),
            );
            return Value::Bad;
        };
        let name = &text.text[start + 2..start + length];
        let end = start + length + 1;
        match cell.get(name) {
            None => {
                let known = cell.values().map(|(key, _)| key);
                let problem = Problem::new(text.place(start..end), format!("unknown matrix value `{name}`"))
                    .label("not a key of [matrix]")
                    .help(suggestion(name, known, "matrix keys"));
                problems.report(problem);
                bad = true;
            }
            Some(value) if start == 0 && end == text.text.len() => {
                return match value {
                    MatrixValue::Integer(integer) => Value::Integer(*integer),
                    MatrixValue::Float(float) => Value::Float(*float),
                    MatrixValue::Boolean(boolean) => Value::Boolean(*boolean),
                    MatrixValue::String(string) => {
                        let origin = vec![text.origin[start]; string.len() + 1];
                        Value::String(Text { text: string.clone(), origin })
                    }
                };
            }
            Some(value) => {
                let value = value.to_string();
                out.origin.extend(std::iter::repeat_n(text.origin[start], value.len()));
                out.text.push_str(&value);
            }
        }
        at = end;
    }
    if bad {
        return Value::Bad;
    }
    out.text.push_str(&text.text[at..]);
    out.origin.extend_from_slice(&text.origin[at..]);
    Value::String(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse::parse;

    fn document(source: &str) -> (Table, Vec<Cell>, usize) {
        let problems = Problems::default();
        let table = parse(source, &problems);
        let cells = cells(&table, &problems);
        let table = substitute(&table, &cells[0], &problems);
        (table, cells, problems.into_diagnostics("f", source).len())
    }

    #[test]
    fn cells_are_the_product_in_file_order_and_are_named_by_it() {
        let (_, cells, problems) = document("[matrix]\nnodes = [3, 5]\nloss = [0.0, 0.02]\n");
        assert_eq!(problems, 0);
        let names: Vec<String> = cells.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["[nodes=3,loss=0.0]", "[nodes=3,loss=0.02]", "[nodes=5,loss=0.0]", "[nodes=5,loss=0.02]"]
        );
    }

    #[test]
    fn a_whole_string_takes_the_type_and_a_longer_one_the_text() {
        let source = "a = \"${n}\"\nb = \"x == ${n}.\"\nc = \"${s}\"\n[matrix]\nn = [3]\ns = [\"t\"]\n";
        let (table, _, problems) = document(source);
        assert_eq!(problems, 0);
        assert!(matches!(table.get("a").expect("a").node.value, Value::Integer(3)));
        let Value::String(b) = &table.get("b").expect("b").node.value else { panic!("b is a string") };
        assert_eq!(b.text, "x == 3.");
        assert_eq!(&source[b.place(6..7)], ".", "text behind a substitution keeps its place");
        assert!(matches!(&table.get("c").expect("c").node.value, Value::String(c) if c.text == "t"));
    }

    #[test]
    fn values_reach_nested_tables_and_arrays() {
        let (table, ..) = document("a = [{ b = [\"${n}\"] }]\n[matrix]\nn = [7]\n");
        assert!(format!("{table:?}").contains("Integer(7)"));
    }

    #[test]
    fn a_matrix_that_is_wrong_is_reported_once_each() {
        for source in [
            "matrix = 3",
            "[matrix]\nn = 3",
            "[matrix]\nn = []",
            "[matrix]\nn = [[1]]",
            "[matrix]\nn = [1, 1]",
            "a = \"${m}\"\n[matrix]\nn = [1]",
            "a = \"${n\"\n[matrix]\nn = [1]",
        ] {
            assert_eq!(document(source).2, 1, "{source:?}");
        }
    }

    #[test]
    fn a_matrix_has_a_bound() {
        let many: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let axis = many.join(", ");
        let (_, cells, problems) = document(&format!("[matrix]\na = [{axis}]\nb = [{axis}]\n"));
        assert_eq!(problems, 1);
        assert!(cells.len() <= CELLS_MAX);
    }
}
