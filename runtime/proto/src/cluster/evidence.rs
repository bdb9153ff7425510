//! Why a node is taken for lost: what was heard of it, from whom, and how well this node itself did.

use std::fmt;
use std::time::Duration;

use crate::host::LinkEnd;
use crate::id::NodeName;

/// What a third node said when it was asked whether it hears the one in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Testimony {
    /// It did not answer.
    NoAnswer,
    /// It is not linked with it.
    NotLinked,
    /// It last heard it so long ago, at the moment of the verdict.
    HeardAgo(Duration),
}

/// What ended it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownCause {
    /// Its link ended like this, and no member of this side is linked with it.
    LinkEnd(LinkEnd),
    /// A later start of the node took its place.
    Restarted,
}

/// What speaks for it that a node, or the link with it, is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// What ended it.
    pub cause: DownCause,
    /// Time since its last packet, when its link ended.
    pub silent_for: Duration,
    /// Smoothed round-trip time of its link.
    pub rtt: Duration,
    /// Packets sent over its link.
    pub packets_sent: u64,
    /// Packets of these that were lost.
    pub packets_lost: u64,
    /// The longest lateness of this node's own timer in the minute before.
    pub own_stall: Duration,
    /// What the timeouts were multiplied with on its account: 1 to 8.
    pub patience: u32,
    /// The nodes that were asked, and what they said.
    pub asked: Vec<(NodeName, Testimony)>,
    /// The members that say that they are linked with it.
    pub seen_by: Vec<NodeName>,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            DownCause::LinkEnd(end) => write!(f, "{end}")?,
            DownCause::Restarted => f.write_str("it was started again")?,
        }
        let Self { silent_for, rtt, packets_sent, packets_lost, own_stall, patience, .. } = self;
        write!(
            f,
            "; silent for {silent_for:.1?}, round trip {rtt:.1?}, {packets_lost} of {packets_sent} packets lost"
        )?;
        if *patience > 1 || !own_stall.is_zero() {
            write!(
                f,
                "; this node itself was late by up to {own_stall:.1?}, so timeouts were {patience} times as long"
            )?;
        }
        for (node, said) in &self.asked {
            match said {
                Testimony::NoAnswer => write!(f, "; {node} did not answer")?,
                Testimony::NotLinked => write!(f, "; {node} is not linked with it")?,
                Testimony::HeardAgo(ago) => write!(f, "; {node} heard it {ago:.1?} ago")?,
            }
        }
        match &self.seen_by[..] {
            [] => Ok(()),
            seen_by => {
                let names: Vec<&str> = seen_by.iter().map(NodeName::as_str).collect();
                write!(f, "; linked with {}", names.join(", "))
            }
        }
    }
}
