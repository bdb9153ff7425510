//! Whole runs of small scenarios: what must pass passes, and what must not does not.

use super::*;
use crate::scenario::{Vocabulary, load_str};

const TWO: &str = "about = \"x\"\n[[node]]\nname = \"n\"\ncount = 2\n";
const COUNTER: &str = "[[process]]\non = \"n2\"\nbehaviour = \"counter\"\nlabel = \"k\"\nname = \"k\"\n";
const UP: &str = "await = \"nodes.all(n, n.members.size() == 2 && n.links.size() == 1)\"";

/// Runs two nodes with a counter on the second: the steps, one a line, and whatever else the file holds.
fn run_steps(steps: &[&str], rest: &str) -> RunReport {
    run_with(steps, rest, &RunOptions::default())
}

fn run_with(steps: &[&str], rest: &str, options: &RunOptions) -> RunReport {
    run_in(World::Inproc, steps, rest, options)
}

fn run_in(world: World, steps: &[&str], rest: &str, options: &RunOptions) -> RunReport {
    let steps: String = steps.iter().map(|step| format!("[[step]]\n{step}\n")).collect();
    let text = format!("{TWO}{COUNTER}{steps}{rest}");
    let mut cells =
        load_str("x.toml", &text, &Vocabulary::default()).unwrap_or_else(|problems| panic!("{problems}"));
    run(Arc::new(cells.swap_remove(0)), world, options)
}

#[track_caller]
fn passes(steps: &[&str], rest: &str) {
    let report = run_steps(steps, rest);
    assert_eq!(report.outcome, Outcome::Pass, "{:#?}", report.findings);
}

/// Fails, and for this reason.
#[track_caller]
fn fails(steps: &[&str], rest: &str, why: &str) {
    let report = run_steps(steps, rest);
    assert_eq!(report.outcome, Outcome::Fail, "{:#?}", report.findings);
    assert!(report.findings[0].message.contains(why), "{:#?}", report.findings);
}

#[test]
fn a_process_spawned_on_its_askers_node_is_named_linked_and_watched() {
    let told = "await = \"downs.filter(d, d.watcher == 'n1' && d.process == 'c' && d.reason == 'killed').size() == 2\"";
    let spawn = "spawn = { from = \"n1\", on = \"n1\", factory = \"counter\", label = \"c\", name = \"c\", \
                 global = \"g\", link = true, monitor = true }";
    let again = "spawn = { from = \"n1\", on = \"n1\", factory = \"echo\", label = \"d\", global = \"g\", \
                 expect = \"refused\" }";
    let call = "call = { from = \"n1\", to = \"c@n1\" }";
    passes(
        &[UP, spawn, call, "await = \"'g' in nodes[1].names\"", again, "kill = { process = \"c\" }", told],
        "",
    );
}

#[test]
fn finally_with_a_point_is_judged_at_that_point() {
    let steps = [UP, "id = \"p\"\nbarrier = true", "kill = { node = \"n2\" }"];
    passes(&steps, "[[expect]]\nid = \"e\"\nfinally = \"nodes[1].running\"\nafter = \"p\"\n");
    fails(
        &steps,
        "[[expect]]\nid = \"e\"\nfinally = \"!nodes[1].running\"\nafter = \"p\"\n",
        "after its point",
    );
}

#[test]
fn a_node_that_does_not_run_refuses_nothing() {
    let kill = "kill = { node = \"n2\" }";
    let dial = "connect = { from = \"n1\", to = \"n2\", expect = \"refused\" }";
    fails(&[UP, kill, dial], "", "does not run");
    let spawn =
        "spawn = { from = \"n1\", on = \"n2\", factory = \"echo\", label = \"c\", expect = \"refused\" }";
    fails(&[UP, kill, spawn], "", "does not run");
}

#[test]
fn a_name_on_a_node_that_does_not_run_is_no_missing_process() {
    let kill = "kill = { node = \"n2\" }";
    passes(&[UP, kill, "call = { from = \"n1\", to = \"k@n2\", expect = \"no-connection\" }"], "");
    fails(&[UP, kill, "call = { from = \"n1\", to = \"k@n2\", expect = \"no-proc\" }"], "", "is nowhere");
}

#[test]
fn a_step_that_means_nobody_fails() {
    fails(&[UP, "kill = { node = \"minority\" }"], "", "no node is meant: 2");
    fails(&[UP, "stop = { node = \"all\" }", "stop = { node = \"all\" }"], "", "no node is meant: 0");
}

