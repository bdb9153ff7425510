//! TOML text to the raw tree. The only file that knows the `toml` crate.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems};
use super::raw::{Entry, Node, Span, Table, Text, Value};

/// Reads `source` as TOML. Syntax errors are reported, and what can be read in spite of them is returned.
pub(super) fn parse(source: &str, problems: &Problems) -> Table {
    let (document, errors) = DeTable::parse_recoverable(source);
    for error in errors {
        let span = error.span().unwrap_or(source.len()..source.len());
        problems.report(Problem::new(span, format!("not valid TOML: {}", error.message().trim())));
    }
    table(document.get_ref(), source, problems)
}

fn table(table: &DeTable<'_>, source: &str, problems: &Problems) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            node: node(value, source, problems),
        })
        .collect();
    // The crate sorts by key; a scenario's matrix and its mistakes are told in file order.
    entries.sort_by_key(|entry| entry.key_span.start);
    Table { entries }
}

fn node(spanned: &Spanned<DeValue<'_>>, source: &str, problems: &Problems) -> Node {
    let span = spanned.span();
    let value = match spanned.get_ref() {
        DeValue::String(text) => Value::String(text_with_origin(text, &span, source)),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(|_| bad(&span, "the integer does not fit into 64 bits", problems), Value::Integer),
        DeValue::Float(float) => match float.as_str().parse::<f64>() {
            Ok(float) if float.is_finite() => Value::Float(float),
            _ => bad(&span, "the float is not a finite number", problems),
        },
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(array) => {
            Value::Array(array.iter().map(|value| node(value, source, problems)).collect())
        }
        DeValue::Table(inner) => Value::Table(table(inner, source, problems)),
    };
    Node { span, value }
}

fn bad(span: &Span, message: &str, problems: &Problems) -> Value {
    problems.report(Problem::new(span.clone(), message));
    Value::Bad
}

/// Pairs a decoded string with the bytes of the file it came from.
///
/// The decoder below follows TOML 1.1's four string forms. It is checked against what the `toml` crate decoded; should
/// they ever disagree, every byte is taken to come from the string as a whole, so a caret is coarse but never wrong.
fn text_with_origin(text: &str, span: &Span, source: &str) -> Text {
    let raw = source.get(span.clone()).unwrap_or_default();
    let decoded = decode(raw).filter(|(decoded, _)| decoded == text);
    let origin = decoded.map_or_else(
        || vec![span.start; text.len() + 1],
        |(_, offsets)| offsets.into_iter().map(|at| span.start + at).collect(),
    );
    Text { text: text.to_owned(), origin }
}

/// The value of the string literal `raw`, and for each of its bytes and its end the offset in `raw`.
fn decode(raw: &str) -> Option<(String, Vec<usize>)> {
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| raw.starts_with(quote))?;
    let inner_end = raw.len().checked_sub(quote.len()).filter(|&end| end >= quote.len())?;
    let literal = quote.starts_with('\'');
    let mut at = quote.len();
    if quote.len() == 3 {
        let body = &raw[at..];
        at += if body.starts_with("\r\n") { 2 } else { usize::from(body.starts_with('\n')) };
    }
    let (mut text, mut offsets) = (String::new(), Vec::new());
    let mut push = |character: char, from: usize| {
        text.push(character);
        offsets.extend(std::iter::repeat_n(from, character.len_utf8()));
    };
    while at < inner_end {
        let rest = &raw[at..inner_end];
        let character = rest.chars().next()?;
        if character == '\r' && rest.starts_with("\r\n") {
            // A multi-line string's line ends are normalised by the parser.
            push('\n', at);
            at += 2;
        } else if character != '\\' || literal {
            push(character, at);
            at += character.len_utf8();
        } else {
            let (decoded, length) = escape(rest)?;
            if let Some(decoded) = decoded {
                push(decoded, at);
            }
            at += length;
        }
    }
    offsets.push(inner_end);
    Some((text, offsets))
}

/// The character that the escape at the start of `rest` stands for (none for a line's continuation), and its length.
fn escape(rest: &str) -> Option<(Option<char>, usize)> {
    let hex = |digits: usize| {
        let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
        Some((Some(char::from_u32(code)?), 2 + digits))
    };
    let simple = |character: char| Some((Some(character), 2));
    match rest.chars().nth(1)? {
        'b' => simple('\u{8}'),
        't' => simple('\t'),
        'n' => simple('\n'),
        'f' => simple('\u{c}'),
        'r' => simple('\r'),
        'e' => simple('\u{1b}'),
        '"' => simple('"'),
        '\\' => simple('\\'),
        'x' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        _ => Some((None, rest.len() - rest[1..].trim_start().len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(source: &str) -> Text {
        let problems = Problems::default();
        let table = parse(source, &problems);
        assert!(problems.is_empty(), "{source:?} is not valid");
        match &table.entries[0].node.value {
            Value::String(text) => text.clone(),
            other => panic!("{other:?} is not a string"),
        }
    }

    #[test]
    fn every_form_of_string_keeps_the_place_of_each_of_its_letters() {
        let forms = [
            r#"k = "a Z b""#,
            r"k = 'a Z b'",
            "k = \"\"\"\na Z b\"\"\"",
            "k = '''\r\na Z b'''",
            r#"k = "\ta\\ \"\u00e9 Z b""#,
            r#"k = "\x41\e Z b""#,
            "k = \"\"\"one \\\n    two Z b\"\"\"",
            "k = \"日本 Z b\"",
        ];
        for source in forms {
            let text = text_of(source);
            let at = text.text.find('Z').expect("each form has a Z");
            assert_eq!(&source[text.place(at..at + 1)], "Z", "in {source:?}");
        }
    }

    #[test]
    fn entries_come_in_the_order_of_the_file() {
        let table = parse("z = 1\na = 2\nm = 3\n", &Problems::default());
        let keys: Vec<&str> = table.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["z", "a", "m"]);
    }

    #[test]
    fn a_number_that_does_not_fit_is_reported_and_passed_over() {
        let problems = Problems::default();
        let table = parse("a = 99999999999999999999\nb = inf\n", &problems);
        assert!(table.entries.iter().all(|entry| matches!(entry.node.value, Value::Bad)));
        assert_eq!(problems.into_diagnostics("f", "").len(), 2);
    }
}
