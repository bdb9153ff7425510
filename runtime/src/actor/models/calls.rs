//! Typed calls whose server ends, and whose caller gives up.

use std::time::Duration;

use regatta_proto::reason::ExitReason;
use shuttle::future::block_on;

use super::{all, aside, check, end, end_of};
use crate::actor::{Context, SendError};
use crate::server::{CallError, Next, ReplyTo, Server};

struct Adder(u64);

impl Server for Adder {
    type Args = ();
    type Call = u64;
    type Reply = u64;
    type Cast = ();

    async fn init((): (), _: &mut Context) -> Result<Self, ExitReason> {
        Ok(Self(0))
    }

    async fn call(&mut self, more: u64, caller: ReplyTo<Self>, _: &mut Context) -> Next {
        self.0 += more;
        caller.reply(self.0);
        Next::Continue
    }
}

/// Without a deadline: there is no clock.
const NEVER: Duration = Duration::MAX;

#[test]
fn two_callers_get_their_own_answers() {
    check(|rt| {
        let server = block_on(rt.start::<Adder>(())).expect("it starts");
        let callers = [(); 2].map(|()| {
            let server = server.clone();
            aside(rt, move |rt| block_on(rt.call_within(&server, 1, NEVER)).expect("it answers"))
        });
        let mut answers = all(callers);
        answers.sort_unstable();
        assert_eq!(answers, [1, 2]);
        block_on(rt.stop(&server, ExitReason::Normal)).expect("it lives");
    });
}

#[test]
fn a_call_ends_when_its_server_does() {
    check(|rt| {
        let server = block_on(rt.start::<Adder>(())).expect("it starts");
        let process = rt.find_server(&server).map(|cell| crate::ProcessHandle { cell }).expect("it lives");
        let caller = {
            let server = server.clone();
            aside(rt, move |rt| block_on(rt.call_within(&server, 1, NEVER)))
        };
        end(&process);
        match caller.join().expect("it calls") {
            Ok(1) | Err(CallError::Down(ExitReason::Killed) | CallError::NotSent(SendError::NoProc)) => {}
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_caller_that_is_killed_costs_its_server_nothing() {
    check(|rt| {
        let server = block_on(rt.start::<Adder>(())).expect("it starts");
        let to = server.clone();
        let caller = rt.spawn(|ctx| async move { drop(ctx.call_within(&to, 1, NEVER).await) });
        caller.kill();
        end_of(&caller);
        assert!(block_on(rt.call_within(&server, 1, NEVER)).is_ok());
        block_on(rt.stop(&server, ExitReason::Normal)).expect("it lives");
    });
}