#[test]
fn a_row_of_messages_begins_again_with_a_process_that_starts_again() {
    let relay = "[[process]]\non = \"n1\"\nbehaviour = \"relay\"\nlabel = \"r\"\nargs = { to = \"k\" }\n";
    let send = "send = { from = \"r\", to = \"k\", count = 3 }";
    let through = "send = { from = \"n1\", to = \"r\", count = 3 }";
    let restart = "restart = { node = \"n2\" }";
    passes(
        &[
            UP,
            through,
            "await = \"received.k.messages == 3\"",
            restart,
            UP,
            through,
            "await = \"received.k.messages == 6\"",
        ],
        relay,
    );
    let sink = "[[process]]\non = \"n1\"\nbehaviour = \"sink\"\nlabel = \"r\"\n";
    passes(
        &[
            UP,
            send,
            "await = \"received.k.messages == 3\"",
            restart,
            UP,
            send,
            "await = \"received.k.messages == 6\"",
        ],
        sink,
    );
}

#[test]
fn reasons_are_the_words_that_the_reference_gives() {
    let gone = "await = \"nodes[1].processes.size() == 0\"";
    passes(
        &[
            UP,
            "exit = { process = \"k\", from = \"n1\", reason = \"boom\" }",
            gone,
            "monitor = { from = \"n1\", to = \"k\" }",
            "await = \"downs.exists(d, d.process == 'k' && d.reason == 'noproc')\"",
        ],
        "",
    );
    let monitor = "monitor = { from = \"n1\", to = \"k\" }";
    let exit = "exit = { process = \"k\", from = \"n1\", reason = \"boom\" }";
    passes(&[UP, monitor, exit, "await = \"downs.exists(d, d.process == 'k' && d.reason == 'boom')\""], "");
}

#[test]
fn a_run_that_is_stopped_from_outside_says_so() {
    let (_stop, stopped) = watch::channel(true);
    let options = RunOptions { stop: Some(stopped), ..RunOptions::default() };
    let report = run_with(&["sleep = \"1h\""], "", &options);
    assert_eq!((report.outcome, report.outcome.code()), (Outcome::Interrupted, crate::exit::INTERRUPTED));
}

#[test]
fn what_was_broken_before_a_step_failed_is_told_too() {
    let steps = [UP, "kill = { node = \"n2\" }", "stop = { node = \"n2\" }"];
    let report = run_steps(
        &steps,
        "[[expect]]\nid = \"up\"\nalways = \"nodes[1].running\"\n\
         [[expect]]\nid = \"late\"\nfinally = \"nodes[1].running\"\n",
    );
    let about: Vec<_> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(about, ["step `stop`", "expectation `up`"], "{:#?}", report.findings);
}

#[test]
fn a_snapshot_stays_in_its_folder_and_one_that_cannot_be_written_is_the_harnesss_own_trouble() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.toml").display().to_string();
    let text = format!("{TWO}[[step]]\nid = \"../../up\"\nsnapshot = \"members\"\n");
    let options = RunOptions { accept: true, ..RunOptions::default() };
    let outcome = || {
        let mut cells = load_str(&file, &text, &Vocabulary::default()).expect("a right file");
        run(Arc::new(cells.swap_remove(0)), World::Inproc, &options).outcome
    };
    assert_eq!(outcome(), Outcome::Pass);
    let snapshots = folder.path().join("snapshots");
    let there: Vec<_> = std::fs::read_dir(&snapshots).expect("it was made").collect();
    assert_eq!(there.len(), 1, "{there:?}");
    std::fs::remove_dir_all(&snapshots).expect("removed");
    std::fs::write(&snapshots, "in the way").expect("written");
    assert_eq!(outcome(), Outcome::Internal);
}

const SEND: &str = "send = { from = \"n1\", to = \"k\", count = 20 }";

#[test]
fn a_partition_drops_until_it_is_healed_and_counts_what_it_dropped() {
    let steps = [
        UP,
        "fault = { id = \"cut\", partition = [[\"n1\"], [\"rest\"]] }",
        SEND,
        "await = \"faults.cut.active && faults.cut.dropped > 0 && faults.cut.hits == faults.cut.dropped\"",
        "await = \"received.k.messages == 0\"",
        "heal = \"cut\"",
        "await = \"!faults.cut.active && received.k.messages == 20\"",
    ];
    passes(&steps, "");
}

