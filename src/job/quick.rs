//! The part of an expression that needs no interpreter: paths, constants, comparisons, conditions, and the calls of our own
//! filters and functions.
//!
//! It never fails. Where it meets anything else, or anything that is wrong, it gives up, and the interpreter evaluates the whole
//! expression: what an expression means, and what is said of its mistakes, is the interpreter's alone.

use super::filters::{self, Function, are_equal};
use super::scope::{PARAMS, ROW, Scope};
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, UnaryOpKind};
use minijinja::value::{Value, ValueKind};
use std::sync::Arc;

/// Longest text that is put together here.
const TEXT_BYTES_MAX: usize = 1_024 * 1_024;

/// An expression, or a part of one.
#[derive(Debug)]
pub(super) enum Quick {
    Constant(Value),
    Name(String),
    Attribute(Box<Quick>, String),
    Not(Box<Quick>),
    IsNone(Box<Quick>),
    And(Box<[Quick; 2]>),
    Or(Box<[Quick; 2]>),
    Equal(Box<[Quick; 2]>),
    /// Whether the first one is in the second one, a list.
    In(Box<[Quick; 2]>),
    Concat(Box<[Quick; 2]>),
    /// Condition, then, else.
    If(Box<[Quick; 3]>),
    Call(Function, Vec<Quick>),
    /// Only the interpreter can.
    Other,
}

impl Quick {
    pub(super) fn of(expr: &Expr<'_>) -> Quick {
        let one = |expr| Box::new(Quick::of(expr));
        let two = |left, right| Box::new([Quick::of(left), Quick::of(right)]);
        if let Some(constant) = expr.as_const() {
            return Quick::Constant(constant);
        }
        match expr {
            Expr::Var(name) => Quick::Name(name.id.to_owned()),
            Expr::GetAttr(attribute) => Quick::Attribute(one(&attribute.expr), attribute.name.to_owned()),
            Expr::UnaryOp(unary) if matches!(unary.op, UnaryOpKind::Not) => Quick::Not(one(&unary.expr)),
            Expr::Test(test) if test.name == "none" && test.args.is_empty() => Quick::IsNone(one(&test.expr)),
            Expr::BinOp(binary) => {
                let sides = two(&binary.left, &binary.right);
                match binary.op {
                    BinOpKind::ScAnd => Quick::And(sides),
                    BinOpKind::ScOr => Quick::Or(sides),
                    BinOpKind::Concat => Quick::Concat(sides),
                    BinOpKind::Eq => Quick::Equal(sides),
                    BinOpKind::Ne => Quick::Not(Box::new(Quick::Equal(sides))),
                    BinOpKind::In => Quick::In(sides),
                    _ => Quick::Other,
                }
            }
            Expr::IfExpr(choice) => {
                let otherwise = choice.false_expr.as_ref().map_or(Quick::Other, Quick::of);
                Quick::If(Box::new([Quick::of(&choice.test_expr), Quick::of(&choice.true_expr), otherwise]))
            }
            Expr::Filter(filter) => call(filter.name, filter.expr.as_ref(), &filter.args),
            Expr::Call(called) => match &called.expr {
                Expr::Var(name) => call(name.id, None, &called.args),
                _ => Quick::Other,
            },
            _ => Quick::Other,
        }
    }

    /// The value; None where the interpreter is needed.
    pub(super) fn value(&self, scope: &Arc<Scope>) -> Option<Value> {
        let value = match self {
            Quick::Constant(value) => value.clone(),
            Quick::Name(name) => scope.find(name)?,
            Quick::Attribute(of, name) => of.value(scope)?.get_attr(name).ok()?,
            Quick::Not(of) => Value::from(!of.value(scope)?.is_true()),
            Quick::IsNone(of) => Value::from(of.value(scope)?.is_none()),
            Quick::And(sides) => match sides[0].value(scope)? {
                first if !first.is_true() => first,
                _ => sides[1].value(scope)?,
            },
            Quick::Or(sides) => match sides[0].value(scope)? {
                first if first.is_true() => first,
                _ => sides[1].value(scope)?,
            },
            Quick::Equal(sides) => Value::from(are_equal(&sides[0].value(scope)?, &sides[1].value(scope)?)),
            Quick::In(sides) => {
                let (wanted, list) = (sides[0].value(scope)?, sides[1].value(scope)?);
                let list = Some(list).filter(|list| list.kind() == ValueKind::Seq)?;
                Value::from(list.try_iter().ok()?.any(|entry| are_equal(&entry, &wanted)))
            }
            Quick::Concat(sides) => {
                let (left, right) = (sides[0].value(scope)?, sides[1].value(scope)?);
                let text = [left.as_str()?, right.as_str()?].concat();
                let is_plain = text.len() <= TEXT_BYTES_MAX && !left.is_safe() && !right.is_safe();
                is_plain.then(|| Value::from(text))?
            }
            Quick::If(parts) => match parts[0].value(scope)?.is_true() {
                true => parts[1].value(scope)?,
                false => parts[2].value(scope)?,
            },
            Quick::Call(function, arguments) => {
                let arguments: Option<Vec<Value>> = arguments.iter().map(|argument| argument.value(scope)).collect();
                function(&arguments?).ok()?
            }
            Quick::Other => return None,
        };
        let is_sound = !matches!(value.kind(), ValueKind::Undefined | ValueKind::Invalid);
        is_sound.then_some(value)
    }

