//! The supervision tree as it is, asked of the supervisors themselves.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use regatta_proto::id::Pid;

use super::control::{ChildInfo, Order, Outcome};
use super::run::Supervisor;
use super::spec::ChildKind;
use crate::actor::Runtime;
use crate::server::{CallError, ServerRef};

/// A supervisor, and what is below it.
#[derive(Debug)]
pub struct Branch {
    /// The supervisor.
    pub pid: Pid,
    /// What the program calls it, if it is of this runtime.
    pub label: Option<Arc<str>>,
    /// Its children in the order of their start, or why it has not told of them: it stops, starts or restarts one at this moment
    /// and does not answer in time, or has ended.
    pub children: Result<Vec<Twig>, CallError>,
}

/// A child of a supervisor.
#[derive(Debug)]
pub struct Twig {
    /// What its supervisor says of it.
    pub info: ChildInfo,
    /// What is below it, if it is a supervisor that runs.
    pub below: Option<Branch>,
}

impl Branch {
    /// How many children there are in it, at all depths.
    #[must_use]
    pub fn size(&self) -> usize {
        let twigs = self.children.iter().flatten();
        twigs.map(|twig| 1 + twig.below.as_ref().map_or(0, Self::size)).sum()
    }
}

impl Runtime {
    /// The supervision tree: every supervisor of this runtime that none of its supervisors has started, with all below it, on
    /// other nodes too, in the order of their start. Each supervisor is asked at its own instant, one after the other, and has
    /// `timeout` for its answer. At most 64 levels are looked at.
    ///
    /// Not for the body of a supervisor, which cannot ask itself.
    ///
    /// ```
    /// use std::time::Duration;
    /// use regatta::supervisor::{ChildSpec, Strategy, Supervisor, SupervisorSpec};
    /// use regatta::Runtime;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let rt = Runtime::new();
    /// let waits = |mut ctx: regatta::Context| async move { drop(ctx.recv().await) };
    /// let below = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::process("worker", waits));
    /// let spec = SupervisorSpec::new(Strategy::OneForAll).child(ChildSpec::supervisor("below", below));
    /// rt.start::<Supervisor>(spec).await?;
    /// let tree = rt.supervision_tree(Duration::from_secs(1)).await;
    /// let below = &tree[0].children.as_ref().expect("it answers")[0];
    /// assert_eq!(below.info.id, "below");
    /// assert_eq!(tree[0].size(), 2);
    /// # rt.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn supervision_tree(&self, timeout: Duration) -> Vec<Branch> {
        let mut tree = Vec::new();
        for top in self.top_supervisors() {
            tree.push(branch(self, top.pid(), timeout, DEPTH_MAX).await);
        }
        tree
    }
}

fn branch(
    rt: &Runtime,
    pid: Pid,
    timeout: Duration,
    depth: usize,
) -> Pin<Box<dyn Future<Output = Branch> + Send + '_>> {
    Box::pin(async move {
        let label = rt.info(pid).and_then(|info| info.label);
        let asked = rt.call_within(&ServerRef::<Supervisor>::pid(pid), Order::Which, timeout).await;
        let children = match asked {
            Ok(Outcome::Children(children)) => {
                let mut twigs = Vec::with_capacity(children.len());
                for info in children {
                    let below = info.pid().filter(|_| info.kind == ChildKind::Supervisor && depth > 1);
                    let below = match below {
                        Some(pid) => Some(branch(rt, pid, timeout, depth - 1).await),
                        None => None,
                    };
                    twigs.push(Twig { info, below });
                }
                Ok(twigs)
            }
            Ok(_) => Err(CallError::BadReply),
            Err(error) => Err(error),
        };
        Branch { pid, label, children }
    })
}

/// Levels that are looked at.
const DEPTH_MAX: usize = 64;
