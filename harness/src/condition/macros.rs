//! CEL's macros, seen again in the loops that the parser writes for them.

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};

/// The macro that a loop was written as, with the expression that it applies to each element.
#[derive(Debug, Clone, Copy)]
pub(super) enum Macro<'a> {
    /// `list.all(x, condition)`.
    All(&'a IdedExpr),
    /// `list.exists(x, condition)`.
    Exists(&'a IdedExpr),
    /// `list.exists_one(x, condition)`.
    ExistsOne(&'a IdedExpr),
    /// `list.filter(x, condition)`.
    Filter(&'a IdedExpr),
    /// `list.map(x, value)` and `list.map(x, condition, value)`.
    Map(Option<&'a IdedExpr>, &'a IdedExpr),
}

impl<'a> Macro<'a> {
    /// The macro behind a loop; nothing for a loop of another form.
    pub(super) fn of(comprehension: &'a ComprehensionExpr) -> Option<Self> {
        let Expr::Call(step) = &comprehension.loop_step.expr else { return None };
        match (&comprehension.accu_init.expr, step.func_name.as_str(), step.args.as_slice()) {
            (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_AND, [_, body]) => {
                Some(Self::All(body))
            }
            (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_OR, [_, body]) => {
                Some(Self::Exists(body))
            }
            (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL, [body, ..]) => {
                Some(Self::ExistsOne(body))
            }
            (Expr::List(_), operators::ADD, [_, element]) => Some(Self::Map(None, only_element(element)?)),
            (Expr::List(_), operators::CONDITIONAL, [condition, add, _]) => {
                let Expr::Call(add) = &add.expr else { return None };
                let element = only_element(add.args.get(1)?)?;
                if matches!(&element.expr, Expr::Ident(name) if *name == comprehension.iter_var) {
                    Some(Self::Filter(condition))
                } else {
                    Some(Self::Map(Some(condition), element))
                }
            }
            _ => None,
        }
    }

    /// The macro's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::All(_) => "all",
            Self::Exists(_) => "exists",
            Self::ExistsOne(_) => "exists_one",
            Self::Filter(_) => "filter",
            Self::Map(..) => "map",
        }
    }
}

fn only_element(expression: &IdedExpr) -> Option<&IdedExpr> {
    match &expression.expr {
        Expr::List(list) => list.elements.first(),
        _ => None,
    }
}
