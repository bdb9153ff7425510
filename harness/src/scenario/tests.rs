use std::time::Duration;

use super::action::{Action, Actor, Address, Heal};
use super::fault::{FaultKind, Sides};
use super::load::{Amount, LoadModel, Round};
use super::model::{Connect, Point, Rule};
use super::*;

fn check(text: &str) -> Result<Vec<Scenario>, Diagnostics> {
    load_str("area/file.toml", text, &Vocabulary::default())
}

fn one(rest: &str) -> Scenario {
    let text = format!("about = \"x\"\n[[node]]\nname = \"n\"\ncount = 3\n{rest}");
    let mut cells = check(&text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(cells.len(), 1);
    cells.swap_remove(0)
}

fn messages(rest: &str) -> Vec<String> {
    let text = format!("about = \"x\"\n[[node]]\nname = \"n\"\ncount = 3\n{rest}");
    match check(&text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|problem| problem.message.clone()).collect(),
    }
}

#[test]
fn the_example_of_the_documentation_is_valid_in_every_cell() {
    let text = include_str!("../../tests/data/registry-partition.toml");
    let cells = load_str("registry-partition.toml", text, &Vocabulary::default())
        .unwrap_or_else(|problems| panic!("{problems}"));
    let titles: Vec<String> = cells.iter().map(Scenario::title).collect();
    assert_eq!(
        titles,
        [
            "registry-partition[nodes=3,loss=0.0]",
            "registry-partition[nodes=3,loss=0.02]",
            "registry-partition[nodes=5,loss=0.0]",
            "registry-partition[nodes=5,loss=0.02]",
        ]
    );
    let last = &cells[3];
    let nodes: Vec<&str> = last.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(nodes, ["n1", "n2", "n3", "n4", "n5", "x"]);
    assert_eq!(last.network.default.loss, Some(0.02));
    let Action::Fault(cut) = &last.steps[5].action else { panic!("step 6 is the cut") };
    let FaultKind::Partition { sides: Sides::Named(sides), .. } = &cut.kind else {
        panic!("the cut is a partition")
    };
    assert_eq!(sides[1], ["n1", "n2", "n4", "n5", "x"], "`rest` is everybody else");
    assert_eq!(last.point("converges"), Some(Point::Expectation(1)));
    assert!(matches!(last.steps[8].action, Action::Heal(Heal::All)));
    assert!(last.needs().contains(&Capability::Nemesis));
    assert!(
        !cells[0].needs().contains(&Capability::ShapedNetwork) || cells[0].network.default.latency.is_some()
    );
}

#[test]
fn a_group_stands_for_its_nodes_and_labels_say_which() {
    let scenario = one("[[process]]\non = \"n\"\nbehaviour = \"echo\"\nname = \"echo\"\n\
                        [[process]]\non = \"n1\"\nbehaviour = \"sink\"\nlabel = \"s\"\nglobal = \"svc/s\"\ncount = 2\n[[step]]\nbarrier = true\n");
    let labels: Vec<&str> = scenario.processes.iter().map(|process| process.label.as_str()).collect();
    assert_eq!(labels, ["echo@n1", "echo@n2", "echo@n3", "s1", "s2"]);
    assert_eq!(scenario.processes[4].global.as_deref(), Some("svc/s2"));
    assert_eq!(scenario.nodes[1].connect, Connect::First);
}

