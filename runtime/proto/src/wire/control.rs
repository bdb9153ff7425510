//! The messages of the control stream and of questions: protobuf, so that later versions may add fields.
//!
//! The control stream is the one bidirectional stream that the dialer opens. Its exchange:
//!
//! ```text
//! dialer                                   acceptor
//!   Hello ------------------------------------->       may I?
//!   <----------------------------------- Welcome       yes, or: I have a link with you already
//!   Confirm ----------------------------------->       then this link it is (otherwise the dialer closes)
//!   Members ...                       Members ...      who else belongs to the cluster, then every newcomer
//!   Links ...                           Links ...      with whom each side is linked, then every change
//!   Names ...                           Names ...      what each side registered, then every change
//!   Ballots ...                         Votes ...      may I have this name?
//! ```
//!
//! A message of an unknown kind is skipped unless it says that it is required.

use bytes::{BufMut, BytesMut};
use prost::Message;

use super::codec::LENGTH_BYTES;

/// Who speaks, and what it understands.
#[derive(Clone, PartialEq, Message)]
pub struct Hello {
    /// Lowest protocol version that the node speaks.
    #[prost(uint32, tag = "1")]
    pub version_min: u32,
    /// Highest protocol version that the node speaks.
    #[prost(uint32, tag = "2")]
    pub version_max: u32,
    /// Bit set of optional features.
    #[prost(fixed64, tag = "3")]
    pub features: u64,
    /// The cluster that the node belongs to.
    #[prost(string, tag = "4")]
    pub cluster: String,
    /// The node's name; a certificate must say the same.
    #[prost(string, tag = "5")]
    pub node: String,
    /// The node's incarnation.
    #[prost(fixed64, tag = "6")]
    pub incarnation: u64,
    /// The largest message that the node takes, in bytes.
    #[prost(uint64, tag = "7")]
    pub message_bytes_max: u64,
}

/// The acceptor's answer to a hello.
#[derive(Clone, PartialEq, Message)]
pub struct Welcome {
    /// Who answers.
    #[prost(message, optional, tag = "1")]
    pub hello: Option<Hello>,
    /// Whether the acceptor has, or is about to have, a link with the dialer already.
    #[prost(bool, tag = "2")]
    pub linked: bool,
    /// What the acceptor holds of the dialer's names.
    #[prost(message, optional, tag = "3")]
    pub held: Option<Held>,
}

/// The dialer keeps this link. From here on both sides use it.
#[derive(Clone, PartialEq, Message)]
pub struct Confirm {
    /// What the dialer holds of the acceptor's names.
    #[prost(message, optional, tag = "1")]
    pub held: Option<Held>,
}

/// One global name that the sender of the message owns.
#[derive(Clone, PartialEq, Message)]
pub struct Claim {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Serial of the process that holds it.
    #[prost(uint64, tag = "2")]
    pub serial: u64,
    /// When it was claimed: a hybrid logical clock.
    #[prost(fixed64, tag = "3")]
    pub claimed_at: u64,
    /// Whether its owner's node decides by a resolver of its own if another claims the name too.
    #[prost(bool, tag = "4")]
    pub resolves: bool,
    /// The latest claim to the same name that this one was kept against, by such a resolver; 0 if there was none.
    #[prost(fixed64, tag = "5")]
    pub kept_against: u64,
    /// The token under which a majority confirmed it; 0 if it is only claimed.
    #[prost(fixed64, tag = "6")]
    pub token: u64,
}

/// Changes to the global names that the sender owns.
#[derive(Clone, PartialEq, Message)]
pub struct Names {
    /// Names claimed.
    #[prost(message, repeated, tag = "1")]
    pub claimed: Vec<Claim>,
    /// Names given up.
    #[prost(string, repeated, tag = "2")]
    pub withdrawn: Vec<String>,
    /// The version of the sender's claims that the last of these messages makes.
    #[prost(uint64, tag = "3")]
    pub version: u64,
    /// The version that they build on, if they are changes.
    #[prost(uint64, tag = "4")]
    pub base: u64,
    /// Not changes: with the last of these messages, everything was said, and what was not is claimed no more.
    #[prost(bool, tag = "5")]
    pub all: bool,
    /// More of these messages follow.
    #[prost(bool, tag = "6")]
    pub more: bool,
    /// Memberships of groups, with how many there are now. They are versioned with the names.
    #[prost(message, repeated, tag = "7")]
    pub memberships: Vec<Membership>,
    /// Not changes: this is the first of these messages, and what came of another such row before it is void.
    #[prost(bool, tag = "8")]
    pub first: bool,
    /// The digest of all claims at `version`, in the last message of changes; 0 if it is not said.
    #[prost(fixed64, tag = "9")]
    pub digest: u64,
}

