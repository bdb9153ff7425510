//! Conditions of scenario files: CEL expressions over the cluster as observed.
//!
//! A condition is compiled once, against the shape of an observation, so a misspelt variable or field is found
//! before anything runs. It can then be evaluated against any number of observations, and a failing one can be
//! explained part by part. Nothing here reads a clock, and the same observation gives the same answer and the same
//! explanation, in the same order.

mod explain;
mod macros;
pub(crate) mod observation;
mod shape;
mod unparse;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use cel::common::ast::SourceInfo;
use cel::{Context, Env, Program, Value};
use thiserror::Error;

pub use explain::{Explanation, LINES_MAX, Part};
pub use observation::{NotAnObservation, Observation};
pub use shape::{Ids, fields};

/// The variables of conditions.
pub(crate) fn variables() -> impl Iterator<Item = &'static str> {
    shape::variables().map(|(name, _)| name)
}

/// The standard CEL environment: a constant table of functions and macros.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled condition. Cheap to clone; two are equal when their source is.
#[derive(Clone)]
pub struct Condition {
    source: Arc<str>,
    program: Arc<Program>,
}

/// Why a condition does not compile, and where in its source.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct CompileError {
    /// What is wrong: a lowercase fragment.
    pub message: String,
    /// The bytes of the source that are meant.
    pub span: Range<usize>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Why a condition has no value for an observation. It counts as not met.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConditionError {
    /// The expression failed, for example an index past the end of a list or a missing key.
    #[error("the condition cannot be evaluated: {0}")]
    Evaluation(String),
    /// The expression has a value, but neither true nor false.
    #[error("the condition must be true or false, but is {0}")]
    NotABoolean(String),
}

impl Condition {
    /// Compiles `source`. `ids` are the ids that the scenario declares: `steps.<id>`, `faults.<id>` and `loads.<id>`
    /// are checked against them.
    ///
    /// # Errors
    /// Every mistake that was found: syntax, unknown variables, unknown fields, unknown ids, or a value that can be
    /// neither true nor false.
    pub fn compile(source: &str, ids: &Ids) -> Result<Self, Vec<CompileError>> {
        Self::compiled(source, ids, true)
    }

    /// Compiles an expression that may have any value, to be [explained](Self::explain).
    ///
    /// # Errors
    /// As for [`compile`](Self::compile), but for the value.
    pub(crate) fn compile_value(source: &str, ids: &Ids) -> Result<Self, Vec<CompileError>> {
        Self::compiled(source, ids, false)
    }

    fn compiled(source: &str, ids: &Ids, boolean: bool) -> Result<Self, Vec<CompileError>> {
        let program = STANDARD.compile(source).map_err(|errors| {
            let first_line = errors.errors.iter().map(|error| error.pos.0).min();
            errors
                .errors
                .iter()
                // After the first broken place the parser guesses; what it says about other lines only distracts.
                .filter(|error| Some(error.pos.0) == first_line)
                .take(1)
                .map(|error| syntax_error(source, error))
                .collect::<Vec<_>>()
        })?;
        let errors =
            shape::check(program.expression(), &Places::new(source, program.source_info()), ids, boolean);
        if errors.is_empty() {
            Ok(Self { source: source.into(), program: Arc::new(program) })
        } else {
            Err(errors)
        }
    }

    /// The text of the condition.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Every word of the condition: whatever variable or field it speaks of is among them.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.source.split(|c: char| !c.is_alphanumeric() && c != '_')
    }

    /// Whether the condition holds for `observation`.
    ///
    /// # Errors
    /// [`ConditionError`] when there is no answer; a caller counts that as not met, as the thing that the condition
    /// speaks of may not exist yet.
    pub fn evaluate(&self, observation: &Observation) -> Result<bool, ConditionError> {
        match self.program.execute(&context(observation)) {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(other) => Err(ConditionError::NotABoolean(observation::show(&other))),
            Err(error) => Err(ConditionError::Evaluation(explain::show_error(&error))),
        }
    }

    /// The value of each part of the condition for `observation`: what a report prints under a condition that does not
    /// hold.
    #[must_use]
    pub fn explain(&self, observation: &Observation) -> Explanation {
        explain::explain(self.program.expression(), &context(observation))
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({:?})", self.source)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

fn context(observation: &Observation) -> Context<'static, 'static> {
    let mut context = Context::with_env(Arc::clone(&STANDARD));
    for (name, value) in observation.variables() {
        context.add_variable_from_value(name, value.clone());
    }
    context
}

fn syntax_error(source: &str, error: &cel::ParseError) -> CompileError {
    let (line, column) = error.pos;
    let line = usize::try_from(line - 1).unwrap_or(0);
    let column = usize::try_from(column - 1).unwrap_or(0);
    let start = source.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    let at = source.get(start..).map_or(source.len(), |rest| {
        start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    });
    let length = source[at..].chars().next().map_or(0, char::len_utf8);
    let message = error.msg.lines().next().unwrap_or_default();
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    // The grammar's own token lists are long and say nothing to a reader of a scenario.
    let message = message.split(" expecting {").next().unwrap_or_default();
    CompileError {
        message: format!("not a valid condition: {message}"),
        span: at..at + length,
        help: Some("conditions are CEL, for example `nodes.all(n, n.members.size() == 3)`".to_owned()),
    }
}

/// Where the parts of an expression stand in its source.
struct Places<'a> {
    source: &'a str,
    info: &'a SourceInfo,
}

impl<'a> Places<'a> {
    const fn new(source: &'a str, info: &'a SourceInfo) -> Self {
        Self { source, info }
    }

    /// The bytes of the token that stands for the expression `id`: an identifier, an operator, a dot.
    fn token(&self, id: u64) -> Range<usize> {
        self.info.offset_for(id).map_or(0..self.source.len(), |(start, stop)| {
            let start = self.boundary(start as usize);
            start..self.boundary(stop as usize + 1).max(start)
        })
    }

    /// The first place at or after `at` where a character begins.
    fn boundary(&self, at: usize) -> usize {
        (at..self.source.len()).find(|&at| self.source.is_char_boundary(at)).unwrap_or(self.source.len())
    }

    /// The bytes of the function's name in the call `id`, whose token is its parenthesis.
    fn callee(&self, id: u64, name: &str) -> Range<usize> {
        let token = self.token(id);
        let found = self.source[..token.start].rfind(name).map(|at| at..at + name.len());
        found
            .filter(|found| self.source[found.end..token.start].trim().is_empty())
            .unwrap_or_else(|| self.field(id, name))
    }

    /// The bytes of the identifier `field` that follows the token of `id`.
    fn field(&self, id: u64, field: &str) -> Range<usize> {
        let from = self.token(id).start;
        let found = self.source[from..].find(field).map(|at| from + at..from + at + field.len());
        found.unwrap_or_else(|| self.token(id))
    }
}

#[cfg(test)]
mod tests;