#[test]
fn a_receiver_is_a_global_name_before_a_label_and_a_local_name_has_its_node() {
    let scenario = one("[[process]]\non = \"n2\"\nbehaviour = \"echo\"\nglobal = \"svc/echo\"\n\
                        [[process]]\non = \"n3\"\nbehaviour = \"sink\"\nname = \"in\"\nlabel = \"sink\"\n\
                        [[step]]\nsend = { from = \"n1\", to = \"svc/echo\" }\n\
                        [[step]]\nsend = { from = \"svc/echo\", to = \"sink\" }\n\
                        [[step]]\nsend = { from = \"n1\", to = \"in@n3\" }\n\
                        [[step]]\nsend = { from = \"n1\", to = { process = \"svc/echo\" } }\n\
                        [[step]]\ncall = { from = \"n1\", to = { global = \"nobody\" }, expect = \"no-proc\" }\n");
    let targets: Vec<&Address> = scenario
        .steps
        .iter()
        .map(|step| match &step.action {
            Action::Send { to, .. } | Action::Call { to, .. } => to,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        targets,
        [
            &Address::Global("svc/echo".into()),
            &Address::Label("sink".into()),
            &Address::Local { name: "in".into(), node: "n3".into() },
            &Address::Label("svc/echo".into()),
            &Address::Global("nobody".into()),
        ]
    );
    let Action::Send { from, .. } = &scenario.steps[1].action else { panic!("a send") };
    assert_eq!(from, &Actor::Process("svc/echo".into()));
}

#[test]
fn what_a_file_leaves_out_has_the_documented_default() {
    let scenario = one("[[process]]\non = \"n2\"\nbehaviour = \"echo\"\nlabel = \"e\"\n\
                        [[step]]\nload = \"l\"\n[[step]]\nawait = \"true\"\nwithin = \"3s\"\n\
                        [[load]]\nid = \"l\"\nfrom = \"n1\"\nto = \"e\"\nmodel = \"closed\"\n");
    assert_eq!(scenario.timeout, Duration::from_secs(60));
    assert_eq!(scenario.worlds, [World::Inproc]);
    assert_eq!(scenario.steps[0].within, Duration::from_secs(10));
    assert_eq!(scenario.steps[1].within, Duration::from_secs(3));
    let load = &scenario.loads[0];
    assert_eq!(load.model, LoadModel::Closed { in_flight: vec![1] });
    assert_eq!((load.payload, load.senders, load.warmup), (64, 1, Duration::ZERO));
    assert_eq!(load.amount, Amount::Duration(Duration::from_secs(2)));
    assert_eq!(scenario.name, "file");
}

#[test]
fn a_kill_is_for_a_node_or_for_a_process() {
    let scenario = one("[[process]]\non = \"n2\"\nbehaviour = \"echo\"\nlabel = \"e\"\n\
                        [[step]]\nkill = { node = \"n1\" }\n[[step]]\nkill = { process = \"e\" }\n");
    assert!(matches!(scenario.steps[0].action, Action::Kill { .. }));
    assert!(matches!(&scenario.steps[1].action, Action::Exit { reason, .. } if reason == "kill"));
}

#[test]
fn an_expectation_keeps_its_window() {
    let scenario = one("[[step]]\nid = \"a\"\nbarrier = true\n\
                        [[expect]]\nid = \"e\"\neventually = \"nodes.all(n, n.running)\"\nsince = \"a\"\nwithin = \"2s\"\n");
    let expectation = &scenario.expectations[0];
    assert!(
        matches!(expectation.rule, Rule::Eventually { within: Some(within), .. } if within.as_secs() == 2)
    );
    assert_eq!((expectation.since.as_deref(), expectation.line), (Some("a"), 8));
}

#[test]
fn each_of_these_is_one_mistake() {
    for (rest, message) in [
        ("[[step]]\nid = \"a\"\n", "the step does nothing"),
        ("[[step]]\nbarrier = false\n", "`barrier` is true or not there at all"),
        (
            "[[step]]\nbarrier = true\nsleep = \"1s\"\n",
            "a step does one thing, but this one has `barrier` and `sleep`",
        ),
        ("[[step]]\nconnect = { from = \"n1\", to = \"n1\" }\n", "`n1` cannot be linked with itself"),
        ("[[step]]\nconnect = []\n", "`connect` has no dial"),
        ("[[step]]\ncall = { from = \"n1\", to = \"nobody\" }\n", "nothing is called `nobody`"),
        ("[[step]]\nattach = { to = \"n1\" }\n", "`attach` needs `list`"),
        (
            "[[step]]\nattach = { to = \"n\", list = \"names\" }\n",
            "`n` stands for 3 nodes, and one is needed here",
        ),
        ("[[step]]\nsnapshot = \"registry\"\n", "[[step]] needs `id`"),
        ("[[step]]\nheal = \"cut\"\n", "unknown fault `cut`"),
        (
            "[[step]]\nfault = { partition = [[\"n1\"], [\"n1\", \"rest\"]] }\n",
            "`n1` is on two sides of the partition",
        ),
        ("[[step]]\nfault = { loss = 2 }\n", "`loss` is a share from 0 to 1, not 2"),
        ("[[expect]]\nid = \"e\"\n", "the expectation expects nothing"),
        ("[[expect]]\nid = \"e\"\nhistory = \"oder\"\n", "unknown checker `oder`"),
        (
            "[[expect]]\nid = \"e\"\nalways = \"true\"\nwithin = \"1s\"\n",
            "`within` goes with `eventually`, not with `always`",
        ),
        (
            "[[process]]\non = \"n1\"\nbehaviour = \"eco\"\n[[step]]\nbarrier = true\n",
            "unknown behaviour `eco`",
        ),
        ("[[gate]]\nmetric = \"x.rate\"\nexact = true\n[[step]]\nbarrier = true\n", "unknown load `x`"),
        ("[[step]]\nwithin = \"0s\"\nbarrier = true\n", "`within` must be above 0"),
        ("[[step]]\nfor = \"1s\"\nbarrier = true\n", "`for` goes with `await` alone"),
        (
            "[[step]]\nattach = { to = \"n1\", from = \"n1\", list = \"processes\" }\n",
            "`n1` cannot attach to itself",
        ),
        (
            "[[process]]\non = \"n1\"\nbehaviour = \"echo\"\nname = \"x\"\nlabel = \"a\"\n\
             [[process]]\non = \"n1\"\nbehaviour = \"echo\"\nname = \"x\"\nlabel = \"b\"\n[[step]]\nbarrier = true\n",
            "two processes on `n1` have the name `x`",
        ),
        (
            "[[expect]]\nid = \"a\"\nalways = \"true\"\n[[expect]]\nid = \"b\"\nalways = \"true\"\nsince = \"a\"\n",
            "`a` is never reached as a point: `always` is judged when the run has ended",
        ),
        (
            "[[process]]\non = \"n1\"\nbehaviour = \"sink\"\n[[load]]\nid = \"l\"\nafter = \"s\"\nfrom = \"n1\"\nto = \"sink\"\n\
             model = \"flood\"\n[[step]]\nid = \"s\"\nbarrier = true\n[[step]]\nload = [\"l\"]\n",
            "the load `l` is started more than once",
        ),
        ("step = 3\n", "`step` must be a list of tables, not an integer"),
        ("", "the scenario does nothing: it has no step, expectation or load"),
    ] {
        // A plain key must stand before the first table.
        let found = if rest.starts_with("step") {
            let text = format!("about = \"x\"\n{rest}[[node]]\nname = \"n\"\n");
            check(&text).expect_err(rest).iter().map(|problem| problem.message.clone()).collect()
        } else {
            messages(rest)
        };
        assert_eq!(found, [message], "for {rest:?}");
    }
}

#[test]
fn a_load_that_nothing_starts_is_a_mistake() {
    let found = messages(
        "[[process]]\non = \"n1\"\nbehaviour = \"echo\"\nlabel = \"e\"\n\
                          [[load]]\nid = \"l\"\nfrom = \"n1\"\nto = \"e\"\nmodel = \"flood\"\n",
    );
    assert_eq!(found, ["nothing starts the load `l`"]);
}

#[test]
fn every_verb_of_the_vocabulary_is_read() {
    // A verb that the reader forgot would be an unknown key, or do nothing.
    for verb in Action::VERBS {
        let found = messages(&format!("[[step]]\nid = \"a\"\n{verb} = 1979-05-27\n"));
        assert_eq!(found.len(), 1, "{verb}: {found:?}");
        assert!(
            found[0].contains("must be") || found[0].contains("partition") || found[0].contains("load"),
            "{verb}: {found:?}"
        );
    }
}

#[test]
fn a_users_own_behaviours_and_checkers_are_known_once_registered() {
    let text = "about = \"x\"\n[[node]]\nname = \"n1\"\n[[process]]\non = \"n1\"\nbehaviour = \"bank\"\n\
                [[expect]]\nid = \"e\"\nhistory = \"no-money-lost\"\n";
    assert_eq!(check(text).expect_err("unknown").len(), 2);
    let mut vocabulary = Vocabulary::default();
    vocabulary.behaviours.insert("bank".into());
    vocabulary.checkers.insert("no-money-lost".into());
    assert!(load_str("f.toml", text, &vocabulary).is_ok());
}

#[test]
fn a_load_says_once_what_it_does_in_each_round() {
    let load = |keys: &str| {
        format!(
            "[[process]]\non = \"n\"\nbehaviour = \"echo\"\nglobal = \"e\"\n[[step]]\nid = \"s\"\nsleep = \"1s\"\n\
             [[load]]\nid = \"l\"\nafter = \"s\"\nfrom = \"n1\"\n{keys}"
        )
    };
    let closed = |keys: &str| load(&format!("model = \"closed\"\n{keys}"));
    let round = |keys: &str| one(&closed(keys)).loads[0].round.clone();
    let e = || Address::Global("e".to_owned());
    assert_eq!(round("to = \"e\""), Round::One(e()));
    assert_eq!(round("to = [\"e\", \"e\"]"), Round::Each(vec![e(), e()]));
    assert_eq!(round("group = \"workers\""), Round::Group("workers".to_owned()));
    let spawn = Round::Spawn { on: "n2".to_owned(), factory: "echo".to_owned() };
    assert_eq!(round("spawn = { on = \"n2\", factory = \"echo\" }"), spawn);
    assert_eq!(round("register = { on = \"n3\" }"), Round::Register { on: "n3".to_owned() });
    let one_of = "a load has one of `to`, `group`, `spawn`, `register`";
    assert_eq!(messages(&closed("")), [one_of]);
    assert_eq!(messages(&closed("to = \"e\"\ngroup = \"g\"")), [one_of]);
    assert_eq!(messages(&closed("to = []")), ["`to` names nobody"]);
    assert_eq!(messages(&closed("spawn = { on = \"n2\", factory = \"eco\" }")), ["unknown behaviour `eco`"]);
    assert_eq!(messages(&load("model = \"flood\"\nto = [\"e\"]")), ["`flood` loads send to one process"]);
    assert_eq!(one(&closed("to = \"e\"")).loads[0].slices, 1);
    assert_eq!(one(&closed("to = \"e\"\nslices = 12")).loads[0].slices, 12);
    let not_here = "`slices` are of a `closed` load with one number in flight";
    assert_eq!(messages(&closed("to = \"e\"\nin_flight = [1, 2]\nslices = 12")), [not_here]);
    assert_eq!(messages(&load("model = \"flood\"\nto = \"e\"\nslices = 2")), [not_here]);
    assert_eq!(messages(&closed("to = \"e\"\nslices = 0")).len(), 1);
}

#[test]
fn how_long_a_node_looks_before_it_sleeps_is_the_runtimes_unless_its_file_says_so() {
    let node = |more: &str| format!("[[node]]\nname = \"m\"\n{more}\n[[step]]\nsleep = \"1ms\"\n");
    assert_eq!(one(&node("")).spin("m"), None);
    let spin = |text: &str| one(&node(text)).spin("m");
    assert_eq!(spin("spin = \"0s\""), Some(Duration::ZERO));
    assert_eq!(spin("spin = \"50us\""), Some(Duration::from_micros(50)));
    assert_eq!(messages(&node("spin = 5")).len(), 1);
    assert_eq!(messages(&node("spin = \"-1s\"")).len(), 1);
}
