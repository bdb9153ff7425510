//! Who is who: nodes, incarnations, processes, names and references.
//!
//! A node is a name plus an [`Incarnation`], fresh at each start; it is never an address. A [`Pid`] carries the
//! incarnation and a serial that is never reused within it, so it is small, `Copy`, and means the same process on
//! every node of the cluster without a table.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Longest process, group or factory name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest node or cluster name, in bytes (one DNS label).
pub const LABEL_BYTES_MAX: usize = 63;
/// The node name that every certificate carries as its second DNS name; no node may be called so.
pub const RESERVED_LABEL: &str = "member";

/// Why a text is no name, label or pid. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseIdError {
    /// The text is no DNS label.
    #[error("{0:?} is not a node name: use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends")]
    Label(String),
    /// The label is set aside for the certificates' common name.
    #[error("{0:?} is reserved and cannot name a node")]
    Reserved(String),
    /// The text is no process name.
    #[error("{0:?} is not a name: use 1 to 255 bytes without control characters")]
    Name(String),
    /// The text is no pid.
    #[error("{0:?} is not a pid: expected <incarnation.serial> or <node.incarnation.serial>, both in hex")]
    Pid(String),
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and takes it.
            ///
            /// # Errors
            /// [`ParseIdError`] when the text breaks the rule of this type.
            pub fn new(text: impl AsRef<str>) -> Result<Self, ParseIdError> {
                let text = text.as_ref();
                Self::check(text).map(|()| Self(text.into()))
            }

            /// Checks a text without taking it.
            ///
            /// # Errors
            /// [`ParseIdError`] when the text breaks the rule of this type.
            pub fn check(text: &str) -> Result<(), ParseIdError> {
                let check: fn(&str) -> Result<(), ParseIdError> = $check;
                check(text)
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text! {
    /// A node's name: one DNS label, `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`, unique among the live nodes of a cluster.
    NodeName, |text| {
        label(text)?;
        if text == RESERVED_LABEL { Err(ParseIdError::Reserved(text.into())) } else { Ok(()) }
    }
}

text! {
    /// A cluster's name: one DNS label. Nodes of different clusters never link.
    ClusterName, label
}

text! {
    /// The name of a process, a group or a factory: 1 to [`NAME_BYTES_MAX`] bytes, no control characters.
    Name, |text| {
        // Most names are plain, which is quickly seen.
        let is_clean = || is_plain(text.as_bytes()) || !text.chars().any(char::is_control);
        let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && is_clean();
        if fits { Ok(()) } else { Err(ParseIdError::Name(text.chars().take(64).collect())) }
    }
}

/// Whether all bytes are from ' ' to '~', eight at a time.
fn is_plain(bytes: &[u8]) -> bool {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = EACH << 7;
    // A byte has its top bit here if it is below ' ', is DEL, or is above: adding 1 to DEL sets it, and taking ' ' from a
    // byte below borrows. A borrow or carry into the next byte can only come from a byte that is bad itself.
    let bad = |word: u64| (word.wrapping_sub(EACH * 0x20) | word.wrapping_add(EACH) | word) & TOPS;
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().fold(0, |all, word| all | bad(u64::from_le_bytes(*word)));
    words == 0 && rest.iter().all(|byte| (b' '..=b'~').contains(byte))
}

fn label(text: &str) -> Result<(), ParseIdError> {
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let ends = !text.starts_with('-') && !text.ends_with('-');
    if (1..=LABEL_BYTES_MAX).contains(&bytes.len()) && ends && bytes.iter().all(inner) {
        Ok(())
    } else {
        Err(ParseIdError::Label(text.chars().take(64).collect()))
    }
}

/// One start of one node. A later start of the same node has a higher number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(u64);

impl Incarnation {
    /// Microseconds since 2020-01-01 fill the upper 52 bits; the lower 12 keep two starts within one microsecond apart.
    const EPOCH_UNIX_US: u64 = 1_577_836_800_000_000;

    /// The incarnation of a node that starts at `unix_us` (microseconds since 1970), with 12 bits of `entropy`.
    #[must_use]
    pub fn at(unix_us: u64, entropy: u64) -> Self {
        Self(unix_us.saturating_sub(Self::EPOCH_UNIX_US) << 12 | entropy & 0xfff)
    }

    /// The incarnation with this number.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// One start of a named node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId {
    /// The node's name.
    pub name: NodeName,
    /// Which start of it.
    pub incarnation: Incarnation,
}

impl NodeId {
    /// A number for what is decided by chance. Only to keep nodes apart: each start of each node has another.
    pub(crate) fn seed(&self) -> u64 {
        self.name.as_str().bytes().fold(self.incarnation.raw(), |seed, byte| {
            seed.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(byte)
        })
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.incarnation)
    }
}

