//! Clients of a register see its operations as if they took place one after another, each between its beginning and its
//! end (Herlihy and Wing, 1990). Stateright's tester finds such an order, or none.

use std::collections::BTreeMap;

use regatta::Pid;
use stateright::semantics::register::{Register, RegisterOp, RegisterRet};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};

use super::{History, seconds};
use crate::record::{Ask, What};

/// A client up to the first operation that was not answered; after that it is another one, since that operation may
/// still take place.
type Thread = (Pid, u64);

pub(super) fn check(history: &History) -> Result<(), String> {
    // The search is long: once over the whole, and answer by answer only to say which one it was.
    if replay(history, false)? {
        return Ok(());
    }
    replay(history, true).map(|_| ())
}

/// Whether there is an order. With `eager`, looked for after each answer, so that the first one too many can be told.
fn replay(history: &History, eager: bool) -> Result<bool, String> {
    let mut tester: LinearizabilityTester<Thread, Register<u64>> = LinearizabilityTester::new(Register(0));
    let mut epochs: BTreeMap<Pid, u64> = BTreeMap::new();
    let mut pending: BTreeMap<Pid, (u64, Ask)> = BTreeMap::new();
    let mut operations = 0_u64;
    let broken = |error: String| format!("the history is broken: {error}");
    for event in &history.events {
        match &event.what {
            What::Asked { client, operation, ask } => {
                let client = client.0;
                if pending.insert(client, (*operation, *ask)).is_some() {
                    *epochs.entry(client).or_default() += 1;
                }
                let thread = (client, epochs.get(&client).copied().unwrap_or_default());
                let op = match ask {
                    Ask::Read => RegisterOp::Read,
                    Ask::Write(value) => RegisterOp::Write(*value),
                };
                operations += 1;
                tester.on_invoke(thread, op).map_err(broken)?;
            }
            What::Answered { client, operation, value } => {
                let client = client.0;
                let Some((_, ask)) = pending.remove(&client).filter(|(asked, _)| asked == operation) else {
                    return Err(format!("an answer without a question, at {}", seconds(event.at_ns)));
                };
                let thread = (client, epochs.get(&client).copied().unwrap_or_default());
                let ret = match ask {
                    Ask::Write(_) => RegisterRet::WriteOk,
                    Ask::Read => RegisterRet::ReadOk(value.unwrap_or_default()),
                };
                tester.on_return(thread, ret).map_err(broken)?;
                if eager && !tester.is_consistent() {
                    let label = history.label(client);
                    let read = value.map_or_else(String::new, |value| format!(" that read {value}"));
                    return Err(format!(
                        "no order of the operations explains operation {operation} of `{label}`{read}, answered at {}, \
                         {operations} operations into the history",
                        seconds(event.at_ns),
                    ));
                }
            }
            _ => {}
        }
    }
    if operations == 0 {
        return Err("no client asked a register anything: there is nothing to judge".to_owned());
    }
    Ok(eager || tester.is_consistent())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{history, pid};
    use super::*;
    use crate::world::order::PidText;

    fn asked(client: u64, operation: u64, ask: Ask) -> What {
        What::Asked { client: PidText(pid(1, client)), operation, ask }
    }

    fn answered(client: u64, operation: u64, value: Option<u64>) -> What {
        What::Answered { client: PidText(pid(1, client)), operation, value }
    }

    #[test]
    fn a_read_sees_the_last_write_or_one_that_is_under_way() {
        let write = [asked(1, 0, Ask::Write(7)), answered(1, 0, None)];
        let read = |value| [asked(2, 0, Ask::Read), answered(2, 0, Some(value))];
        let then = |value| history(write.iter().chain(&read(value)).cloned().collect());
        assert_eq!(check(&then(7)), Ok(()));
        assert!(check(&then(0)).unwrap_err().contains("no order"), "an old value");
        let during = vec![asked(1, 0, Ask::Write(7)), asked(2, 0, Ask::Read), answered(2, 0, Some(0))];
        assert_eq!(check(&history(during)), Ok(()));
    }

    #[test]
    fn an_unanswered_write_may_take_place_at_any_time_or_never() {
        let lost =
            |then: &[What]| history([asked(1, 0, Ask::Write(7))].iter().chain(then).cloned().collect());
        let reads = |values: &[u64]| {
            let each = values.iter().zip(0..).flat_map(|(value, operation)| {
                [asked(2, operation, Ask::Read), answered(2, operation, Some(*value))]
            });
            each.collect::<Vec<_>>()
        };
        assert_eq!(check(&lost(&reads(&[0, 0]))), Ok(()));
        assert_eq!(check(&lost(&reads(&[0, 7]))), Ok(()));
        assert!(check(&lost(&reads(&[7, 0]))).is_err(), "it cannot be undone");
        let goes_on = vec![asked(1, 1, Ask::Read), answered(1, 1, Some(0))];
        assert_eq!(check(&lost(&goes_on)), Ok(()), "the client goes on as another");
    }

    #[test]
    fn a_history_without_operations_proves_nothing() {
        assert!(check(&history(vec![])).is_err());
    }
}
