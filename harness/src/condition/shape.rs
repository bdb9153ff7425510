//! What an observation looks like, and the check of an expression against it.
//!
//! The table below is the vocabulary of conditions; `docs/SCENARIOS.md` tells the same to users, and a test compares
//! the two. The check follows each value through fields, indexes and macros, and complains only about what it knows to
//! be wrong: where it cannot tell the shape, it lets everything pass.

use std::collections::BTreeSet;

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::macros::Macro;
use super::{CompileError, Places};
use crate::diagnostic::suggestion;

/// The ids that a scenario declares.
#[derive(Debug, Clone, Default)]
pub struct Ids {
    /// Ids of steps.
    pub steps: BTreeSet<String>,
    /// Ids of faults.
    pub faults: BTreeSet<String>,
    /// Ids of loads.
    pub loads: BTreeSet<String>,
    /// Labels of processes that count what they receive; `None` accepts any key of `received`.
    pub labels: Option<BTreeSet<String>>,
}

/// What is known about a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Nothing.
    Any,
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list of such values.
    List(&'static Shape),
    /// A record with exactly these fields.
    Record(&'static str, &'static [(&'static str, Shape)]),
    /// A map from a kind of id to such values.
    ById(IdKind, &'static Shape),
    /// A map from any text to such values.
    MapOf(&'static Shape),
}

/// Which ids are the keys of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdKind {
    Step,
    Fault,
    Load,
    Label,
}

const TEXTS: Shape = Shape::List(&Shape::Text);

const PROCESS: Shape =
    Shape::Record("a process", &[("label", Shape::Text), ("names", TEXTS), ("mailbox", Shape::Number)]);

const NODE: Shape = Shape::Record(
    "a node",
    &[
        ("name", Shape::Text),
        ("trust", Shape::Text),
        ("running", Shape::Bool),
        ("members", TEXTS),
        ("links", TEXTS),
        ("names", Shape::MapOf(&Shape::Text)),
        ("names_count", Shape::Number),
        ("names_digest", Shape::Text),
        ("groups", Shape::MapOf(&TEXTS)),
        ("processes", Shape::List(&PROCESS)),
        ("view", Shape::Text),
        ("nodes_down", Shape::Number),
        ("links_down", Shape::Number),
        ("memory_kib", Shape::Number),
        ("handshakes_refused", Shape::Number),
        ("messages_dropped", Shape::Number),
    ],
);

const SIDE: Shape = Shape::Record("a side", &[("nodes", TEXTS), ("owners", TEXTS)]);

const NAME: Shape =
    Shape::Record("a name", &[("name", Shape::Text), ("owners", TEXTS), ("sides", Shape::List(&SIDE))]);

const RECEIVED: Shape = Shape::Record(
    "a receiver",
    &[
        ("messages", Shape::Number),
        ("bytes", Shape::Number),
        ("senders", Shape::Number),
        ("out_of_order", Shape::Number),
        ("corrupt", Shape::Number),
        ("duplicates", Shape::Number),
        ("gaps", Shape::Number),
        ("uninvited", Shape::Number),
        ("calls", Shape::Number),
        ("calls_failed", Shape::Number),
    ],
);

const STEP: Shape =
    Shape::Record("a step", &[("outcome", Shape::Text), ("reply", Shape::Any), ("error", Shape::Text)]);

const DOWN: Shape = Shape::Record(
    "a down",
    &[
        ("watcher", Shape::Text),
        ("process", Shape::Text),
        ("kind", Shape::Text),
        ("reason", Shape::Text),
        ("count", Shape::Number),
    ],
);

const FAULT: Shape = Shape::Record(
    "a fault",
    &[
        ("active", Shape::Bool),
        ("lasted_ms", Shape::Number),
        ("dropped", Shape::Number),
        ("delayed", Shape::Number),
        ("duplicated", Shape::Number),
        ("corrupted", Shape::Number),
        ("hits", Shape::Number),
    ],
);

const LOAD: Shape = Shape::Record(
    "a load",
    &[
        ("done", Shape::Bool),
        ("requests", Shape::Number),
        ("replies", Shape::Number),
        ("errors", Shape::Number),
        ("out_of_order", Shape::Number),
        ("in_flight", Shape::Number),
        ("rate", Shape::Number),
        ("mean_us", Shape::Number),
        ("p50_us", Shape::Number),
        ("p90_us", Shape::Number),
        ("p99_us", Shape::Number),
        ("p999_us", Shape::Number),
        ("max_us", Shape::Number),
        ("cpu_us_per_message", Shape::Number),
        ("context_switches_per_message", Shape::Number),
        ("datagrams_per_message", Shape::Number),
        ("bytes_per_message", Shape::Any),
        ("socket_calls_per_message", Shape::Any),
        ("allocations_per_message", Shape::Any),
        ("rate_margin", Shape::Any),
        ("times_sealed_udp", Shape::Any),
        ("times_sealed_udp_margin", Shape::Any),
        ("rss_peak_mib", Shape::Number),
    ],
);

/// The fields of the elements of the variable `name`; nothing for a name that is no variable.
///
/// It is for documentation and for those who fill observations: a test holds both to this list.
#[must_use]
pub fn fields(name: &str) -> Vec<&'static str> {
    let shape = VARIABLES.iter().find(|(variable, _)| *variable == name).map(|(_, shape)| *shape);
    match shape {
        Some(Shape::List(Shape::Record(_, fields)) | Shape::ById(_, Shape::Record(_, fields))) => {
            fields.iter().map(|(name, _)| *name).collect()
        }
        _ => Vec::new(),
    }
}

/// The variables of a condition.
pub(super) const VARIABLES: &[(&str, Shape)] = &[
    ("nodes", Shape::List(&NODE)),
    ("names", Shape::List(&NAME)),
    ("received", Shape::ById(IdKind::Label, &RECEIVED)),
    ("steps", Shape::ById(IdKind::Step, &STEP)),
    ("downs", Shape::List(&DOWN)),
    ("faults", Shape::ById(IdKind::Fault, &FAULT)),
    ("loads", Shape::ById(IdKind::Load, &LOAD)),
];

/// The variables, and whether each is a list (otherwise it is a map).
pub(super) fn variables() -> impl Iterator<Item = (&'static str, bool)> {
    VARIABLES.iter().map(|(name, shape)| (*name, matches!(shape, Shape::List(_))))
}

/// Everything in `expression` that an observation cannot have.
pub(super) fn check(
    expression: &IdedExpr,
    places: &Places<'_>,
    ids: &Ids,
    boolean: bool,
) -> Vec<CompileError> {
    let mut check = Check { places, ids, scope: Vec::new(), errors: Vec::new() };
    let shape = check.shape(expression);
    if boolean && check.errors.is_empty() && !matches!(shape, Shape::Any | Shape::Bool) {
        check.errors.push(CompileError {
            message: format!("a condition must be true or false, but this is {}", shape.describe()),
            span: 0..places.source.len(),
            help: Some("compare it with something, for example `nodes.size() == 3`".to_owned()),
        });
    }
    check.errors
}

impl Shape {
    const fn describe(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List(_) => "a list",
            Self::Record(what, _) => what,
            Self::ById(..) | Self::MapOf(_) => "a map",
        }
    }

    const fn element(self) -> Self {
        match self {
            Self::List(element) => *element,
            // A macro over a map goes over its keys.
            Self::ById(..) | Self::MapOf(_) => Self::Text,
            _ => Self::Any,
        }
    }
}

struct Check<'a> {
    places: &'a Places<'a>,
    ids: &'a Ids,
    scope: Vec<(String, Shape)>,
    errors: Vec<CompileError>,
}

impl Check<'_> {
    fn error(&mut self, span: std::ops::Range<usize>, message: String, help: String) {
        self.errors.push(CompileError { message, span, help: Some(help) });
    }

    fn shape(&mut self, expression: &IdedExpr) -> Shape {
        match &expression.expr {
            Expr::Ident(name) => self.variable(expression.id, name),
            Expr::Select(select) => self.select(expression.id, select),
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => Shape::Bool,
                LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Shape::Number,
                LiteralValue::String(_) => Shape::Text,
                LiteralValue::Bytes(_) | LiteralValue::Null => Shape::Any,
            },
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Call(call) => {
                if let Some(target) = &call.target {
                    self.shape(target);
                }
                if self.is_unknown_function(expression.id, &call.func_name) {
                    return Shape::Any;
                }
                let arguments: Vec<Shape> = call.args.iter().map(|argument| self.shape(argument)).collect();
                self.call(expression.id, call, &arguments)
            }
            Expr::List(list) => {
                list.elements.iter().for_each(|element| {
                    self.shape(element);
                });
                Shape::Any
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            self.shape(&entry.key);
                            self.shape(&entry.value);
                        }
                        EntryExpr::StructField(field) => {
                            self.shape(&field.value);
                        }
                    }
                }
                Shape::Any
            }
            Expr::Struct(_) | Expr::Unspecified => Shape::Any,
        }
    }

    fn variable(&mut self, id: u64, name: &str) -> Shape {
        let local = self.scope.iter().rev().find(|(local, _)| local == name).map(|(_, shape)| *shape);
        let variable = || VARIABLES.iter().find(|(variable, _)| *variable == name).map(|(_, shape)| *shape);
        if let Some(shape) = local.or_else(variable) {
            return shape;
        }
        // The names of CEL's types are values too.
        let types = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint", "type"];
        if !types.contains(&name) {
            let locals =
                self.scope.iter().map(|(local, _)| local.as_str()).filter(|local| !local.starts_with('@'));
            let known: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).chain(locals).collect();
            let help = suggestion(name, known, "variables");
            self.error(self.places.token(id), format!("unknown variable `{name}`"), help);
        }
        Shape::Any
    }

    fn select(&mut self, id: u64, select: &SelectExpr) -> Shape {
        let operand = self.shape(&select.operand);
        self.member(id, operand, &select.field)
    }

    /// The shape of the field `field` of something of shape `of`.
    fn member(&mut self, id: u64, of: Shape, field: &str) -> Shape {
        match of {
            Shape::Any => Shape::Any,
            Shape::MapOf(value) => *value,
            Shape::Record(what, fields) => {
                let known = fields.iter().find(|(name, _)| *name == field).map(|(_, shape)| *shape);
                known.unwrap_or_else(|| {
                    let help = suggestion(field, fields.iter().map(|(name, _)| *name), "fields");
                    self.error(self.places.field(id, field), format!("{what} has no field `{field}`"), help);
                    Shape::Any
                })
            }
            Shape::ById(kind, value) => {
                let (what, ids) = match kind {
                    IdKind::Step => ("step", Some(&self.ids.steps)),
                    IdKind::Fault => ("fault", Some(&self.ids.faults)),
                    IdKind::Load => ("load", Some(&self.ids.loads)),
                    IdKind::Label => ("process", self.ids.labels.as_ref()),
                };
                if let Some(ids) = ids.filter(|ids| !ids.contains(field)) {
                    let words = format!("{what} ids");
                    let help = suggestion(field, ids.iter().map(String::as_str), &words);
                    self.error(self.places.field(id, field), format!("unknown {what} `{field}`"), help);
                }
                *value
            }
            Shape::Bool | Shape::Number | Shape::Text | Shape::List(_) => {
                let message = format!("{} has no field `{field}`", of.describe());
                let help = match of {
                    Shape::List(_) => {
                        "look at its elements, for example with `.all(x, …)`, `.exists(x, …)` or `[0]`"
                    }
                    _ => "it is a plain value",
                };
                self.error(self.places.field(id, field), message, help.to_owned());
                Shape::Any
            }
        }
    }

    fn call(&mut self, id: u64, call: &cel::common::ast::CallExpr, arguments: &[Shape]) -> Shape {
        match call.func_name.as_str() {
            operators::INDEX => match (arguments.first(), call.args.get(1).map(|argument| &argument.expr)) {
                (
                    Some(&of @ (Shape::Record(..) | Shape::ById(..))),
                    Some(Expr::Literal(LiteralValue::String(key))),
                ) => {
                    let key = key.inner().to_owned();
                    self.member(id, of, &key)
                }
                (Some(Shape::List(element)), _) => **element,
                (Some(Shape::ById(_, value) | Shape::MapOf(value)), _) => **value,
                _ => Shape::Any,
            },
            operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::EQUALS
            | operators::NOT_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::IN
            | operators::NOT_STRICTLY_FALSE
            | "contains"
            | "startsWith"
            | "endsWith"
            | "matches" => Shape::Bool,
            "size" | "int" | "uint" | "double" => Shape::Number,
            operators::ADD
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::NEGATE => arguments.first().copied().unwrap_or(Shape::Any),
            operators::CONDITIONAL => arguments.get(1).copied().unwrap_or(Shape::Any),
            _ => Shape::Any,
        }
    }

    /// Reports a function that does not exist. Its arguments say nothing then: a misspelt macro has unknown variables.
    fn is_unknown_function(&mut self, id: u64, name: &str) -> bool {
        const MACROS: [&str; 6] = ["all", "exists", "exists_one", "filter", "map", "has"];
        const FUNCTIONS: [&str; 13] = [
            "size",
            "contains",
            "startsWith",
            "endsWith",
            "matches",
            "int",
            "uint",
            "double",
            "string",
            "type",
            "max",
            "min",
            "dyn",
        ];
        // Operators have names such as `_&&_`.
        if FUNCTIONS.contains(&name)
            || !name.chars().all(|c| c.is_alphanumeric() || c == '_')
            || name.starts_with('_')
        {
            return false;
        }
        let span = self.places.callee(id, name);
        if MACROS.contains(&name) {
            let help = format!("for example `nodes.{name}(n, n.running)`");
            self.error(span, format!("`{name}` is used in a way that it is not made for"), help);
        } else {
            let help = suggestion(name, FUNCTIONS.into_iter().chain(MACROS), "functions");
            self.error(span, format!("unknown function `{name}`"), help);
        }
        true
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Shape {
        let range = self.shape(&comprehension.iter_range);
        if matches!(range, Shape::Bool | Shape::Number | Shape::Text) {
            let message = format!("a macro goes over a list, not over {}", range.describe());
            let span = self.places.token(comprehension.iter_range.id);
            self.error(span, message, "for example `nodes.all(n, n.running)`".to_owned());
        }
        let initial = self.shape(&comprehension.accu_init);
        let depth = self.scope.len();
        self.scope.push((comprehension.iter_var.clone(), range.element()));
        if let Some(second) = &comprehension.iter_var2 {
            self.scope.push((second.clone(), Shape::Any));
        }
        self.scope.push((comprehension.accu_var.clone(), initial));
        self.shape(&comprehension.loop_cond);
        self.shape(&comprehension.loop_step);
        let result = self.shape(&comprehension.result);
        self.scope.truncate(depth);
        match Macro::of(comprehension) {
            Some(Macro::Filter(_)) => range,
            _ => result,
        }
    }
}
