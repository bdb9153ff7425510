//! The verdicts of a gate as JUnit tests, for build servers that show those.
//!
//! A regression is a failure; what cannot be told is an error; what gates nothing passes.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::paired::{Document, cells, counted_line, grown_line, word};
use crate::gate::{Evidence, Verdict};
use crate::paired::exactly::{Exactness, Standing};

/// The document as JUnit XML: one suite for each tier that was run.
#[must_use]
pub fn gate(document: &Document) -> String {
    let mut report = Report::new("regatta gate");
    let mut suite = |name: &str, cases: Vec<TestCase>| {
        if !cases.is_empty() {
            let mut suite = TestSuite::new(name);
            suite.add_test_cases(cases);
            report.add_test_suite(suite);
        }
    };
    suite("exact", document.exact.iter().map(exact).collect());
    let counts = document.counts.iter().flat_map(|counts| &counts.counted);
    let counts = counts.map(|one| {
        let grew: Vec<String> = one.grew.iter().map(grown_line).collect();
        case(&one.metric.name, &one.verdict, &counted_line(one), &grew.join("\n"))
    });
    suite("counts", counts.collect());
    suite("paired", document.evidence().iter().map(paired).collect());
    report.to_string().unwrap_or_default()
}

fn paired(one: &Evidence) -> TestCase {
    let [name, base, head, worse, between, may, p, _] = cells(one);
    let told = format!("{base} -> {head}, worse by {worse} ({between}), may {may}, p {p}");
    let why = match &one.verdict {
        Verdict::Inconclusive(why) => why.join("\n"),
        _ => String::new(),
    };
    case(&name, &one.verdict, &told, &why)
}

fn case(name: &str, verdict: &Verdict, told: &str, detail: &str) -> TestCase {
    let kind = match verdict {
        Verdict::Regression => Some(NonSuccessKind::Failure),
        Verdict::Inconclusive(_) => Some(NonSuccessKind::Error),
        Verdict::Pass | Verdict::Improved | Verdict::Warn => None,
    };
    let mut case = TestCase::new(name, status(kind, word(verdict), told, detail));
    case.set_system_out(told);
    case
}

fn exact(one: &Exactness) -> TestCase {
    let list = |differences: &[crate::gate::exact::Difference]| {
        differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let (kind, word, detail) = match &one.standing {
        Standing::Equal => (None, "as accepted", String::new()),
        Standing::Changed { differences, .. } => {
            (Some(NonSuccessKind::Failure), "exact values changed", list(differences))
        }
        Standing::NeverAccepted => (Some(NonSuccessKind::Error), "nothing was accepted yet", String::new()),
        Standing::NotExact(differences) => {
            (Some(NonSuccessKind::Error), "two runs of the same build differ", list(differences))
        }
        Standing::Failed(why) => (Some(NonSuccessKind::Error), "not measured", why.clone()),
    };
    TestCase::new(one.scenario.as_str(), status(kind, word, word, &detail))
}

fn status(kind: Option<NonSuccessKind>, word: &str, message: &str, detail: &str) -> TestCaseStatus {
    let Some(kind) = kind else { return TestCaseStatus::success() };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(word).set_message(message).set_description(detail);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::exact::Difference;

    #[test]
    fn what_changed_is_a_failure_and_what_cannot_be_told_an_error() {
        let mut document = Document::of("main");
        let of = |standing| Exactness { scenario: "exact/path".into(), values: [].into(), standing };
        let differences =
            vec![Difference { name: "idle.bytes<1>".into(), accepted: Some(1.0), now: Some(2.0) }];
        document.exact = vec![
            of(Standing::Equal),
            of(Standing::Changed { differences, other_compiler: None }),
            of(Standing::NeverAccepted),
        ];
        let xml = gate(&document);
        assert!(xml.contains(r#"tests="3""#) && xml.contains(r#"failures="1""#), "{xml}");
        assert!(xml.contains(r#"errors="1""#), "{xml}");
        assert!(xml.contains("idle.bytes&lt;1&gt;: 1 -&gt; 2 (+1)"), "{xml}");
    }
}
