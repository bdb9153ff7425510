//! Judges a hello: is it of our version and cluster, and is the node who it says it is?
//!
//! With certificates the name comes from the verified leaf and the hello must repeat it. With the shared identity there
//! is no name to verify: the hello's name counts.

use std::fmt;

use crate::id::{ClusterName, Incarnation, NodeId, NodeName};
use crate::link::close::CloseCode;
use crate::wire::control::Hello;

/// The protocol version that this engine speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// What the peer's certificate proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerName {
    /// This name, and no other.
    Certified(NodeName),
    /// That the peer holds the cluster's one shared key.
    Shared,
}

/// Why a hello is turned down: the code that the link is closed with, and words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The close code.
    pub code: CloseCode,
    /// What was wrong, without control characters.
    pub detail: String,
}

impl Refusal {
    pub(crate) fn new(code: CloseCode, detail: impl fmt::Display) -> Self {
        Self { code, detail: detail.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

/// A peer that may be linked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Greeted {
    pub(crate) id: NodeId,
    /// Whether a certificate proves the name.
    pub(crate) certified: bool,
    /// The largest message that the peer takes.
    pub(crate) message_bytes_max: usize,
}

/// Checks a hello against the certificate and against ourselves.
pub(crate) fn judge(
    hello: &Hello,
    proven: &PeerName,
    me: &NodeId,
    cluster: &ClusterName,
) -> Result<Greeted, Refusal> {
    let refuse = |code, detail: String| Err(Refusal { code, detail });
    if !(hello.version_min..=hello.version_max).contains(&PROTOCOL_VERSION) {
        let (min, max) = (hello.version_min, hello.version_max);
        return refuse(
            CloseCode::BadHello,
            format!("the peer speaks versions {min} to {max}, not {PROTOCOL_VERSION}"),
        );
    }
    if hello.cluster != cluster.as_str() {
        let theirs = hello.cluster.escape_debug();
        return refuse(
            CloseCode::BadHello,
            format!("the peer belongs to cluster \"{theirs}\", not \"{cluster}\""),
        );
    }
    let name = match NodeName::new(&hello.node) {
        Ok(name) => name,
        Err(error) => return refuse(CloseCode::BadHello, error.to_string()),
    };
    if let PeerName::Certified(certified) = proven
        && *certified != name
    {
        return refuse(
            CloseCode::IdentityMismatch,
            format!("the peer announced \"{name}\", but its certificate says \"{certified}\""),
        );
    }
    let incarnation = Incarnation::from_raw(hello.incarnation);
    if incarnation == me.incarnation {
        return refuse(CloseCode::SelfDial, format!("\"{name}\" dialled itself"));
    }
    if name == me.name {
        return refuse(CloseCode::IdentityMismatch, format!("both ends are called \"{name}\""));
    }
    let certified = matches!(proven, PeerName::Certified(_));
    let message_bytes_max = usize::try_from(hello.message_bytes_max).unwrap_or(usize::MAX);
    Ok(Greeted { id: NodeId { name, incarnation }, certified, message_bytes_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> NodeId {
        NodeId { name: NodeName::new("n1").unwrap(), incarnation: Incarnation::from_raw(1) }
    }

    fn hello() -> Hello {
        Hello {
            version_min: 1,
            version_max: 3,
            features: 0,
            cluster: "main".into(),
            node: "n2".into(),
            incarnation: 2,
            message_bytes_max: 1 << 20,
        }
    }

    fn verdict(hello: &Hello, proven: &PeerName) -> Result<Greeted, CloseCode> {
        judge(hello, proven, &me(), &ClusterName::new("main").unwrap()).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_hello_that_repeats_the_certificate_is_welcome() {
        let proven = PeerName::Certified(NodeName::new("n2").unwrap());
        let greeted = verdict(&hello(), &proven).expect("welcome");
        assert_eq!((greeted.id.to_string().as_str(), greeted.certified), ("n2.2", true));
        assert!(!verdict(&hello(), &PeerName::Shared).expect("welcome").certified);
    }

    #[test]
    fn each_fault_of_a_hello_has_its_code() {
        let shared = PeerName::Shared;
        let with = |change: fn(&mut Hello)| {
            let mut hello = hello();
            change(&mut hello);
            hello
        };
        assert_eq!(verdict(&with(|h| h.version_min = 2), &shared), Err(CloseCode::BadHello));
        assert_eq!(verdict(&with(|h| h.cluster = "other".into()), &shared), Err(CloseCode::BadHello));
        assert_eq!(verdict(&with(|h| h.node = "a\u{1b}[2J".into()), &shared), Err(CloseCode::BadHello));
        assert_eq!(verdict(&with(|h| h.node = "x".repeat(1 << 20)), &shared), Err(CloseCode::BadHello));
        assert_eq!(verdict(&with(|h| h.incarnation = 1), &shared), Err(CloseCode::SelfDial));
        assert_eq!(verdict(&with(|h| h.node = "n1".into()), &shared), Err(CloseCode::IdentityMismatch));
        let other = PeerName::Certified(NodeName::new("n3").unwrap());
        assert_eq!(verdict(&hello(), &other), Err(CloseCode::IdentityMismatch));
    }

    #[test]
    fn a_refusal_shows_no_raw_control_characters() {
        let mut hello = hello();
        hello.cluster = "a\u{1b}[2J\n".into();
        let refusal =
            judge(&hello, &PeerName::Shared, &me(), &ClusterName::new("main").unwrap()).unwrap_err();
        assert!(!refusal.to_string().chars().any(char::is_control), "{refusal}");
    }
}
