//! What a receiver gets from one sender never goes back: the signal order guarantee of the Erlang reference manual,
//! chapter "Processes".

use std::collections::BTreeMap;

use super::{History, seconds, told};
use crate::record::What;

pub(super) fn check(history: &History) -> Result<(), String> {
    let mut last = BTreeMap::new();
    let mut wrong = Vec::new();
    let received = history.of(|what| match what {
        What::Received(passage) if passage.kind == "data" => Some(passage),
        _ => None,
    });
    for (at_ns, passage) in received {
        let before = last.insert((passage.from, passage.to), passage.number);
        if let Some(before) = before.filter(|before| *before >= passage.number) {
            wrong.push(format!(
                "`{}` received number {} of `{}` after number {before}, at {}",
                history.label(passage.to.0),
                passage.number,
                history.label(passage.from.0),
                seconds(at_ns),
            ));
        }
    }
    told(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{history, passage, pid};
    use super::*;

    #[test]
    fn a_gap_is_no_disorder_and_going_back_is() {
        let (a, b, c) = (pid(1, 1), pid(2, 1), pid(2, 2));
        let received = |rows: &[(u64, regatta::Pid)]| {
            history(rows.iter().map(|(n, to)| What::Received(passage(a, *to, *n))).collect())
        };
        assert_eq!(check(&received(&[(0, b), (1, b), (5, b), (0, c), (6, b)])), Ok(()));
        assert!(check(&received(&[(0, b), (2, b), (1, b)])).unwrap_err().contains("number 1"));
        assert!(check(&received(&[(3, b), (3, b)])).is_err());
    }
}
