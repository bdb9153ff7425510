//! A worker that fails, and a supervisor that starts it again.
//!
//! ```console
//! $ cargo run -p regatta --example supervised
//! ```

use std::error::Error;
use std::time::Duration;

use regatta::server::ServerOptions;
use regatta::supervisor::{ChildSpec, Strategy, Supervisor, SupervisorSpec};
use regatta::{Context, ExitReason, Next, ReplyTo, Runtime, Server, ServerRef};
use serde::{Deserialize, Serialize};

/// Divides, and does not look first.
struct Divider {
    divisions: u64,
}

#[derive(Serialize, Deserialize)]
struct Divide(i64, i64);

impl Server for Divider {
    type Args = ();
    type Call = Divide;
    type Reply = (i64, u64);
    type Cast = ();

    async fn init((): (), _: &mut Context) -> Result<Self, ExitReason> {
        Ok(Self { divisions: 0 })
    }

    async fn call(&mut self, Divide(a, b): Divide, caller: ReplyTo<Self>, _: &mut Context) -> Next {
        self.divisions += 1;
        // By zero this panics: the process ends, and with it this state. Nothing else does.
        caller.reply((a / b, self.divisions));
        Next::Continue
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let rt = Runtime::new();

    // A tree: a supervisor with one worker, which is found by its name whatever process it is at the moment.
    let worker = ChildSpec::server::<Divider>("divider", ServerOptions::named("divider"), || ());
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(3, Duration::from_secs(5)).child(worker);
    let supervisor = rt.start::<Supervisor>(spec).await?;
    let divider = ServerRef::<Divider>::named("divider")?;

    assert_eq!(rt.call(&divider, Divide(42, 6)).await?, (7, 1));
    assert_eq!(rt.call(&divider, Divide(42, 7)).await?, (6, 2));

    // Whoever made the bad call is told why it has no answer.
    let error = rt.call(&divider, Divide(1, 0)).await.expect_err("there is no answer to that");
    report(&format!("the caller sees: {error}"));

    // The worker is back, with a fresh state.
    let children = supervisor.which_children(&rt).await?;
    report(&format!("{} is now {}", children[0].id, children[0].state));
    assert_eq!(rt.call(&divider, Divide(9, 3)).await?, (3, 1));

    // The end in good order: children first.
    rt.stop(&supervisor, ExitReason::Shutdown).await?;
    assert_eq!(rt.process_count(), 0);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is what the example shows")]
fn report(text: &str) {
    println!("{text}");
}
