//! The loop of a simulation: run what is ready, then let the next thing happen.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Sim;
use super::chance::Chance;
use super::executor::{Kind, OwnerId};
use super::time::Happening;

/// Runs a simulation until `root`, a part of the harness, is done.
///
/// # Errors
/// When there is no tokio runtime to be had.
///
/// # Panics
/// As `root` does.
pub(crate) fn block_on<T: Send + 'static>(
    sim: &Arc<Sim>,
    root: impl Future<Output = T> + Send + 'static,
) -> std::io::Result<T> {
    let _chance = Chance::new(sim.seed);
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let (tell, mut done) = oneshot::channel();
    sim.spawn(
        OwnerId::HARNESS,
        Kind::Harness,
        Box::pin(async move {
            // The loop below waits for it.
            let _ = tell.send(root.await);
        }),
    );
    // Tasks are many and the loop is one: tokio must not take them for one task that never yields.
    let result = tokio.block_on(tokio::task::coop::unconstrained(async {
        let begun = Instant::now();
        let tick_ns = || u64::try_from((Instant::now() - begun).as_nanos()).unwrap_or(u64::MAX);
        loop {
            // Whatever a timer of tokio's has woken acts at the time to which the timer was set.
            sim.state().timeline.go_to(tick_ns());
            while sim.turn() {}
            if let Ok(result) = done.try_recv() {
                return result;
            }
            // Whatever processes have given to tokio itself has its turn, at this same moment.
            if tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
                tokio::task::yield_now().await;
                if sim.has_ready() {
                    continue;
                }
            }
            let tick_ns = tick_ns();
            let next_ns = sim.state().timeline.next_ns();
            match next_ns {
                Some(next_ns) if next_ns / MS_NS <= tick_ns / MS_NS => sim.happen(),
                Some(next_ns) => {
                    let at = begun + std::time::Duration::from_nanos(next_ns / MS_NS * MS_NS);
                    tokio::select! {
                        biased;
                        () = sim.until_ready() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                // Only timers of processes and of the harness are left.
                None => sim.until_ready().await,
            }
        }
    }));
    let _inside = tokio.enter();
    sim.clear();
    Ok(result)
}

impl Sim {
    fn has_ready(&self) -> bool {
        !self.ready().tasks.is_empty()
    }

    /// Resolves when something is ready.
    async fn until_ready(&self) {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
    }

    /// Lets the next thing happen.
    fn happen(&self) {
        let waker = {
            let mut state = self.state();
            match state.timeline.pop() {
                Some(Happening::Arrival(flying)) => state.arrive(flying),
                Some(Happening::Timer(timer)) => state.timeline.due(timer),
                None => None,
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A tick of tokio's clock.
const MS_NS: u64 = 1_000_000;
