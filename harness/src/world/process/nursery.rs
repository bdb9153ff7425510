//! The one thread that starts processes, and lives as long as the program.
//!
//! On Linux a process can ask to be killed when its parent ends, and the parent is the *thread* that started it. Started
//! from a thread of a pool, nodes would die whenever the pool lets that thread go.

use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// A process to be started, and who wants to know.
type Request = (Command, oneshot::Sender<io::Result<Child>>);

static NURSERY: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();

/// Starts a process from the nursery.
///
/// # Errors
/// What the operating system says.
pub(super) async fn start(command: Command) -> io::Result<Child> {
    let nursery = NURSERY.get_or_init(|| {
        let (ask, asked) = channel::<Request>();
        let serve = move || {
            for (mut command, tell) in asked {
                // Whoever asked may have given up: then the child's pipes end, and so does it.
                let _ = tell.send(command.spawn());
            }
        };
        // Without the thread the sender below fails, and says so.
        let _ = thread::Builder::new().name("nursery".to_owned()).spawn(serve);
        Mutex::new(ask)
    });
    let (tell, told) = oneshot::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    nursery.lock().unwrap_or_else(PoisonError::into_inner).send((command, tell)).map_err(|_| gone())?;
    told.await.map_err(|_| gone())?
}
