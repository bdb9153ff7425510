//! Bugs that are planted on purpose, so that a test harness can show that it finds them. With the feature `planted` alone.
//!
//! Each is of a kind that clusters are known to have had. At most one is in force at a time, on the thread that planted it:
//! a simulation runs all of its nodes on one thread.

use std::cell::Cell;

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal,)+) => {
        /// A planted bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug { $($(#[doc = $doc])+ $bug,)+ }

        impl Bug {
            /// Every bug, with its name and with what it does.
            pub const ALL: &[(&str, Self, &str)] = &[$(($name, Self::$bug, concat!($($doc),+)),)+];
        }
    };
}

bugs! {
    /// A claim is believed whoever passes it on, and filed under whoever did.
    ForeignClaim = "foreign-claim",
    /// A link that ends takes the peer's other link along, because it is removed by the peer's name.
    LinkRemovedByName = "link-removed-by-name",
    /// Of two claims to one name, each node believes the one that it heard last.
    LastHeardWins = "last-heard-wins",
    /// A withdrawn name stays where it was known.
    LostWithdraw = "lost-withdraw",
    /// A new link begins where the old one ended: what was claimed meanwhile is not told.
    NothingResent = "nothing-resent",
    /// The names of a node that is down stay.
    NamesOfTheDead = "names-of-the-dead",
    /// A process's signals go by whichever lane is next.
    OrderBreak = "order-break",
    /// Senders change their lanes while something of theirs is still under way in the old ones.
    Unfenced = "unfenced",
    /// A large body loses its last byte when another one is queued before it has left.
    Truncated = "truncated",
    /// A remote spawn is not told of the loss of its link.
    CallForgotten = "call-forgotten",
    /// A monitor that has fired stays, and fires again.
    DownTwice = "down-twice",
    /// A monitor across a link that is lost does not fire.
    DownLost = "down-lost",
    /// An exit that crosses an unlink counts.
    UnlinkRace = "unlink-race",
    /// Nothing keeps a link alive over which nobody speaks: no pulse, and no ping of QUIC's.
    NoKeepAlive = "no-keep-alive",
    /// A node that was lost is dialled once more, and then never again.
    NoRedial = "no-redial",
}

thread_local! {
    static IN_FORCE: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug on this thread, in place of the one before; or none.
pub fn plant(bug: Option<Bug>) {
    IN_FORCE.set(bug);
}

/// Whether this bug is in force on this thread.
#[must_use]
pub fn has(bug: Bug) -> bool {
    IN_FORCE.get() == Some(bug)
}
