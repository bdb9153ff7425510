//! Two processes, in the words of Erlang: spawn, send, receive, link.
//!
//! ```console
//! $ cargo run -p regatta --example ping
//! ```

use std::error::Error;

use regatta::{ExitReason, Pid, Runtime};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let rt = Runtime::new();

    // A process is an async body with a mailbox. This one answers three times and ends.
    let pong = rt.spawn(|mut ctx| async move {
        for _ in 0..3 {
            let Some(ping) = ctx.recv().await.message() else { break };
            // A message is bytes; who sent it is part of it if the receiver is to know.
            let from: Pid = std::str::from_utf8(&ping)?.parse()?;
            ctx.send(from, format!("pong from {}", ctx.pid())).await?;
        }
        Ok::<(), Box<dyn Error + Send + Sync>>(())
    });

    // This one is linked to it: should `pong` fail, `ping` fails with it.
    let ping = rt.spawn(move |mut ctx| async move {
        ctx.link(pong.pid());
        for _ in 0..3 {
            ctx.send(pong.pid(), ctx.pid().to_string()).await?;
            let answer = ctx.recv().await.message().unwrap_or_default();
            report(&String::from_utf8_lossy(&answer));
        }
        Ok::<(), regatta::SendError>(())
    });

    // The end of a process has a reason.
    assert_eq!(ping.join().await, ExitReason::Normal);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is what the example shows")]
fn report(text: &str) {
    println!("{text}");
}