#[test]
fn a_one_way_cut_lets_the_other_way_through() {
    let steps = [
        UP,
        "fault = { id = \"cut\", partition = [[\"n2\"], [\"n1\"]], shape = \"one-way\" }",
        SEND,
        "await = \"received.k.messages == 20\"",
        "await = \"faults.cut.dropped > 0\"",
        "heal = \"all\"",
    ];
    passes(&steps, "");
}

#[test]
fn a_bad_network_hurts_no_message() {
    let faults = [
        "loss = 0.1",
        "burst-loss = 0.1",
        "latency = \"3ms\"",
        "jitter = \"4ms\"",
        "reorder = 0.2",
        "duplicate = 0.3",
        "corrupt = 0.1",
        "bandwidth = \"20Mbit\"",
        "drop-nth = 3, packet = \"data\"",
    ];
    for fault in faults {
        let fault = format!("fault = {{ id = \"f\", {fault} }}");
        let steps = [
            UP,
            &fault,
            "send = { from = \"n1\", to = \"k\", count = 300, payload = \"2kB\" }",
            "await = \"received.k.messages == 300 && faults.f.hits > 0\"",
            "heal = \"all\"",
        ];
        passes(&steps, "");
    }
}

#[test]
fn a_shaped_network_holds_from_the_first_packet_on_and_an_mtu_keeps_large_datagrams_out() {
    let network = |shape: &str| format!("[network]\ndefault = {{ {shape} }}\n");
    let echo = "[[process]]\non = \"n1\"\nbehaviour = \"echo\"\nlabel = \"e\"\nglobal = \"e\"\n";
    let call = "call = { from = \"n2\", to = \"e\" }";
    passes(
        &[UP, "await = \"'e' in nodes[1].names\"", call],
        &format!("{}{echo}", network("latency = \"20ms\", loss = 0.05")),
    );
    // QUIC's first datagrams have 1,200 bytes.
    fails(
        &["await = \"nodes.all(n, n.members.size() == 2)\"\nwithin = \"300ms\""],
        &network("mtu = 1199"),
        "still not true",
    );
}

#[test]
fn a_paused_node_does_nothing_and_goes_on_where_it_was() {
    let steps = [
        "id = \"meshed\"\nawait = \"nodes.all(n, n.members.size() == 2)\"",
        "fault = { id = \"p\", pause = \"n2\" }",
        SEND,
        "sleep = \"200ms\"",
        "await = \"received.k.messages == 0\"",
        "heal = \"p\"",
        "await = \"received.k.messages == 20 && faults.p.hits == 1\"",
        "pause = { node = \"n2\" }",
        SEND,
        "resume = { node = \"n2\" }",
        "await = \"received.k.messages == 40\"",
    ];
    let up =
        "[[expect]]\nid = \"up\"\nalways = \"nodes.all(n, n.members.size() == 2)\"\nsince = \"meshed\"\n";
    passes(&steps, up);
}

#[test]
fn in_virtual_time_a_sleep_and_a_hold_last_as_long_as_they_say() {
    let steps = [
        UP,
        "fault = { id = \"f\", pause = \"n2\", hold = \"40ms\" }",
        "await = \"!faults.f.active\"",
        "fault = { id = \"g\", latency = \"1ms\" }",
        SEND,
        "sleep = \"150ms\"",
        "heal = \"g\"",
        // Timers have the resolution of tokio's clock, a millisecond.
        "await = \"faults.f.lasted_ms >= 39 && faults.f.lasted_ms <= 41\"",
        "await = \"faults.g.lasted_ms >= 149 && faults.g.lasted_ms <= 160\"",
    ];
    let report = run_in(World::Sim, &steps, "", &RunOptions::default());
    assert_eq!(report.outcome, Outcome::Pass, "{:#?}", report.findings);
}

#[test]
fn a_call_that_is_not_sent_fails_and_says_why() {
    let call = "call = { from = \"n1\", to = \"k@n2\", payload = \"2MiB\", expect = \"no-connection\" }";
    fails(&[UP, call], "", "the request was not sent");
}

#[test]
fn a_nemesis_that_never_strikes_proves_nothing() {
    let late = "[[nemesis]]\nevery = { mean = \"10m\", distribution = \"constant\" }\n\
                faults = [{ pause = \"one\", hold = \"300ms\" }]\n";
    let report = run_steps(&[UP], late);
    assert_eq!(report.outcome, Outcome::Invalid, "{:#?}", report.findings);
}

