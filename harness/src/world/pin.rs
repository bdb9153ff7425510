//! Nodes that stay on one core: figures then do not depend on where the kernel puts them.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the calling thread, and those that it starts, on one core of those that it may use: the one of this place,
/// counted round and round.
///
/// # Errors
/// What the kernel says. The thread then runs where it did.
pub(crate) fn to_core_of(place: usize) -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    let mut one = CpuSet::new();
    if !cores.is_empty() {
        one.set(cores[place % cores.len()]);
        sched_setaffinity(None, &one)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_on_the_core_of_its_place() {
        let cores = || {
            let now = sched_getaffinity(None).expect("the cores");
            (0..CpuSet::MAX_CPU).filter(|core| now.is_set(*core)).collect::<Vec<_>>()
        };
        let all = cores();
        for place in 0..all.len() + 2 {
            let on = std::thread::spawn(move || to_core_of(place).map(|()| cores())).join();
            let on = on.expect("a thread").expect("pinned");
            assert_eq!(on, [all[place % all.len()]], "place {place}");
        }
        assert_eq!(cores(), all, "others are not pinned");
    }
}
