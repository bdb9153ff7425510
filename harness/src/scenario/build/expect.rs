//! `[[expect]]` and `[[snapshot]]`.

use super::Build;
use super::step::view;
use crate::diagnostic::suggestion;
use crate::scenario::fields::Fields;
use crate::scenario::model::{Expectation, Rule, Snapshot};
use crate::scenario::problem::Problem;
use crate::scenario::raw::{Span, Table};
use crate::scenario::vocabulary::CHECKERS;

/// The rules, as files name them.
const RULES: [&str; 6] = ["always", "never", "eventually", "sometimes", "finally", "history"];

impl Build<'_> {
    pub(super) fn expectations(&self, fields: &Fields<'_>) -> Vec<Expectation> {
        fields
            .tables("expect")
            .into_iter()
            .filter_map(|(table, span)| self.expectation(table, span))
            .collect()
    }

    fn expectation(&self, table: &Table, span: Span) -> Option<Expectation> {
        let fields = Fields::new(table, span.clone(), "[[expect]]", self.problems);
        let id = fields.require("id", fields.string("id", "\"converges\""), "\"converges\"");
        let since = self.point(&fields, "since");
        let until = self.point(&fields, "until");
        let within = fields.duration("within");
        let after = self.point(&fields, "after");
        let present: Vec<&'static str> =
            RULES.into_iter().filter(|rule| fields.entry(rule).is_some()).collect();
        let rule = match present.as_slice() {
            [rule] => {
                for (key, owner) in [("within", "eventually"), ("after", "finally")] {
                    if fields.has(key) && *rule != owner {
                        let at =
                            fields.entry(key).map_or_else(|| fields.span(), |entry| entry.key_span.clone());
                        self.problems.report(Problem::new(
                            at,
                            format!("`{key}` goes with `{owner}`, not with `{rule}`"),
                        ));
                    }
                }
                self.rule(rule, &fields, within, after)
            }
            [] => {
                let known = ["id", "since", "until", "within", "after"];
                if table.entries.iter().all(|entry| known.contains(&entry.key.as_str())) {
                    let help = format!("give it one of: {}", RULES.join(", "));
                    self.problems
                        .report(Problem::new(span.clone(), "the expectation expects nothing").help(help));
                }
                None
            }
            [first, second, ..] => {
                let message =
                    format!("an expectation has one rule, but this one has `{first}` and `{second}`");
                self.problems
                    .report(Problem::new(span.clone(), message).help("write an [[expect]] for each"));
                None
            }
        };
        fields.finish();
        Some(Expectation { id: id?.value, line: self.line(&span), rule: rule?, since, until })
    }

    fn rule(
        &self,
        rule: &'static str,
        fields: &Fields<'_>,
        within: Option<std::time::Duration>,
        after: Option<String>,
    ) -> Option<Rule> {
        if rule == "history" {
            let checker = fields.string("history", "\"order\"")?;
            let known = CHECKERS.into_iter().chain(self.vocabulary.checkers.iter().map(String::as_str));
            if !known.clone().any(|name| name == checker.value) {
                let message = format!("unknown checker `{}`", checker.value);
                let help = suggestion(&checker.value, known, "checkers");
                self.problems.report(Problem::new(checker.span, message).help(help));
            }
            return Some(Rule::History { checker: checker.value });
        }
        let condition = self.condition_of(fields, rule)?;
        Some(match rule {
            "always" => Rule::Always(condition),
            "never" => Rule::Never(condition),
            "eventually" => Rule::Eventually { condition, within },
            "sometimes" => Rule::Sometimes(condition),
            _ => Rule::Finally { condition, after },
        })
    }

    pub(super) fn snapshots(&self, fields: &Fields<'_>) -> Vec<Snapshot> {
        let mut snapshots: Vec<Snapshot> = Vec::new();
        for (table, span) in fields.tables("snapshot") {
            let own = Fields::new(table, span, "[[snapshot]]", self.problems);
            let id = own.require("id", own.string("id", "\"registry\""), "\"registry\"");
            let after = own.require("after", self.point(&own, "after"), "\"converges\"");
            let view = own.require("view", view(&own, "view"), "\"registry\"");
            own.finish();
            let (Some(id), Some(after), Some(view)) = (id, after, view) else { continue };
            if snapshots.iter().any(|snapshot| snapshot.id == id.value) {
                let message = format!("the snapshot id `{}` is used twice", id.value);
                self.problems.report(Problem::new(id.span, message).label("declared before"));
                continue;
            }
            snapshots.push(Snapshot { id: id.value, after, view });
        }
        snapshots
    }
}
