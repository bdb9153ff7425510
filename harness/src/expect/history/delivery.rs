//! Nothing arrives twice, and nothing arrives that nobody sent.

use std::collections::{BTreeMap, BTreeSet};

use super::{History, seconds, told};
use crate::record::What;

pub(super) fn check(history: &History) -> Result<(), String> {
    let mut sent = BTreeMap::new();
    let mut arrived = BTreeSet::new();
    let mut wrong = Vec::new();
    // A name may have led elsewhere than where it pointed when the message left: the receiver is not compared. In other
    // processes a send may be noted a moment after its arrival: all sends are known before the first arrival is judged.
    for (_, passage) in history.of(|what| if let What::Sent(passage) = what { Some(passage) } else { None }) {
        sent.insert((passage.from, &passage.kind, passage.number), passage.bytes);
    }
    let received = history.of(|what| if let What::Received(passage) = what { Some(passage) } else { None });
    for (at_ns, passage) in received {
        let what = || {
            let (to, from) = (history.label(passage.to.0), history.label(passage.from.0));
            format!("`{to}` received {} {} of `{from}`", passage.kind, passage.number)
        };
        if !arrived.insert((passage.from, passage.to, &passage.kind, passage.number)) {
            wrong.push(format!("{} twice, the second time at {}", what(), seconds(at_ns)));
        }
        match sent.get(&(passage.from, &passage.kind, passage.number)) {
            None => wrong.push(format!("{}, which nobody sent, at {}", what(), seconds(at_ns))),
            Some(bytes) if *bytes != passage.bytes => wrong.push(format!(
                "{} with {} bytes, and it was sent with {bytes}, at {}",
                what(),
                passage.bytes,
                seconds(at_ns)
            )),
            Some(_) => {}
        }
    }
    told(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{history, passage, pid};
    use super::*;

    #[test]
    fn what_arrives_was_sent_and_arrives_once_and_whole() {
        let (a, b) = (pid(1, 1), pid(2, 1));
        let (sent, received) = (What::Sent(passage(a, b, 0)), What::Received(passage(a, b, 0)));
        assert_eq!(check(&history(vec![sent.clone(), received.clone()])), Ok(()));
        assert_eq!(check(&history(vec![sent.clone()])), Ok(()), "a loss is no wrong delivery");
        let twice = vec![sent.clone(), received.clone(), received.clone()];
        assert!(check(&history(twice)).unwrap_err().contains("twice"));
        assert!(check(&history(vec![received])).unwrap_err().contains("nobody sent"));
        let mut cut = passage(a, b, 0);
        cut.bytes = 31;
        assert!(check(&history(vec![sent, What::Received(cut)])).unwrap_err().contains("31 bytes"));
    }
}
