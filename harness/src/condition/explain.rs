//! Why a condition does not hold: the value of each part, down to the elements that are to blame.
//!
//! Of an `&&` only the parts that do not hold are told, of a list only the elements that break an `all`. What is left
//! out is counted, never silent.

use std::fmt;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, operators};
use cel::objects::Key;
use cel::{Context, ExecutionError, Value};

use super::macros::Macro;
use super::observation::show;
use super::unparse;

/// The most lines of an explanation; the rest is counted.
pub const LINES_MAX: usize = 40;

/// The most elements of one list that are told apart.
const ELEMENTS_MAX: usize = 5;

/// The value of each part of a condition. Prints as indented lines, without a line end after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The parts, outer before inner.
    pub parts: Vec<Part>,
    /// How many further parts were left out.
    pub left_out: usize,
}

/// One part of a condition and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// How deep it is nested; the condition itself is at 0.
    pub depth: usize,
    /// The part: an expression, or an element such as `n = n3`.
    pub text: String,
    /// Its value, or why it has none; nothing for an element.
    pub value: Option<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}{}", "  ".repeat(part.depth), part.text)?;
            if let Some(value) = &part.value {
                write!(f, " is {value}")?;
            }
        }
        if self.left_out > 0 {
            write!(f, "\n… and {} more", self.left_out)?;
        }
        Ok(())
    }
}

pub(super) fn explain(expression: &IdedExpr, context: &Context<'_, '_>) -> Explanation {
    let mut explanation = Explanation { parts: Vec::new(), left_out: 0 };
    explanation.part(expression, context, 0);
    explanation
}

/// Why an evaluation failed, in words of a scenario rather than of the interpreter.
pub(super) fn show_error(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no `{key}`"),
        ExecutionError::IndexOutOfBounds(index) => format!("the list has no element {}", show(index)),
        ExecutionError::UndeclaredReference(name) => format!("there is no variable `{name}`"),
        ExecutionError::UnexpectedType { got, want } => format!("{want} is needed, but the value is {got}"),
        other => {
            let text = other.to_string();
            let cut: String = text.chars().take(200).collect();
            if cut.len() < text.len() { format!("{cut}…") } else { text }
        }
    }
}

impl Explanation {
    fn line(&mut self, depth: usize, text: String, value: Option<String>) {
        if self.parts.len() < LINES_MAX {
            self.parts.push(Part { depth, text, value });
        } else {
            self.left_out += 1;
        }
    }

    fn part(&mut self, expression: &IdedExpr, context: &Context<'_, '_>, depth: usize) {
        let value = context.resolve(expression);
        let shown = match &value {
            Ok(value) => show(value),
            Err(error) => format!("unknown: {}", show_error(error)),
        };
        self.line(depth, unparse::text(expression), Some(shown));
        match &expression.expr {
            Expr::Call(call) => self.call(call, &value, context, depth + 1),
            Expr::Comprehension(comprehension) => self.elements(comprehension, &value, context, depth + 1),
            Expr::Select(select) if value.is_err() => self.operand(&select.operand, context, depth + 1),
            _ => {}
        }
    }

    fn call(
        &mut self,
        call: &CallExpr,
        value: &Result<Value, ExecutionError>,
        context: &Context<'_, '_>,
        depth: usize,
    ) {
        match call.func_name.as_str() {
            operators::LOGICAL_AND | operators::LOGICAL_OR => {
                // Those that agree with a false `&&` or a true `||` made it so; with anything else, all count.
                let decides = call.func_name == operators::LOGICAL_OR;
                let decided = matches!(value, Ok(Value::Bool(value)) if *value == decides);
                for argument in flattened(call) {
                    let same =
                        matches!(context.resolve(argument), Ok(Value::Bool(value)) if value != decides);
                    if !(decided && same) {
                        self.part(argument, context, depth);
                    }
                }
            }
            operators::LOGICAL_NOT => {
                call.args.iter().for_each(|argument| self.part(argument, context, depth));
            }
            _ => {
                let target = call.target.as_deref().into_iter();
                target.chain(&call.args).for_each(|argument| self.operand(argument, context, depth));
            }
        }
    }