/// A process, anywhere in the cluster. `Copy`, 16 bytes, and the same value on every node.
///
/// Its text is `<incarnation.serial>`, both in hex; [`Pid::with_node`] puts the node's name in front. Both texts parse
/// back to the same pid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid {
    incarnation: Incarnation,
    serial: u64,
}

impl Pid {
    /// The process with `serial` on the node that runs `incarnation`.
    #[must_use]
    pub const fn new(incarnation: Incarnation, serial: u64) -> Self {
        Self { incarnation, serial }
    }

    /// The start of the node that the process belongs to.
    #[must_use]
    pub const fn incarnation(self) -> Incarnation {
        self.incarnation
    }

    /// The process's number, never reused within its incarnation. 0 stands for the node itself.
    #[must_use]
    pub const fn serial(self) -> u64 {
        self.serial
    }

    /// The text form that names the node: `<london.3f2a.17>`.
    #[must_use]
    pub fn with_node(self, node: &NodeName) -> String {
        format!("<{node}.{:x}.{:x}>", self.incarnation.0, self.serial)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{:x}.{:x}>", self.incarnation.0, self.serial)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pid {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError::Pid(text.chars().take(96).collect());
        let inner = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).ok_or_else(wrong)?;
        let mut parts = inner.rsplit('.');
        let mut number = || parts.next().and_then(|p| u64::from_str_radix(p, 16).ok()).ok_or_else(wrong);
        let serial = number()?;
        let incarnation = Incarnation(number()?);
        match (parts.next().map(NodeName::new), parts.next()) {
            (None | Some(Ok(_)), None) => Ok(Self { incarnation, serial }),
            _ => Err(wrong()),
        }
    }
}

/// A monitor or an alias, unique among those of the process's node for as long as the node lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Reference(u64);

impl Reference {
    /// The reference with this number.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#ref<{:x}>", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_reads_back_from_both_of_its_texts() {
        let pid = Pid::new(Incarnation::from_raw(0x3f2a), 0x17);
        assert_eq!(pid.to_string(), "<3f2a.17>");
        assert_eq!(pid.to_string().parse(), Ok(pid));
        let london = NodeName::new("london").expect("a label");
        assert_eq!(pid.with_node(&london), "<london.3f2a.17>");
        assert_eq!(pid.with_node(&london).parse(), Ok(pid));
    }

    #[test]
    fn text_that_is_no_pid_is_refused() {
        for text in ["", "<>", "<1>", "<x.y>", "<a.b.c.d>", "1.2", "<LONDON.1.2>", "<1.2", "<..>", "<1.2.>"] {
            assert!(text.parse::<Pid>().is_err(), "{text:?} was taken for a pid");
        }
    }

    proptest::proptest! {
        #[test]
        fn plain_bytes_are_told_eight_at_a_time_as_one_by_one(
            // Most bytes good, so that the few bad ones decide.
            bytes in proptest::collection::vec(proptest::prop_oneof![9 => b' '..=b'~', 1 => proptest::num::u8::ANY], 0..40)
        ) {
            let one_by_one = bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
            proptest::prop_assert_eq!(is_plain(&bytes), one_by_one);
        }
    }

    #[test]
    fn a_node_name_is_one_dns_label_and_not_the_reserved_one() {
        for good in ["a", "london", "n1", "a-b", &"x".repeat(63)] {
            assert!(NodeName::new(good).is_ok(), "{good:?} was refused");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ü", "a\n", &"x".repeat(64), "member"] {
            assert!(NodeName::new(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_process_name_has_no_control_characters_and_a_bounded_length() {
        assert!(Name::new("svc/echo").is_ok());
        assert!(Name::new("日本").is_ok());
        for bad in ["", "a\u{1b}[31m", "a\nb", "a\0", &"x".repeat(256)] {
            assert!(Name::new(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_later_start_has_a_higher_incarnation() {
        let early = Incarnation::at(1_700_000_000_000_000, 0xfff);
        let late = Incarnation::at(1_700_000_000_000_001, 0);
        assert!(early < late);
    }
}