#[test]
fn who_is_killed_is_told_of_by_how_long_it_took_to_be_seen() {
    let steps =
        [UP, "kill = { node = \"n2\" }", "await = \"nodes[0].members.size() == 1\"\nwithin = \"30s\""];
    let report = run_in(World::Sim, &steps, "", &RunOptions::default());
    assert_eq!(report.outcome, Outcome::Pass, "{:#?}", report.findings);
    let detection = report.detection;
    assert_eq!((detection.detected_ms.len(), detection.mistakes_ms.len()), (1, 0), "{detection:?}");
    assert!((500.0..10_000.0).contains(&detection.detected_ms[0]), "{detection:?}");
}

#[test]
fn a_crashed_node_is_back_when_the_fault_is_over() {
    let steps = [
        UP,
        "fault = { id = \"c\", crash = \"n2\", hold = \"300ms\" }",
        "await = \"!nodes[1].running && faults.c.active\"",
        "await = \"nodes[1].running && !faults.c.active\"",
        UP,
        SEND,
        "await = \"received.k.messages == 20\"",
    ];
    passes(&steps, "");
}

#[test]
fn a_hogged_or_rebound_node_or_one_with_a_wrong_clock_still_answers() {
    for fault in ["cpu-hog = \"n2\"", "clock = \"n2\", offset = \"-90s\", drift = 0.01"] {
        let fault = format!("fault = {{ id = \"f\", {fault} }}");
        passes(
            &[
                UP,
                &fault,
                SEND,
                "await = \"received.k.messages == 20 && faults.f.hits == 1\"",
                "heal = \"all\"",
            ],
            "",
        );
    }
    passes(
        &[
            UP,
            "fault = { id = \"f\", rebind = \"n2\" }",
            "await = \"faults.f.hits == 1 && !faults.f.active\"",
        ],
        "",
    );
}

#[test]
fn a_fault_that_did_nothing_makes_the_run_invalid() {
    let steps = [UP, "fault = { id = \"cut\", mtu = 9000 }", SEND, "heal = \"all\""];
    let report = run_steps(&steps, "");
    assert_eq!(report.outcome, Outcome::Invalid, "{:#?}", report.findings);
    assert!(report.findings[0].message.contains("`cut` did nothing"), "{:#?}", report.findings);
}

#[test]
fn a_nemesis_strikes_between_its_points_and_never_after_a_heal() {
    let nemesis = "[[nemesis]]\nfrom = \"up\"\nuntil = \"healed\"\nevery = { mean = \"20ms\" }\n\
                   faults = [{ id = \"c\", clock = \"one\", offset = \"1s\", hold = \"5ms\" }, { id = \"p\", pause = \"one\", hold = \"5ms\" }]\n";
    let steps = [
        UP,
        "id = \"up\"\nbarrier = true",
        "send = { from = \"n1\", to = \"k\", count = 100 }",
        "await = \"faults.c.hits > 0 && faults.p.hits > 1\"",
        "id = \"healed\"\nheal = \"all\"",
        "await = \"received.k.messages == 100\"",
    ];
    passes(
        &steps,
        &format!(
            "{nemesis}[[expect]]\nid = \"over\"\nnever = \"faults.c.active || faults.p.active\"\nsince = \"healed\"\n"
        ),
    );
}

#[test]
fn listed_strikes_come_at_their_times_and_in_their_order() {
    let nemesis = "[[nemesis]]\nstrikes = [{ at = \"80ms\", id = \"second\", pause = \"n1\", hold = \"5ms\" }, \
                   { at = \"10ms\", id = \"first\", pause = \"n2\", hold = \"5ms\" }]\n";
    let steps = [UP, "await = \"faults.first.hits == 1\"", "await = \"faults.second.hits == 1\""];
    passes(
        &steps,
        &format!(
            "{nemesis}[[expect]]\nid = \"in-order\"\nalways = \"faults.second.hits <= faults.first.hits\"\n"
        ),
    );
}

#[test]
fn a_partition_against_a_target_cuts_off_whom_the_seed_chooses() {
    let cut = "fault = { id = \"cut\", partition = \"one\" }";
    passes(
        &[UP, cut, SEND, "await = \"faults.cut.dropped > 0 && received.k.messages == 0\"", "heal = \"all\""],
        "",
    );
    fails(&[UP, "fault = { partition = \"minority\" }"], "", "no node is meant");
}