    /// A part of a comparison or a call: told unless the reader sees its value already.
    fn operand(&mut self, expression: &IdedExpr, context: &Context<'_, '_>, depth: usize) {
        let nested_macro = matches!(&expression.expr, Expr::Comprehension(_));
        match (&expression.expr, context.resolve(expression)) {
            (Expr::Literal(_), _) => {}
            (Expr::Ident(_), Ok(Value::List(_) | Value::Map(_))) => {}
            (_, Ok(Value::List(_) | Value::Map(_))) if nested_macro => {
                self.line(
                    depth,
                    unparse::text(expression),
                    context.resolve(expression).ok().map(|value| brief(&value)),
                );
            }
            _ => self.part(expression, context, depth),
        }
    }

    /// The elements that a macro's answer comes from.
    fn elements(
        &mut self,
        comprehension: &ComprehensionExpr,
        value: &Result<Value, ExecutionError>,
        context: &Context<'_, '_>,
        depth: usize,
    ) {
        let Some(found) = Macro::of(comprehension) else { return };
        let (body, wanted) = match (found, value) {
            (Macro::All(body), _) => (body, Some(false)),
            (Macro::Exists(body) | Macro::ExistsOne(body), Ok(Value::Bool(true))) => (body, Some(true)),
            (Macro::Exists(body) | Macro::ExistsOne(body), _) => (body, None),
            (Macro::Filter(_) | Macro::Map(..), _) => return,
        };
        let elements = match context.resolve(&comprehension.iter_range) {
            Ok(Value::List(elements)) => elements.to_vec(),
            Ok(Value::Map(map)) => {
                let mut keys: Vec<&Key> = map.map.keys().collect();
                keys.sort();
                keys.into_iter().map(|key| Value::String(key.to_string().into())).collect()
            }
            Ok(_) => return,
            Err(_) => return self.operand(&comprehension.iter_range, context, depth),
        };
        if elements.is_empty() {
            let text = unparse::text(&comprehension.iter_range);
            return self.line(depth, format!("{text} is empty"), None);
        }
        let mut told = 0;
        let mut left_out = 0;
        for element in elements {
            let mut inner = context.new_inner_scope();
            inner.add_variable_from_value(comprehension.iter_var.clone(), element.clone());
            // An element without an answer is always told.
            let answer = match inner.resolve(body) {
                Ok(Value::Bool(answer)) => Some(answer),
                _ => None,
            };
            if wanted.is_some() && answer.is_some() && answer != wanted {
                continue;
            }
            if told == ELEMENTS_MAX {
                left_out += 1;
                continue;
            }
            told += 1;
            self.line(depth, format!("{} = {}", comprehension.iter_var, brief(&element)), None);
            self.part(body, &inner, depth + 1);
        }
        if left_out > 0 {
            self.line(depth, format!("… and {left_out} more elements"), None);
        }
    }
}

/// The parts of a chain of the same operator: `a`, `b` and `c` of `a && b && c`.
fn flattened(call: &CallExpr) -> Vec<&IdedExpr> {
    let mut parts = Vec::new();
    for argument in &call.args {
        match &argument.expr {
            Expr::Call(inner) if inner.func_name == call.func_name => parts.extend(flattened(inner)),
            _ => parts.push(argument),
        }
    }
    parts
}

/// A value in a few words: a record by its name, a list of records by theirs.
fn brief(value: &Value) -> String {
    match value {
        Value::Map(map) => ["name", "label", "watcher"]
            .into_iter()
            .find_map(|key| match map.map.get(&Key::from(key.to_owned())) {
                Some(Value::String(name)) => Some(name.to_string()),
                _ => None,
            })
            .unwrap_or_else(|| show(value)),
        Value::List(values) if matches!(values.first(), Some(Value::Map(_))) => {
            format!("[{}]", values.iter().map(brief).collect::<Vec<_>>().join(", "))
        }
        other => show(other),
    }
}
