use std::collections::BTreeSet;

use serde_json::json;

use super::*;

fn ids() -> Ids {
    let set = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<BTreeSet<_>>();
    Ids {
        steps: set(&["ask"]),
        faults: set(&["cut"]),
        loads: set(&["latency"]),
        labels: Some(set(&["svc/echo", "sink"])),
    }
}

fn three_nodes() -> Observation {
    let node = |name: &str, members: &[&str]| {
        json!({
            "name": name, "trust": "member", "running": true, "members": members, "links": [],
            "names": { "svc/echo": "n2" }, "names_count": 1, "names_digest": "d1", "groups": {}, "processes": [],
            "view": "n1 n2; cut: n1/n3", "nodes_down": 1, "links_down": 0, "memory_kib": 0,
            "handshakes_refused": 0, "messages_dropped": 0,
        })
    };
    let json = json!({
        "nodes": [
            node("n1", &["n1", "n2", "n3"]), node("n2", &["n1", "n2", "n3"]), node("n3", &["n3"]),
        ],
        "received": { "sink": { "messages": 7, "out_of_order": 0 } },
    });
    Observation::new(&json).expect("an object")
}

fn holds(source: &str) -> bool {
    let condition = Condition::compile(source, &ids()).expect(source);
    condition.evaluate(&three_nodes()).expect(source)
}

fn mistake(source: &str) -> (String, &str) {
    let errors = Condition::compile(source, &ids()).expect_err(source);
    assert_eq!(errors.len(), 1, "{source}: {errors:?}");
    let error = errors.into_iter().next().expect("one");
    let help = error.help.map(|help| format!(" ({help})")).unwrap_or_default();
    (format!("{}{help}", error.message), &source[error.span])
}

#[test]
fn a_condition_speaks_about_every_part_of_an_observation() {
    assert!(holds("nodes.size() == 3 && nodes.all(n, n.running)"));
    assert!(!holds("nodes.all(n, n.members.size() == 3)"));
    assert!(holds("nodes.exists(n, n.name == 'n3' && !('n1' in n.members))"));
    assert!(holds("nodes[0].names['svc/echo'] == 'n2'"));
    assert!(holds("'svc/echo' in nodes[0].names"));
    assert!(holds("nodes.filter(n, n.trust == 'member').all(n, n.names_digest == nodes[0].names_digest)"));
    assert!(holds("received.sink.messages == 7 && received['sink'].out_of_order == 0"));
    assert!(holds("downs.size() == 0 && names.all(n, n.owners.size() == 1)"));
}

#[test]
fn a_condition_without_an_answer_is_not_met_and_says_why() {
    let condition = Condition::compile("loads.latency.rate > 0.0", &ids()).expect("valid");
    let error = condition.evaluate(&three_nodes()).expect_err("no load has run");
    assert_eq!(error.to_string(), "the condition cannot be evaluated: there is no `latency`");
}

#[test]
fn a_number_can_be_compared_with_a_number_of_another_type() {
    let json = json!({ "loads": { "latency": { "rate": 10.5, "errors": 0 } } });
    let observation = Observation::new(&json).expect("an object");
    let condition =
        Condition::compile("loads.latency.rate > 10 && loads.latency.errors < 0.5", &ids()).expect("valid");
    assert_eq!(condition.evaluate(&observation), Ok(true));
}

#[test]
fn every_mistake_is_told_at_its_own_place() {
    assert_eq!(
        mistake("node.all(n, n.running)"),
        ("unknown variable `node` (did you mean `nodes`?)".into(), "node")
    );
    assert_eq!(
        mistake("nodes.all(n, n.member.size() == 3)"),
        ("a node has no field `member` (did you mean `members`?)".into(), "member")
    );
    assert_eq!(
        mistake("faults.cute.dropped > 0"),
        ("unknown fault `cute` (did you mean `cut`?)".into(), "cute")
    );
    assert_eq!(mistake("received['sinc'].messages == 1").0, "unknown process `sinc` (did you mean `sink`?)");
    assert_eq!(mistake("nodes.al(n, true)").0, "unknown function `al` (did you mean `all`?)");
    assert_eq!(
        mistake("nodes.size()"),
        (
            "a condition must be true or false, but this is a number (compare it with something, for example \
             `nodes.size() == 3`)"
                .into(),
            "nodes.size()"
        )
    );
    assert_eq!(
        mistake("nodes.members.size() == 2").0.split(" (").next(),
        Some("a list has no field `members`")
    );
    assert!(mistake("nodes.all(n, n.running").0.starts_with("not a valid condition: "));
    assert!(mistake("").0.starts_with("not a valid condition: "));
}

#[test]
fn a_place_behind_wide_letters_is_right() {
    assert_eq!(mistake("'日本é' == 'x' || node.size() > 0").1, "node");
}

#[test]
fn an_explanation_names_the_elements_that_are_to_blame() {
    let source = "nodes.size() == 3 && nodes.filter(n, n.trust == 'member').all(n, n.members.size() == 3)";
    let condition = Condition::compile(source, &ids()).expect("valid");
    insta::assert_snapshot!(condition.explain(&three_nodes()), @r#"
    nodes.size() == 3 && nodes.filter(n, n.trust == 'member').all(n, n.members.size() == 3) is false
      nodes.filter(n, n.trust == 'member').all(n, n.members.size() == 3) is false
        n = n3
          n.members.size() == 3 is false
            n.members.size() is 1
              n.members is ["n3"]
    "#);
}

#[test]
fn an_explanation_shows_both_sides_of_a_comparison_and_what_is_missing() {
    let source = "nodes[0].members.size() == nodes[2].members.size() || loads.latency.rate > 10.0 || \
                  nodes.exists(n, n.name == 'n9')";
    let condition = Condition::compile(source, &ids()).expect("valid");
    insta::assert_snapshot!(condition.explain(&three_nodes()), @r#"
    nodes[0].members.size() == nodes[2].members.size() || loads.latency.rate > 10.0 || nodes.exists(n, n.name == 'n9') is unknown: there is no `latency`
      nodes[0].members.size() == nodes[2].members.size() is false
        nodes[0].members.size() is 3
          nodes[0].members is ["n1", "n2", "n3"]
        nodes[2].members.size() is 1
          nodes[2].members is ["n3"]
      loads.latency.rate > 10.0 is unknown: there is no `latency`
        loads.latency.rate is unknown: there is no `latency`
          loads.latency is unknown: there is no `latency`
      nodes.exists(n, n.name == 'n9') is false
        n = n1
          n.name == 'n9' is false
            n.name is "n1"
        n = n2
          n.name == 'n9' is false
            n.name is "n2"
        n = n3
          n.name == 'n9' is false
            n.name is "n3"
    "#);
}

#[test]
fn an_explanation_has_a_bound() {
    let nodes: Vec<_> = (0..100).map(|n| json!({ "name": format!("n{n}"), "members": [] })).collect();
    let observation = Observation::new(&json!({ "nodes": nodes })).expect("an object");
    let source = "nodes.all(n, nodes.all(m, m.members.size() == n.members.size() + 1))";
    let explanation = Condition::compile(source, &ids()).expect("valid").explain(&observation);
    assert!(explanation.parts.len() <= LINES_MAX && explanation.left_out > 0, "{explanation}");
}
