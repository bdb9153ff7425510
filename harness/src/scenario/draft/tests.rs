use super::*;
use crate::scenario::{Vocabulary, load_str};

const FILE: &str = r#"
about = "x"
seed = 3
worlds = ["inproc", "sim"]
[matrix]
nodes = [3]
[[node]]
name = "n"
count = "${nodes}"
[[process]]
on = "n"
behaviour = "sink"
label = "s"
[[process]]
on = "n3"
behaviour = "echo"
global = "svc/3"
[[step]]
id = "up"
await = "nodes.all(n, n.members.size() == ${nodes} && n.links.size() == 2)"
[[step]]
call = { from = "n1", to = "svc/3" }
[[step]]
fault = { id = "cut", partition = [["n1"], ["n2"], ["n3"]] }
[[step]]
await = "faults.cut.hits > 0"
[[step]]
heal = "cut"
[[step]]
snapshot = "members"
id = "shown"
[[nemesis]]
from = "up"
every = { mean = "1s" }
faults = [{ pause = "one", hold = "1s" }]
[[expect]]
id = "order"
history = "order"
"#;

fn scenario(text: &str) -> Scenario {
    let mut cells =
        load_str("x.toml", text, &Vocabulary::default()).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
    cells.swap_remove(0)
}

fn draft() -> Draft {
    let pause = |nodes: &[&str]| Fault {
        id: None,
        kind: crate::scenario::fault::FaultKind::Pause(crate::scenario::fault::Target::Nodes(
            nodes.iter().map(|node| (*node).to_owned()).collect(),
        )),
        hold: Some(Duration::from_secs(1)),
    };
    let chosen = Chosen {
        begun: vec![Duration::from_millis(250)],
        strikes: vec![vec![
            (Duration::from_millis(100), pause(&["n1"])),
            (Duration::from_micros(1_234_567), pause(&["n2", "n3"])),
        ]],
        steps: Vec::new(),
    };
    Draft::of(&scenario(FILE), 7).explicit(&chosen)
}

#[test]
fn a_draft_is_the_cell_with_its_strikes_written_out_and_reads_as_a_file() {
    let read = scenario(&draft().text());
    assert_eq!((read.seed, read.worlds.as_slice()), (Some(7), &[crate::scenario::World::Sim][..]));
    assert_eq!(read.nodes.len(), 3);
    assert_eq!(read.steps.len(), 5, "the snapshot is left out");
    let crate::scenario::model::Strikes::Listed(strikes) = &read.nemeses[0].strikes else { panic!("listed") };
    assert_eq!(strikes[1].0, Duration::from_micros(1_234_567));
}

#[test]
fn a_nemesis_whose_step_is_gone_strikes_at_the_same_time_of_the_run() {
    let less = draft().keep(Part::Step, &[1, 2, 3, 4]);
    let read = scenario(&less.text());
    assert_eq!(read.nemeses[0].from, None);
    let crate::scenario::model::Strikes::Listed(strikes) = &read.nemeses[0].strikes else { panic!("listed") };
    assert_eq!(strikes[0].0, Duration::from_millis(350));
    assert_eq!((less.step(0), less.step(3), less.step(4)), (Some(1), Some(4), None));
}

#[test]
fn strikes_are_counted_over_all_nemeses_and_an_idle_nemesis_goes() {
    let draft = draft();
    assert_eq!(draft.count(Part::Strike), 2);
    assert_eq!(draft.keep(Part::Strike, &[1]).count(Part::Strike), 1);
    let none = draft.keep(Part::Strike, &[]);
    assert_eq!(none.count(Part::Strike), 0);
    assert!(scenario(&none.text()).nemeses.is_empty());
}

#[test]
fn without_faults_nothing_speaks_of_them() {
    let read = scenario(&draft().without_faults().text());
    assert!(!read.has_faults());
    assert_eq!(read.steps.len(), 2);
}

#[test]
fn a_node_goes_with_whatever_speaks_of_it_and_conditions_count_down() {
    let all = draft().with_a_node_less();
    // The last node first; once with numbers counted down, and once as they are.
    let read = scenario(&all[0].text());
    assert_eq!((read.nodes.len(), read.processes.len()), (2, 2), "svc/3 is gone");
    assert_eq!(read.steps.len(), 4, "and so is the call");
    let text = all[0].text();
    assert!(text.contains("members.size() == 2 && n.links.size() == 1"), "{text}");
    assert!(text.contains(r#"partition = [["n1"], ["n2"]]"#), "{text}");
    assert!(all[1].text().contains("members.size() == 3"));
    // Then the second, whose name the third takes.
    let read = scenario(&all[2].text());
    assert!(read.processes.iter().any(|process| process.label == "svc/3" && process.on == "n2"));
}

#[test]
fn values_become_simpler_one_at_a_time() {
    let draft = draft();
    let mut texts = Vec::new();
    for place in draft.places() {
        texts.extend(draft.simpler(&place).iter().map(Draft::text));
    }
    for wanted in ["hold = \"62ms\"", "at = \"1s\"", "pause = [\"n2\"]", "on = \"n1\""] {
        assert!(texts.iter().any(|text| text.contains(wanted)), "{wanted}");
    }
    for text in &texts {
        scenario(text);
    }
}

#[test]
fn words_in_quotes_are_told_from_others() {
    assert!(names_word("faults.cut.hits > 0", "faults"));
    assert!(!names_word("nodes[0].name == 'faults'", "faults"));
}