/// One process of the sender in one group.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Membership {
    /// The group.
    #[prost(string, tag = "1")]
    pub group: String,
    /// Serial of the process.
    #[prost(uint64, tag = "2")]
    pub serial: u64,
    /// How often it has joined, less how often it has left; 0: it is no member any more.
    #[prost(uint32, tag = "3")]
    pub count: u32,
}

/// What the sender holds of the receiver's global names.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Held {
    /// Their version; 0 if the sender holds none, or not all of one version.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// Their digest.
    #[prost(fixed64, tag = "2")]
    pub digest: u64,
}

/// The sender wants to be told all global names of the receiver: what it holds is not what the receiver's pulse says.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct NamesWanted {}

/// A claim of the sender that it has withdrawn because a process of the receiver holds the name by a better one.
#[derive(Clone, PartialEq, Message)]
pub struct Yielded {
    /// The claim, which the receiver may never have heard of.
    #[prost(message, optional, tag = "1")]
    pub claim: Option<Claim>,
}

/// The sender wants the receiver's vote for a name.
#[derive(Clone, PartialEq, Message)]
pub struct Ballot {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Serial of the process that is to hold it.
    #[prost(uint64, tag = "2")]
    pub serial: u64,
    /// Under which token.
    #[prost(fixed64, tag = "3")]
    pub token: u64,
    /// For how long, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub lease_ms: u64,
    /// The sender's number for the vote.
    #[prost(uint64, tag = "5")]
    pub round: u64,
    /// The process holds the name already by a majority's votes.
    #[prost(bool, tag = "6")]
    pub renews: bool,
}

/// The sender gives a name up.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Released {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it was granted under this token, or a lower one.
    #[prost(fixed64, tag = "2")]
    pub token: u64,
}

/// What the sender wants of the receiver as a voter: first what it gives up, then what it asks for.
#[derive(Clone, PartialEq, Message)]
pub struct Ballots {
    /// Names given up.
    #[prost(message, repeated, tag = "1")]
    pub released: Vec<Released>,
    /// Names asked for.
    #[prost(message, repeated, tag = "2")]
    pub ballots: Vec<Ballot>,
    /// The highest token that the sender has seen for any name.
    #[prost(fixed64, tag = "3")]
    pub seen: u64,
}

/// What a voter says to a ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Verdict {
    /// For a reason that this version does not know, or none that waiting would change.
    Refused = 0,
    /// The name is the sender's, for the lease.
    Granted = 1,
    /// Somebody else has the voter's word.
    Held = 2,
    /// The voter has granted a higher token.
    Behind = 3,
    /// The voter started so lately that it may have forgotten a grant.
    TooYoung = 4,
}

/// The answer to a [`Ballot`].
#[derive(Clone, PartialEq, Message)]
pub struct Vote {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The token of the ballot.
    #[prost(fixed64, tag = "2")]
    pub token: u64,
    /// The number of the ballot.
    #[prost(uint64, tag = "3")]
    pub round: u64,
    /// What is said.
    #[prost(enumeration = "Verdict", tag = "4")]
    pub verdict: i32,
    /// The highest token that the voter has granted for the name.
    #[prost(fixed64, tag = "5")]
    pub highest: u64,
    /// If somebody else has the voter's word: whose process on which node, which start of it, which process.
    #[prost(string, tag = "6")]
    pub holder: String,
    /// See `holder`.
    #[prost(fixed64, tag = "7")]
    pub holder_incarnation: u64,
    /// See `holder`.
    #[prost(uint64, tag = "8")]
    pub holder_serial: u64,
}

/// The answers to [`Ballots`].
#[derive(Clone, PartialEq, Message)]
pub struct Votes {
    /// One for each.
    #[prost(message, repeated, tag = "1")]
    pub votes: Vec<Vote>,
    /// How many voters the sender knows of.
    #[prost(uint64, tag = "2")]
    pub voters: u64,
}

