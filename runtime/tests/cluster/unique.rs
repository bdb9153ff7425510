//! A process of which there is one in the cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use regatta::cluster::Quorum;
use regatta::supervisor::{ChildSpec, Restart, Strategy, Supervisor, SupervisorSpec};
use regatta::{ClusterNode, ExitReason, Identity, Limits, ProcessHandle, Runtime};
use tokio::sync::watch;

use super::world::{anywhere, link, run, shared};

/// Where the body has been started, with its token, and how many of it there were at once.
#[derive(Clone)]
struct Board {
    starts: Arc<watch::Sender<Vec<(String, u64)>>>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// A body that runs.
struct Running(Board);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Board {
    fn new() -> Self {
        Self {
            starts: Arc::new(watch::Sender::new(Vec::new())),
            running: Arc::default(),
            most: Arc::default(),
        }
    }

    fn candidate(&self, node: &ClusterNode) -> ProcessHandle {
        let (board, name) = (self.clone(), node.name().to_owned());
        let candidate = node.run_unique("svc/one", Quorum::default(), move |mut ctx, token| {
            let (board, name) = (board.clone(), name.clone());
            async move {
                let now = board.running.fetch_add(1, Ordering::SeqCst) + 1;
                board.most.fetch_max(now, Ordering::SeqCst);
                let running = Running(board);
                running.0.starts.send_modify(|starts| starts.push((name, token.raw())));
                ctx.recv().await;
            }
        });
        candidate.expect("it is a name")
    }

    /// Where it has been started, once it was so often.
    async fn starts(&self, count: usize) -> Vec<(String, u64)> {
        let mut starts = self.starts.subscribe();
        starts.wait_for(|starts| starts.len() >= count).await.expect("the board is there").clone()
    }
}

fn bind(name: &str, identity: &Identity) -> ClusterNode {
    let limits = Limits { lease: Duration::from_millis(400), ..Limits::default() };
    let builder = ClusterNode::builder(name, Runtime::new(), identity).limits(limits);
    builder.bind(anywhere()).expect("the node starts")
}

#[test]
fn of_several_candidates_one_runs_the_body_and_when_it_is_lost_another_does() {
    run(async {
        let identity = shared();
        let nodes = ["a", "b", "c"].map(|name| bind(name, &identity));
        for (from, to) in [(1, 0), (2, 0), (2, 1)] {
            link(&nodes[from], &nodes[to]).await;
        }
        let board = Board::new();
        let candidates = [0, 1, 2].map(|node| board.candidate(&nodes[node]));
        let at = |name: &str| nodes.iter().position(|node| node.name() == name).expect("one of them");

        // Its end, for whatever reason: it is run again, here or elsewhere.
        let first = board.starts(1).await[0].clone();
        let pid = nodes[at(&first.0)].whereis_global_pid("svc/one").expect("it holds the name");
        nodes[at(&first.0)].runtime().try_send(pid, "be done").expect("it lives");
        let second = board.starts(2).await[1].clone();
        assert!(second.1 > first.1, "a later holder has a higher token");

        // The end of its candidate: elsewhere.
        let holder = at(&second.0);
        candidates[holder].kill();
        let third = board.starts(3).await[2].clone();
        assert!(third.0 != second.0 && third.1 > second.1);
        assert_eq!(candidates[holder].join().await, ExitReason::Killed);
        assert_eq!(board.most.load(Ordering::SeqCst), 1, "never two at once");

        // Its node leaves: the last one takes over.
        nodes[at(&third.0)].shutdown();
        let fourth = board.starts(4).await[3].clone();
        assert!(![&second.0, &third.0].contains(&&fourth.0), "{fourth:?} after {third:?}");
        assert_eq!(candidates[at(&third.0)].join().await, ExitReason::Normal, "with its node");
    });
}

#[test]
fn a_supervisor_has_a_candidate_for_a_child_and_the_body_ends_with_it() {
    run(async {
        let identity = shared();
        let nodes = ["a", "b", "c"].map(|name| bind(name, &identity));
        for (from, to) in [(1, 0), (2, 0), (2, 1)] {
            link(&nodes[from], &nodes[to]).await;
        }
        let board = Board::new();
        let mut supervisors = Vec::new();
        for node in &nodes {
            let (board, of) = (board.clone(), node.clone());
            let child = ChildSpec::started_by("one", move |supervisor| {
                let candidate = board.candidate(&of);
                supervisor.link(candidate.pid());
                Box::pin(async move { Ok(candidate.pid()) })
            });
            let spec = SupervisorSpec::new(Strategy::OneForOne).child(child.restart(Restart::Transient));
            supervisors.push(node.runtime().start::<Supervisor>(spec).await.expect("it starts"));
        }
        let at = |name: &str| nodes.iter().position(|node| node.name() == name).expect("one of them");

        // A candidate that is killed is started again, to stand with the others.
        let first = at(&board.starts(1).await[0].0);
        let children = supervisors[first].which_children(nodes[first].runtime()).await.expect("it lives");
        let candidate = children[0].pid().expect("it runs");
        nodes[first].runtime().kill(candidate);
        let second = at(&board.starts(2).await[1].0);
        let children = supervisors[first].which_children(nodes[first].runtime()).await.expect("it lives");
        assert!(children[0].pid().is_some_and(|pid| pid != candidate), "{children:?}");

        // With its supervisor the candidate ends, and the body runs elsewhere.
        let rt = nodes[second].runtime();
        assert_eq!(rt.stop(&supervisors[second], ExitReason::Shutdown).await, Ok(ExitReason::Shutdown));
        let third = at(&board.starts(3).await[2].0);
        assert_ne!(third, second);
        assert_eq!(board.most.load(Ordering::SeqCst), 1, "never two at once");
    });
}

#[test]
fn a_name_that_is_none_is_refused() {
    run(async {
        let node = bind("a", &shared());
        let refused = node.run_unique("", Quorum::default(), |_, _| async {});
        assert!(refused.is_err());
    });
}
