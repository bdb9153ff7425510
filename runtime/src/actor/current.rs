//! Which process this thread polls at the moment.
//!
//! A send that names no sender takes it from here, so that whatever a body does through a
//! [`Runtime`](super::Runtime) keeps its place in that process's order. The value holds for the time of one poll (or of
//! building or dropping a body) and nests: what was there before comes back.

use std::cell::Cell;

use regatta_proto::id::Pid;

use crate::sync::thread_local;

thread_local! {
    static CURRENT: Cell<Option<Pid>> = const { Cell::new(None) };
}

/// The process whose body runs on this thread now; `None` outside of any body.
///
/// ```
/// use regatta::actor::current;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let rt = regatta::Runtime::new();
/// let process = rt.spawn(|ctx| async move { assert_eq!(current(), Some(ctx.pid())) });
/// assert_eq!(process.join().await, regatta::ExitReason::Normal);
/// assert_eq!(current(), None);
/// # }
/// ```
#[must_use]
pub fn current() -> Option<Pid> {
    CURRENT.with(Cell::get)
}

/// Makes `pid` the current process until the guard is dropped.
#[inline]
pub(crate) fn enter(pid: Pid) -> Entered {
    Entered { before: CURRENT.with(|current| current.replace(Some(pid))) }
}

/// Gives the thread its previous current process back.
#[must_use]
pub(crate) struct Entered {
    before: Option<Pid>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.before));
    }
}