/// One node of the cluster, in its own words, which others pass on.
#[derive(Clone, PartialEq, Message)]
pub struct Member {
    /// Its name.
    #[prost(string, tag = "1")]
    pub node: String,
    /// Which start of it.
    #[prost(fixed64, tag = "2")]
    pub incarnation: u64,
    /// Counts what the node says of itself; a higher one replaces a lower one of the same incarnation.
    #[prost(uint64, tag = "3")]
    pub version: u64,
    /// Where it can be dialled: address (4 or 16 bytes) and port (2 bytes), both in network order.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub addrs: Vec<Vec<u8>>,
    /// It is nobody's business: not passed on.
    #[prost(bool, tag = "5")]
    pub hidden: bool,
    /// It links only with whom it has something to say to (`connect_all = false`).
    #[prost(bool, tag = "6")]
    pub sparse: bool,
    /// This start of it is over for good.
    #[prost(bool, tag = "7")]
    pub left: bool,
    /// Where whoever tells this is linked with it, if that is none of `addrs`; written as those.
    #[prost(bytes = "vec", tag = "8")]
    pub seen: Vec<u8>,
    /// Seconds since anybody whose word this is was linked with it: it is forgotten in time, however often it is told.
    #[prost(uint64, tag = "9")]
    pub unlinked_s: u64,
}

/// What a node knows of the members of the cluster: itself first when a link comes up, then the others.
#[derive(Clone, PartialEq, Message)]
pub struct Members {
    /// The members.
    #[prost(message, repeated, tag = "1")]
    pub members: Vec<Member>,
}

/// With whom one node is linked: its own words, or passed on for it.
#[derive(Clone, PartialEq, Message)]
pub struct Links {
    /// The node.
    #[prost(string, tag = "1")]
    pub node: String,
    /// Which start of it.
    #[prost(fixed64, tag = "2")]
    pub incarnation: u64,
    /// Counts what the node says of its links; a higher one replaces a lower one.
    #[prost(uint64, tag = "3")]
    pub version: u64,
    /// The version that this one builds on; 0 if `linked` is all that there is.
    #[prost(uint64, tag = "4")]
    pub base: u64,
    /// It does not link with everybody (`connect_all = false`): a link that is not there is not missing.
    #[prost(bool, tag = "5")]
    pub sparse: bool,
    /// Incarnations of the nodes that it is linked with, of all or since `base`.
    #[prost(fixed64, repeated, tag = "6")]
    pub linked: Vec<u64>,
    /// Incarnations that it is linked with no more, since `base`.
    #[prost(fixed64, repeated, tag = "7")]
    pub lost: Vec<u64>,
}

/// One message of the control stream.
#[derive(Clone, PartialEq, Message)]
pub struct Control {
    /// What it says; nothing if its kind is unknown here.
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub body: Option<Body>,
    /// Whether a peer that does not know this kind must end the link.
    #[prost(bool, tag = "15")]
    pub required: bool,
}

/// The kinds of control messages.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    /// The dialer introduces itself.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// The acceptor answers.
    #[prost(message, tag = "2")]
    Welcome(Welcome),
    /// The dialer keeps the link.
    #[prost(message, tag = "3")]
    Confirm(Confirm),
    /// Global names changed.
    #[prost(message, tag = "4")]
    Names(Names),
    /// Members of the cluster that the peer may not know.
    #[prost(message, tag = "5")]
    Members(Members),
    /// Global names are to be sent anew.
    #[prost(message, tag = "6")]
    NamesWanted(NamesWanted),
    /// With whom a node is linked.
    #[prost(message, tag = "7")]
    Links(Links),
    /// A name went to the receiver.
    #[prost(message, tag = "8")]
    Yielded(Yielded),
    /// Votes are asked for, or given back.
    #[prost(message, tag = "9")]
    Ballots(Ballots),
    /// Votes.
    #[prost(message, tag = "10")]
    Votes(Votes),
}

/// A question on a stream of its own: what runs on the node. One page of processes.
#[derive(Clone, PartialEq, Message)]
pub struct ListProcesses {
    /// Only processes with a serial above this.
    #[prost(uint64, tag = "1")]
    pub after: u64,
    /// At most so many; the node may give fewer.
    #[prost(uint32, tag = "2")]
    pub max: u32,
}

/// One process in a list.
#[derive(Clone, PartialEq, Message)]
pub struct ProcessRow {
    /// Its serial.
    #[prost(uint64, tag = "1")]
    pub serial: u64,
    /// What it calls itself; empty if nothing.
    #[prost(string, tag = "2")]
    pub label: String,
    /// The names it holds on its node.
    #[prost(string, repeated, tag = "3")]
    pub names: Vec<String>,
    /// Messages that wait in its mailbox.
    #[prost(uint64, tag = "4")]
    pub mailbox: u64,
}

/// The answer to [`ListProcesses`].
#[derive(Clone, PartialEq, Message)]
pub struct ProcessPage {
    /// Processes by ascending serial.
    #[prost(message, repeated, tag = "1")]
    pub rows: Vec<ProcessRow>,
    /// Whether there are more after the last of these.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// A question to a node.
#[derive(Clone, PartialEq, Message)]
pub struct Question {
    /// What is asked; nothing if its kind is unknown here.
    #[prost(oneof = "Ask", tags = "1")]
    pub ask: Option<Ask>,
}

/// The kinds of questions.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Ask {
    /// List processes.
    #[prost(message, tag = "1")]
    ListProcesses(ListProcesses),
}