/// What a closed load of two at a time measures of a behaviour of one's own, in virtual time.
fn measured<F>(
    messages: u64,
    answers: impl Fn(crate::behaviour::Inbox, crate::behaviour::Setup) -> F + Send + Sync + 'static,
) -> crate::load::Figures
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut behaviours = Behaviours::default();
    behaviours.add("own", answers);
    let text = format!(
        "{TWO}[[process]]\non = \"n2\"\nbehaviour = \"own\"\nlabel = \"k\"\n[[step]]\nid = \"up\"\n{UP}\n\
         [[load]]\nid = \"l\"\nafter = \"up\"\nfrom = \"n1\"\nto = \"k\"\nmodel = \"closed\"\nin_flight = [2]\n\
         messages = {messages}\n[[step]]\nawait = \"loads.l.done\"\nwithin = \"60s\"\n"
    );
    let mut cells =
        load_str("x.toml", &text, &behaviours.vocabulary()).unwrap_or_else(|problems| panic!("{problems}"));
    let options = RunOptions { behaviours, ..RunOptions::default() };
    let report = run(Arc::new(cells.swap_remove(0)), World::Sim, &options);
    assert_eq!(report.outcome, Outcome::Pass, "{:#?}", report.findings);
    report.figures.into_iter().next().expect("the load's").1
}

#[test]
fn replies_that_come_behind_one_to_a_later_request_are_out_of_order() {
    let swaps = |mut inbox: crate::behaviour::Inbox, _| async move {
        while let Some(first) = inbox.next().await {
            let Some(second) = inbox.next().await else { return };
            for asked in [second, first] {
                let reply = asked.reply(inbox.context.pid(), None);
                inbox.send(asked.from, reply).await;
            }
        }
    };
    // The last pair begins while one reply is still wanted.
    let figures = measured(21, swaps);
    assert_eq!((figures.replies, figures.errors, figures.out_of_order), (21, 0, 11));
}

#[test]
fn a_reply_that_never_comes_is_an_error_and_puts_nothing_out_of_order() {
    let forgets = |mut inbox: crate::behaviour::Inbox, _| async move {
        let _ = inbox.next().await;
        while let Some(asked) = inbox.next().await {
            let reply = asked.reply(inbox.context.pid(), None);
            inbox.send(asked.from, reply).await;
        }
    };
    let figures = measured(10, forgets);
    assert_eq!((figures.replies, figures.errors, figures.out_of_order), (10, 1, 0));
}

/// Runs two nodes that these strikes come upon, in virtual time: for a second, and then the step.
fn stricken(strikes: &str, step: &str, rest: &str) {
    let up = "id = \"up\"\nawait = \"nodes.all(n, n.links.size() == 1)\"";
    let nemesis = format!("[[nemesis]]\nfrom = \"up\"\nstrikes = [{strikes}]\n{rest}");
    let report = run_in(World::Sim, &[up, WAIT, step], &nemesis, &RunOptions::default());
    assert_eq!(report.outcome, Outcome::Pass, "{strikes}: {:#?}", report.findings);
}

const WAIT: &str = "id = \"waited\"\nawait = \"true\"\nfor = \"1s\"";
const HEAL: &str = "heal = \"all\"";
const CLOCK_AND_PAUSE: &str =
    "{ at = \"50ms\", clock = \"n2\", offset = \"1s\" }, { at = \"100ms\", pause = \"n2\" }";

#[test]
fn a_strike_on_a_node_that_is_held_still_misses_and_is_over() {
    for (kind, strike) in [("rebind", "rebind = \"n2\""), ("clock", "clock = \"all\", offset = \"1s\"")] {
        let strikes = format!(
            "{{ at = \"50ms\", pause = \"n2\", hold = \"300ms\" }}, {{ at = \"100ms\", id = \"f\", {strike} }}"
        );
        let over =
            format!("[[expect]]\nid = \"{kind}\"\nfinally = \"!faults.f.active\"\nafter = \"waited\"\n");
        stricken(&strikes, HEAL, &over);
    }
}

#[test]
fn a_fault_ends_though_its_node_is_held_still() {
    stricken(CLOCK_AND_PAUSE, HEAL, "");
    // At the end of its nemesis, with the node held by that, and by a step.
    stricken(CLOCK_AND_PAUSE, WAIT.trim_start_matches("id = \"waited\"\n"), "until = \"waited\"\n");
    stricken("{ at = \"50ms\", clock = \"n2\", offset = \"1s\" }", "pause = { node = \"n2\" }", "");
}

#[test]
fn a_node_that_is_held_still_can_be_stopped() {
    stricken("{ at = \"50ms\", pause = \"n2\" }", "stop = { node = \"n2\" }", "");
}
