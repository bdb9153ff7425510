//! An expression as text again, so that an explanation can name each part of a condition.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::macros::Macro;

/// The expression in CEL's own notation, with parentheses only where they are needed.
pub(super) fn text(expression: &IdedExpr) -> String {
    match &expression.expr {
        Expr::Unspecified => String::new(),
        Expr::Ident(name) => name.clone(),
        Expr::Select(select) if select.test => format!("has({}.{})", tight(&select.operand), select.field),
        Expr::Select(select) => format!("{}.{}", tight(&select.operand), select.field),
        Expr::Literal(literal) => literal_text(literal),
        Expr::List(list) => format!("[{}]", comma_separated(&list.elements)),
        Expr::Map(map) => {
            let entries = map.entries.iter().map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => format!("{}: {}", text(&entry.key), text(&entry.value)),
                EntryExpr::StructField(field) => format!("{}: {}", field.field, text(&field.value)),
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Expr::Struct(value) => format!("{}{{…}}", value.type_name),
        Expr::Comprehension(comprehension) => comprehension_text(comprehension),
        Expr::Call(call) => call_text(call),
    }
}

/// The text, in parentheses when a dot or an operator behind it would take only its end.
fn tight(expression: &IdedExpr) -> String {
    let loose = matches!(&expression.expr, Expr::Call(call) if binary(&call.func_name).is_some()
        || call.func_name == operators::CONDITIONAL);
    if loose { format!("({})", text(expression)) } else { text(expression) }
}

fn call_text(call: &CallExpr) -> String {
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_NOT, [operand]) => format!("!{}", tight(operand)),
        (operators::NEGATE, [operand]) => format!("-{}", tight(operand)),
        (operators::INDEX, [list, index]) => format!("{}[{}]", tight(list), text(index)),
        (operators::CONDITIONAL, [condition, yes, no]) => {
            format!("{} ? {} : {}", tight(condition), text(yes), text(no))
        }
        (name, [left, right]) if binary(name).is_some() => {
            format!("{} {} {}", operand(left, name), binary(name).unwrap_or_default(), operand(right, name))
        }
        (name, arguments) => {
            let target =
                call.target.as_deref().map(|target| format!("{}.", tight(target))).unwrap_or_default();
            format!("{target}{name}({})", comma_separated(arguments))
        }
    }
}

/// An operand of a binary operator. A chain of the same operator and a comparison under `&&` or `||` need nothing.
fn operand(expression: &IdedExpr, operator: &str) -> String {
    let Expr::Call(call) = &expression.expr else { return text(expression) };
    let logical = |name: &str| name == operators::LOGICAL_AND || name == operators::LOGICAL_OR;
    let plain = call.func_name == operator || (logical(operator) && !logical(&call.func_name));
    if plain && call.func_name != operators::CONDITIONAL { text(expression) } else { tight(expression) }
}

fn binary(name: &str) -> Option<&str> {
    match name {
        operators::IN => Some("in"),
        operators::INDEX => None,
        name => name.strip_prefix('_')?.strip_suffix('_').filter(|operator| !operator.contains(['?', '['])),
    }
}

fn comprehension_text(comprehension: &ComprehensionExpr) -> String {
    let range = tight(&comprehension.iter_range);
    let variable = &comprehension.iter_var;
    let Some(found) = Macro::of(comprehension) else { return format!("{range}.(…)") };
    let name = found.name();
    match found {
        Macro::All(body)
        | Macro::Exists(body)
        | Macro::ExistsOne(body)
        | Macro::Filter(body)
        | Macro::Map(None, body) => {
            format!("{range}.{name}({variable}, {})", text(body))
        }
        Macro::Map(Some(condition), body) => {
            format!("{range}.{name}({variable}, {}, {})", text(condition), text(body))
        }
    }
}

fn literal_text(literal: &LiteralValue) -> String {
    match literal {
        LiteralValue::Boolean(value) => value.inner().to_string(),
        LiteralValue::Bytes(_) => "b'…'".to_owned(),
        LiteralValue::Double(value) => format!("{:?}", value.inner()),
        LiteralValue::Int(value) => value.inner().to_string(),
        LiteralValue::UInt(value) => format!("{}u", value.inner()),
        LiteralValue::Null => "null".to_owned(),
        LiteralValue::String(value) => format!("'{}'", value.inner().escape_debug()),
    }
}

fn comma_separated(expressions: &[IdedExpr]) -> String {
    expressions.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use cel::Program;

    #[test]
    fn an_expression_reads_as_it_was_written() {
        for source in [
            "nodes.filter(n, n.trust == 'member').all(n, n.members.size() == 3)",
            "a && (b || c) && !d",
            "names.all(n, n.sides.exists_one(s, s.owners.size() <= 1))",
            "nodes[0].names['svc/echo'] == 'n2'",
            "'x' in n.members",
            "has(a.b) ? -1 : (x + 2) * 3",
            "size(a) > 0 && a.map(x, x.name) != [1, 2.0]",
            "received['echo@n1'].messages == 80000",
        ] {
            let program = Program::compile(source).expect("valid");
            assert_eq!(super::text(program.expression()), source);
        }
    }
}