/// A node's answer.
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    /// What is answered.
    #[prost(oneof = "Reply", tags = "1, 2")]
    pub reply: Option<Reply>,
}

/// The kinds of answers.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Reply {
    /// A page of processes.
    #[prost(message, tag = "1")]
    Processes(ProcessPage),
    /// The node does not answer this, with the reason.
    #[prost(string, tag = "2")]
    Refused(String),
}

/// Appends a message with its length in front.
pub(crate) fn put(out: &mut BytesMut, message: &impl Message) {
    let len = message.encoded_len();
    out.reserve(LENGTH_BYTES + len);
    out.put_u32_le(u32::try_from(len).expect("control messages are bounded"));
    message.encode(out).expect("room was reserved");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden vectors: these bytes are what peers of this version send. A change here is a change of the protocol.
    #[test]
    fn the_bytes_of_the_hello_exchange_stay_what_they_are() {
        let hello = Hello {
            version_min: 1,
            version_max: 1,
            features: 0,
            cluster: "main".into(),
            node: "n1".into(),
            incarnation: 0x0102,
            message_bytes_max: 1 << 20,
        };
        let control = Control { body: Some(Body::Hello(hello)), required: true };
        let mut out = BytesMut::new();
        put(&mut out, &control);
        let hex: String = out.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "1f0000000a1b0801100122046d61696e2a026e31310201000000000000388080407801");
        assert_eq!(Control::decode(&out[LENGTH_BYTES..]).expect("reads back"), control);
    }

    #[test]
    fn the_bytes_of_a_member_stay_what_they_are() {
        let member = Member {
            node: "n1".into(),
            incarnation: 0x0102,
            version: 1,
            addrs: vec![vec![10, 0, 0, 1, 0x0f, 0xa0]],
            hidden: false,
            sparse: true,
            left: true,
            seen: Vec::new(),
            unlinked_s: 0,
        };
        let control =
            Control { body: Some(Body::Members(Members { members: vec![member] })), required: false };
        let mut out = BytesMut::new();
        put(&mut out, &control);
        let hex: String = out.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "1f0000002a1d0a1b0a026e31110201000000000000180122060a0000010fa030013801");
        assert_eq!(Control::decode(&out[LENGTH_BYTES..]).expect("reads back"), control);
    }

    #[test]
    fn the_bytes_of_ballots_and_votes_stay_what_they_are() {
        let ballot =
            Ballot { name: "x".into(), serial: 1, token: 2, lease_ms: 3_000, round: 4, renews: true };
        let released = Released { name: "y".into(), token: 5 };
        let vote = Vote {
            name: "x".into(),
            token: 2,
            round: 4,
            verdict: Verdict::Held as i32,
            highest: 6,
            holder: "n1".into(),
            holder_incarnation: 7,
            holder_serial: 8,
        };
        let ballots = Ballots { released: vec![released], ballots: vec![ballot], seen: 9 };
        let bytes = |body| {
            let control = Control { body: Some(body), required: false };
            let mut out = BytesMut::new();
            put(&mut out, &control);
            assert_eq!(Control::decode(&out[LENGTH_BYTES..]).expect("reads back"), control);
            out.iter().map(|b| format!("{b:02x}")).collect::<String>()
        };
        assert_eq!(
            bytes(Body::Ballots(ballots)),
            "300000004a2e0a0c0a017911050000000000000012150a0178100119020000000000000020b81728043001190900000000000000"
        );
        assert_eq!(
            bytes(Body::Votes(Votes { votes: vec![vote], voters: 3 })),
            "2e000000522c0a280a01781102000000000000001804200229060000000000000032026e3139070000000000000040081003"
        );
    }

    #[test]
    fn a_message_with_unknown_fields_reads_as_what_is_known() {
        // Field 14 (a string) of a later version behind a known body.
        let mut bytes =
            Control { body: Some(Body::Confirm(Confirm { held: None })), required: false }.encode_to_vec();
        bytes.extend_from_slice(&[0x72, 2, b'h', b'i']);
        let control = Control::decode(&bytes[..]).expect("reads");
        assert_eq!(control.body, Some(Body::Confirm(Confirm { held: None })));
        // Only an unknown kind: nothing is left, and it is the flag that decides.
        let control = Control::decode(&[0x72, 2, b'h', b'i', 0x78, 1][..]).expect("reads");
        assert_eq!(control, Control { body: None, required: true });
    }
}
