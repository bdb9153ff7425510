//! A typed server, called the same way on its own node and from another one.
//!
//! ```console
//! $ cargo run -p regatta --example counter
//! ```

use std::error::Error;

use regatta::server::ServerOptions;
use regatta::{ClusterNode, Context, ExitReason, Identity, Next, ReplyTo, Runtime, Server, ServerRef};
use serde::{Deserialize, Serialize};

/// A number that can be asked for and changed.
struct Counter {
    value: i64,
}

/// What it can be asked.
#[derive(Serialize, Deserialize)]
enum Ask {
    Value,
    Add(i64),
}

impl Server for Counter {
    type Args = i64;
    type Call = Ask;
    type Reply = i64;
    type Cast = Reset;

    async fn init(value: i64, _: &mut Context) -> Result<Self, ExitReason> {
        Ok(Self { value })
    }

    async fn call(&mut self, ask: Ask, caller: ReplyTo<Self>, _: &mut Context) -> Next {
        match ask {
            Ask::Value => {}
            Ask::Add(more) => self.value += more,
        }
        // The answer may also be given later, from anywhere: `caller` can be kept and moved.
        caller.reply(self.value);
        Next::Continue
    }

    async fn cast(&mut self, Reset: Reset, _: &mut Context) -> Next {
        self.value = 0;
        Next::Continue
    }
}

/// A request that wants no answer.
#[derive(Serialize, Deserialize)]
struct Reset;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Two nodes of one cluster. They could be on two machines.
    let identity = Identity::generate()?;
    let anywhere = "127.0.0.1:0".parse()?;
    let london = ClusterNode::bind("london", Runtime::new(), anywhere, &identity)?;
    let tokyo = ClusterNode::bind("tokyo", Runtime::new(), anywhere, &identity)?;
    tokyo.connect(london.local_addr()?).await?;

    // The counter runs in London. There, a call moves its values: nothing is encoded.
    let options = ServerOptions::named("counter");
    let counter = london.runtime().start_with::<Counter>(options, 40).await?;
    assert_eq!(london.runtime().call(&counter, Ask::Add(1)).await?, 41);

    // From Tokyo it is the same call. By pid, or by name:
    let counter = ServerRef::<Counter>::on("london", "counter")?;
    assert_eq!(tokyo.runtime().call(&counter, Ask::Add(1)).await?, 42);
    tokyo.runtime().cast(&counter, Reset).await?;
    assert_eq!(tokyo.runtime().call(&counter, Ask::Value).await?, 0);

    // Every call ends: with an answer, or with an error that says whether it may have happened.
    london.runtime().shutdown().await;
    let error = tokyo.runtime().call(&counter, Ask::Value).await.expect_err("the counter is gone");
    report(&format!("{error}; may have happened: {}", error.may_have_happened()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is what the example shows")]
fn report(text: &str) {
    println!("{text}");
}