    /// Whether it is false for every row in which these cells are empty, whatever else there is.
    pub(super) fn cannot_hold(&self, is_empty: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Quick::Constant(value) => !value.is_true(),
            Quick::Attribute(..) => self.cell().is_some_and(is_empty),
            // The left side is evaluated first.
            Quick::And(sides) => {
                let [left, right] = &**sides;
                left.cannot_hold(is_empty) || (left.cannot_fail() && right.cannot_hold(is_empty))
            }
            Quick::Or(sides) => sides.iter().all(|side| side.cannot_hold(is_empty)),
            Quick::Name(_)
            | Quick::Not(_)
            | Quick::IsNone(_)
            | Quick::Equal(_)
            | Quick::In(_)
            | Quick::Concat(_)
            | Quick::If(_)
            | Quick::Call(..)
            | Quick::Other => false,
        }
    }

    /// Whether it has a value for every row: the names of cells and parameters were looked at when the job was read.
    fn cannot_fail(&self) -> bool {
        match self {
            Quick::Constant(_) => true,
            Quick::Attribute(of, _) => matches!(&**of, Quick::Name(name) if [ROW, PARAMS].contains(&name.as_str())),
            Quick::Not(of) | Quick::IsNone(of) => of.cannot_fail(),
            Quick::And(sides) | Quick::Or(sides) | Quick::Equal(sides) => sides.iter().all(Quick::cannot_fail),
            Quick::Name(_) | Quick::In(_) | Quick::Concat(_) | Quick::If(_) | Quick::Call(..) | Quick::Other => false,
        }
    }

    /// The column, where it is a cell of the row.
    fn cell(&self) -> Option<&str> {
        match self {
            Quick::Attribute(of, column) if matches!(&**of, Quick::Name(name) if name == ROW) => Some(column),
            _ => None,
        }
    }
}

fn call(name: &str, first: Option<&Expr<'_>>, rest: &[CallArg<'_>]) -> Quick {
    let positional = rest.iter().map(|argument| match argument {
        CallArg::Pos(expr) => Some(expr),
        CallArg::Kwarg(..) | CallArg::PosSplat(_) | CallArg::KwargSplat(_) => None,
    });
    let arguments: Option<Vec<&Expr<'_>>> = first.map(Some).into_iter().chain(positional).collect();
    match (filters::own(name, first.is_some()), arguments) {
        (Some(function), Some(arguments)) => Quick::Call(function, arguments.into_iter().map(Quick::of).collect()),
        _ => Quick::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::expr::Expr as Whole;
    use super::*;
    use minijinja::machinery::parse_expr;
    use minijinja::value::Serde;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;
    use std::str::FromStr;

    fn scope() -> Arc<Scope> {
        let list = json!([{"id": "CONTOSO.com", "n": 1}, {"id": "b", "n": 2}]);
        let row = Scope::of_cells(&json!({"a": "ann@Contoso.com", "b": null, "c": "x", "d": ""}));
        let scope = Scope::inside(&row).with("list", Value::from(Serde(list)));
        Arc::new(scope.with("names", Value::from(Serde(json!(["x", "ann@Contoso.com", null, 1])))))
    }

    fn quick(source: &str) -> Option<Value> {
        Quick::of(&parse_expr(source).unwrap()).value(&scope())
    }

    /// What jobs are full of.
    #[test]
    fn the_usual_needs_no_interpreter() {
        for source in [
            "row.a and not row.b",
            "row.b or row.a",
            "row.a == 'x' or row.b is none",
            "row.a != row.b and row.b is not none",
            "'x' if row.b else row.a ~ '!'",
            "(row.a | local_part) ~ '.' ~ (row.a | domain)",
            "same(row.a, 'ANN@contoso.com') and not same(row.b, row.a)",
            "(list | find('id', row.a | domain)).n",
            "(list | find('id', 'c')) is none",
            "'y' not in names and 'x' in names",
        ] {
            assert!(quick(source).is_some(), "{source}");
        }
        for source in ["row.a.b", "row.b | domain", "row.a | upper", "'n' in row.a", "row.b ~ 'x'", "names[0]"] {
            assert!(quick(source).is_none(), "{source}");
        }
    }

    fn expression() -> impl Strategy<Value = String> {
        let leaf = select(vec![
            "row.a",
            "row.b",
            "row.c",
            "row.d",
            "row.a.b",
            "names",
            "list",
            "'x'",
            "''",
            "'CONTOSO.com'",
            "none",
            "true",
            "false",
            "1",
            "1.0",
            "[]",
            "['x', row.c]",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |part| {
            let operator = select(vec!["and", "or", "==", "!=", "in", "not in", "~", "<"]);
            let after = select(vec![
                "is none",
                "is not none",
                "is defined",
                "| domain",
                "| local_part",
                "| key",
                "| anchor_kind",
                "| find('id', 'b')",
            ]);
            prop_oneof![
                (part.clone(), operator, part.clone())
                    .prop_map(|(left, operator, right)| format!("({left}) {operator} ({right})")),
                (part.clone(), after).prop_map(|(part, after)| format!("({part}) {after}")),
                part.clone().prop_map(|part| format!("not ({part})")),
                part.clone().prop_map(|part| format!("({part}).n")),
                (part.clone(), part.clone()).prop_map(|(left, right)| format!("same({left}, {right})")),
                (part.clone(), part.clone(), part)
                    .prop_map(|(when, then, or)| format!("({then}) if ({when}) else ({or})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_it_finds_the_interpreter_finds(source in expression()) {
            if let Some(found) = quick(&source) {
                let whole = Whole::from_str(&source).unwrap().interpreted(&scope());
                let whole = whole.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!((found.kind(), found), (whole.kind(), whole));
            }
        }
    }
}
