//! The collector of mistakes: reading goes on after the first, so that one check reports them all.

use std::cell::RefCell;

use super::raw::Span;
use crate::diagnostic::{Diagnostic, Place};

/// A mistake at a place of the file that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    span: Span,
    message: String,
    label: Option<String>,
    help: Option<String>,
}

impl Problem {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), label: None, help: None }
    }

    /// What stands under the caret.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// What to do about it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All mistakes of one file so far. The same mistake seen in several matrix cells counts once.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn report(&self, problem: Problem) {
        let mut all = self.0.borrow_mut();
        let known = all.iter().any(|known| known.span == problem.span && known.message == problem.message);
        if !known {
            all.push(problem);
        }
    }

    /// Takes back a report that a later one explains better.
    pub(super) fn withdraw(&self, span: &Span, message: &str) {
        self.0.borrow_mut().retain(|problem| problem.span != *span || problem.message != message);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// The mistakes in the order of the file.
    pub(super) fn into_diagnostics(self, file: &str, text: &str) -> Vec<Diagnostic> {
        let mut problems = self.0.into_inner();
        problems.sort_by_key(|problem| problem.span.start);
        problems
            .into_iter()
            .map(|problem| Diagnostic {
                file: file.to_owned(),
                place: Some(Place::in_text(text, problem.span)),
                message: problem.message,
                label: problem.label,
                help: problem.help,
            })
            .collect()
    }
}
