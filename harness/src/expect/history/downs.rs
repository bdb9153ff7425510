//! Each monitor fires once at most; and once a process is known to have ended, everybody who watches it has been told.

use std::collections::{BTreeMap, BTreeSet};

use regatta::Pid;

use super::{History, seconds, told};
use crate::record::What;

pub(super) fn check(history: &History) -> Result<(), String> {
    let mut fired: BTreeMap<(Pid, u64), u64> = BTreeMap::new();
    let mut ended: BTreeSet<Pid> = BTreeSet::new();
    let mut wrong = Vec::new();
    let tellings = history.of(|what| match what {
        // What is told of names is nobody's end.
        What::Told { kind, .. } if kind == "name" => None,
        What::Told { watcher, process, reason, monitor, .. } => Some((watcher, process, reason, monitor)),
        _ => None,
    });
    for (at_ns, (watcher, process, reason, monitor)) in tellings {
        if reason != "noconnection" {
            ended.insert(process.0);
        }
        let Some(monitor) = monitor else { continue };
        if let Some(before) = fired.insert((watcher.0, *monitor), at_ns) {
            wrong.push(format!(
                "the monitor of `{}` on `{}` fired twice: at {} and at {}",
                history.label(watcher.0),
                history.label(process.0),
                seconds(before),
                seconds(at_ns),
            ));
        }
    }
    let watches = history.of(|what| match what {
        What::Watched { watcher, process, monitor } => Some((watcher, process, monitor)),
        _ => None,
    });
    for (at_ns, (watcher, process, monitor)) in watches {
        let over = ended.contains(&process.0) || !history.node_runs(process.0);
        if over && history.node_runs(watcher.0) && !fired.contains_key(&(watcher.0, *monitor)) {
            wrong.push(format!(
                "`{}` watches `{}` since {} and was never told of its end",
                history.label(watcher.0),
                history.label(process.0),
                seconds(at_ns),
            ));
        }
    }
    told(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{history, pid};
    use super::*;
    use crate::world::order::PidText;

    fn watched(watcher: Pid, process: Pid, monitor: u64) -> What {
        What::Watched { watcher: PidText(watcher), process: PidText(process), monitor }
    }

    fn told(watcher: Pid, process: Pid, monitor: u64) -> What {
        let (watcher, process) = (PidText(watcher), PidText(process));
        let kind = "monitor".to_owned();
        What::Told { watcher, process, kind, reason: "killed".to_owned(), monitor: Some(monitor) }
    }

    #[test]
    fn a_monitor_fires_once_and_for_everybody() {
        let (a, b, dead) = (pid(1, 1), pid(1, 2), pid(2, 1));
        let both = [watched(a, dead, 1), watched(b, dead, 2)];
        let with = |more: &[What]| history(both.iter().chain(more).cloned().collect());
        assert_eq!(check(&with(&[])), Ok(()), "nobody has ended");
        assert_eq!(check(&with(&[told(a, dead, 1), told(b, dead, 2)])), Ok(()));
        assert!(check(&with(&[told(a, dead, 1)])).unwrap_err().contains("never told"));
        let twice = [told(a, dead, 1), told(b, dead, 2), told(a, dead, 1)];
        assert!(check(&with(&twice)).unwrap_err().contains("fired twice"));
        let mut gone = with(&[]);
        gone.running.pop();
        assert!(check(&gone).unwrap_err().contains("never told"), "its node has ended");
    }
}
