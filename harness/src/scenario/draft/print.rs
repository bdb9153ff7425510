//! A tree as TOML text, in the layout of a file that was written by hand: a heading for each table, a line for each key.

use std::fmt::Write as _;

use crate::scenario::raw::{Node, Table, Value};

/// An array of tables with a heading of its own for each.
const LISTS: [&str; 8] = ["node", "process", "step", "nemesis", "expect", "snapshot", "load", "gate"];
/// Tables with a heading.
const TABLES: [&str; 3] = ["trust", "network", "matrix"];

/// The text of a whole file. Reading it again gives the same tree.
pub(super) fn text(table: &Table) -> String {
    let mut out = String::new();
    // Plain keys come first: behind a heading they would belong to it.
    let (headed, plain): (Vec<_>, Vec<_>) = table.entries.iter().partition(|entry| {
        let list = LISTS.contains(&entry.key.as_str()) && matches!(entry.node.value, Value::Array(_));
        list || (TABLES.contains(&entry.key.as_str()) && matches!(entry.node.value, Value::Table(_)))
    });
    for entry in plain {
        line(&mut out, &entry.key, &entry.node);
    }
    for entry in headed {
        match &entry.node.value {
            Value::Table(inner) => {
                // Writing to a string does not fail, here and below.
                let _ = writeln!(out, "\n[{}]", key(&entry.key));
                lines(&mut out, inner);
            }
            Value::Array(elements) => {
                for element in elements {
                    let _ = writeln!(out, "\n[[{}]]", key(&entry.key));
                    if let Value::Table(inner) = &element.value {
                        lines(&mut out, inner);
                    }
                }
            }
            _ => {}
        }
    }
    out
}

fn lines(out: &mut String, table: &Table) {
    for entry in &table.entries {
        line(out, &entry.key, &entry.node);
    }
}

fn line(out: &mut String, name: &str, node: &Node) {
    let _ = write!(out, "{} = ", key(name));
    match &node.value {
        Value::Array(elements) if elements.iter().any(|it| matches!(it.value, Value::Table(_))) => {
            out.push_str("[\n");
            for element in elements {
                out.push_str("    ");
                inline(out, element);
                out.push_str(",\n");
            }
            out.push(']');
        }
        _ => inline(out, node),
    }
    out.push('\n');
}

fn inline(out: &mut String, node: &Node) {
    match &node.value {
        Value::String(text) => string(out, &text.text),
        Value::Integer(integer) => {
            let _ = write!(out, "{integer}");
        }
        // `{:?}` keeps the point: a float stays one.
        Value::Float(float) => {
            let _ = write!(out, "{float:?}");
        }
        Value::Boolean(boolean) => {
            let _ = write!(out, "{boolean}");
        }
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                inline(out, element);
            }
            out.push(']');
        }
        Value::Table(table) => {
            out.push('{');
            for (index, entry) in table.entries.iter().enumerate() {
                let _ = write!(out, "{} {} = ", if index > 0 { "," } else { "" }, key(&entry.key));
                inline(out, &entry.node);
            }
            out.push_str(" }");
        }
        // A checked file has neither.
        Value::Datetime | Value::Bad => out.push_str("\"\""),
    }
}

/// A text, over several lines if it has several.
fn string(out: &mut String, text: &str) {
    let long = text.contains('\n');
    out.push_str(if long { "\"\"\"\n" } else { "\"" });
    for character in text.chars() {
        match character {
            '\n' => out.push('\n'),
            '\t' => out.push_str("\\t"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            other if other.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(other));
            }
            other => out.push(other),
        }
    }
    out.push_str(if long { "\"\"\"" } else { "\"" });
}

fn key(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(bare) {
        return text.to_owned();
    }
    let mut quoted = String::new();
    string(&mut quoted, text);
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse::parse;
    use crate::scenario::problem::Problems;

    /// The tree without places.
    fn bare(table: &Table) -> String {
        let mut out = String::new();
        for entry in &table.entries {
            let _ = write!(out, "{:?}=", entry.key);
            bare_node(&mut out, &entry.node);
        }
        out
    }

    fn bare_node(out: &mut String, node: &Node) {
        match &node.value {
            Value::Table(table) => {
                let _ = write!(out, "{{{}}}", bare(table));
            }
            Value::Array(elements) => {
                out.push('[');
                elements.iter().for_each(|element| bare_node(out, element));
                out.push(']');
            }
            Value::String(text) => {
                let _ = write!(out, "{:?};", text.text);
            }
            other => {
                let _ = write!(out, "{other:?};");
            }
        }
    }

    fn read(text: &str) -> Table {
        let problems = Problems::default();
        let table = parse(text, &problems);
        assert!(problems.is_empty(), "not valid TOML:\n{text}");
        table
    }

    #[test]
    fn every_shipped_file_reads_the_same_after_it_was_printed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        for file in crate::scenario::discover([folder]).expect("scenarios") {
            let source = std::fs::read_to_string(&file).expect("readable");
            let mut before = read(&source);
            let printed = text(&before);
            let after = read(&printed);
            // Plain keys move to the front.
            before.entries.sort_by_key(|entry| after.entries.iter().position(|it| it.key == entry.key));
            assert_eq!(bare(&before), bare(&after), "{}:\n{printed}", file.display());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_reads_the_same_after_it_was_printed(one in "[\\PC\n\t\"\\\\]{0,20}", name in "\\PC{1,6}") {
            let mut line = format!("{} = ", key(&name));
            string(&mut line, &one);
            let table = read(&line);
            proptest::prop_assert_eq!(&table.entries[0].key, &name);
            let Value::String(read) = &table.entries[0].node.value else { panic!("a string") };
            proptest::prop_assert_eq!(&read.text, &one);
        }
    }
}
