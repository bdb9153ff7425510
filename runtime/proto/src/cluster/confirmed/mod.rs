//! Confirmed names: held for as long as a majority of the members says so, and by one process at a time.
//!
//! # The exchange
//! A claimant asks every member that it is linked with for its vote, under a **fencing token** of its own making, and
//! holds the name once a majority of all voters it knows has granted it. A grant is a lease: it runs out by itself
//! ([`Limits::lease`](crate::limits::Limits::lease)), and the holder has it renewed four times as often. A holder that
//! does not reach a majority gives the name up before the first of its grants can have run out at its voter: it counts
//! from when it asked, the voter from when it answered, and some more.
//!
//! # Why two never hold one name
//! Any two majorities of the same voters share one, which grants nobody a name while its grant to another has not run
//! out or been given back. A voter that has just started does not vote until whatever it may have granted before has
//! run out. A member that has left is counted for some time still. What this rests on: clocks of two nodes run equally
//! fast (up to one part in [`DRIFT`]), and both sides know the same voters. Nodes that join while the cluster is split
//! are known to one side only; who wants to be safe against that too says how many voters there are ([`Quorum::Of`]).
//!
//! # Tokens grow
//! A token is a hybrid logical clock, and above every token that the claimant or any voter of its majority has seen for
//! the name. Whoever a holder writes to can refuse a token that is below the highest it has seen: then a holder that
//! stood still, and does not know yet that it has lost the name, does no harm.

pub(crate) mod claimant;
#[cfg(test)]
mod tests;
pub(crate) mod voter;

use std::time::Duration;

use crate::host::Quorum;

/// A voter's lease is longer than the claimant's by one part in so many.
pub(crate) const DRIFT: u32 = 16;
/// Bits of a token that count tokens within one millisecond.
const TOKEN_COUNTER_BITS: u32 = 16;
/// A claimant whose clock runs ahead of a voter's by more than this gets no vote, so that it cannot use up all tokens.
const CLOCK_AHEAD_MS_MAX: u64 = 60_000;

/// Whether a token is not of a clock that is far ahead of this one.
fn is_plausible(token: u64, wall_ms: u64) -> bool {
    token >> TOKEN_COUNTER_BITS <= wall_ms.saturating_add(CLOCK_AHEAD_MS_MAX)
}

/// How long a voter keeps what it granted for `lease`.
pub(crate) fn voters_lease(lease: Duration) -> Duration {
    lease + lease / DRIFT
}

/// How many of so many voters must grant a name.
fn needed(quorum: Quorum, voters: usize) -> usize {
    let voters = match quorum {
        Quorum::Majority => voters,
        Quorum::Of(all) => voters.max(all),
    };
    voters / 2 + 1
}
