//! Frames: golden vectors, and that what is written reads back, and whatever is read is a frame or an error.

use super::*;
use proptest::prelude::*;

fn whole(out: BytesMut) -> Bytes {
    let frame = out.freeze();
    assert_eq!(u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4);
    frame.slice(4..)
}

#[test]
fn the_bytes_of_a_message_to_a_group_stay_what_they_are() {
    let mut out = BytesMut::new();
    put_message(&mut out, 5, To::Group("g"), b"hi");
    let frame = whole(out);
    assert_eq!(&frame[..], [0x61, 5, 1, b'g', b'h', b'i']);
    let signal = Signal::Message(Bytes::from_static(b"hi"));
    let body = Body::Signal { to: To::Group("g"), signal };
    assert_eq!(read(&frame), Ok(Frame { from: 5, body }));
    // Nothing but messages goes to a group, and a group has a name.
    assert_eq!(read(&Bytes::from_static(&[0x63, 5, 1, b'g'])), Err(FrameError::Unknown(0x63)));
    assert_eq!(read(&Bytes::from_static(&[0x21, 5, 1, b'g'])), Err(FrameError::Unknown(0x21)));
}

fn signals() -> Vec<Signal> {
    let reference = Reference::from_raw(70_000);
    vec![
        Signal::Message(Bytes::from_static(b"hello")),
        Signal::Link,
        Signal::Unlink { id: 9 },
        Signal::UnlinkAck { id: 9 },
        Signal::Monitor { reference },
        Signal::Demonitor { reference },
        Signal::LinkExit(ExitReason::Panic("index out of bounds".into())),
        Signal::Exit(ExitReason::custom(b"\x00\xff")),
        Signal::Down { reference, reason: ExitReason::NoConnection },
        Signal::Request { reference: Some(reference), body: Bytes::from_static(b"hello") },
        Signal::Request { reference: None, body: Bytes::from_static(b"hello") },
        Signal::Reply { reference, result: Ok(Bytes::from_static(b"hello")) },
        Signal::Reply { reference, result: Err(Unanswered::NoReply) },
        Signal::Reply { reference, result: Err(Unanswered::NoServer) },
        Signal::Reply { reference, result: Err(Unanswered::MailboxFull) },
        Signal::Reply { reference, result: Err(Unanswered::BadRequest) },
        Signal::Reply { reference, result: Err(Unanswered::BadReply) },
        Signal::Reply { reference, result: Err(Unanswered::NoProc) },
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Golden vectors: these bytes are what peers of this version send. A change here is a change of the protocol.
#[test]
fn the_bytes_of_every_signal_stay_what_they_are() {
    let expected = [
        "090000000105412c68656c6c6f",
        "040000000305412c",
        "050000000405412c09",
        "050000000505412c09",
        "080000000605412c80011170",
        "080000000705412c80011170",
        "1a0000000805412c051300696e646578206f7574206f6620626f756e6473",
        "090000000905412c06020000ff",
        "0b0000000a05412c80011170030000",
        "0d0000000d05412c8001117068656c6c6f",
        "0a0000000d05412c0068656c6c6f",
        "0e0000000e05412c800111700068656c6c6f",
        "090000000e05412c8001117001",
        "090000000e05412c8001117002",
        "090000000e05412c8001117003",
        "090000000e05412c8001117004",
        "090000000e05412c8001117005",
        "090000000e05412c8001117006",
    ];
    assert_eq!(signals().len(), expected.len());
    for (signal, expected) in signals().iter().zip(expected) {
        let mut out = BytesMut::new();
        put_signal(&mut out, 5, 300, signal);
        assert_eq!(hex(&out), expected, "{signal:?}");
    }
    let mut out = BytesMut::new();
    put_message(&mut out, 0, To::Name("greeter"), b"hi");
    assert_eq!(hex(&out), "0c000000410007677265657465726869");
    let mut out = BytesMut::new();
    put_bulk(&mut out, 5, To::Serial(300), 2, 1 << 20, Carried::Message);
    assert_eq!(hex(&out), "090000000205412c0280100000");
    let mut out = BytesMut::new();
    put_bulk(&mut out, 5, To::Serial(300), 2, 1 << 20, Carried::Request(None));
    assert_eq!(hex(&out), "0b0000000205412c02801000000100");
    let mut out = BytesMut::new();
    put_fence(&mut out);
    assert_eq!(hex(&out), "03000000110000");
}

#[test]
fn a_fence_says_nothing_and_nobody_may_skip_one() {
    let mut out = BytesMut::new();
    put_fence(&mut out);
    assert!(is_fence(&whole(out)));
    assert!(is_fence(&[OPTIONAL | kind::FENCE, 0, 0]));
    for wrong in [&[kind::FENCE, 1, 0][..], &[kind::FENCE, 0, 0, 0], &[OPTIONAL | kind::FENCE, 0, 7]] {
        assert!(!is_fence(wrong), "{wrong:?}");
        assert_eq!(read(&Bytes::copy_from_slice(wrong)), Err(FrameError::Fence), "{wrong:?}");
    }
}

#[test]
fn the_stub_of_a_large_body_says_what_it_is() {
    let reference = Reference::from_raw(70_000);
    for carried in [
        Carried::Message,
        Carried::Request(None),
        Carried::Request(Some(reference)),
        Carried::Reply(reference),
    ] {
        let mut out = BytesMut::new();
        put_bulk(&mut out, 5, To::Serial(300), 2, 1 << 20, carried);
        let body = Body::Bulk { to: To::Serial(300), bulk: 2, len: 1 << 20, carried };
        assert_eq!(read(&whole(out)), Ok(Frame { from: 5, body }));
    }
    let unknown = Bytes::from_static(&[kind::BULK, 0, 1, 0, 1, 3, 0]);
    assert_eq!(read(&unknown), Err(FrameError::Carried(3)));
}

#[test]
fn the_wish_to_know_what_became_of_a_message_stays_what_it_is() {
    let mut out = BytesMut::new();
    put_ack_wanted(&mut out, 5, 300);
    assert_eq!(hex(&out), "050000000f0500412c");
    let mut out = BytesMut::new();
    put_acked(&mut out, 300, Delivery::MailboxFull);
    assert_eq!(hex(&out), "06000000100000412c02");
}

#[test]
fn the_wish_to_know_and_each_answer_to_it_read_back() {
    let mut out = BytesMut::new();
    put_ack_wanted(&mut out, 5, 77);
    assert_eq!(read(&whole(out)), Ok(Frame { from: 5, body: Body::AckWanted { call: 77 } }));
    for delivery in [Delivery::Delivered, Delivery::NoProc, Delivery::MailboxFull] {
        let mut out = BytesMut::new();
        put_acked(&mut out, 77, delivery);
        assert_eq!(read(&whole(out)), Ok(Frame { from: 0, body: Body::Acked { call: 77, delivery } }));
    }
    let unknown = Bytes::from_static(&[kind::ACKED, 0, 0, 1, 3]);
    assert_eq!(read(&unknown), Err(FrameError::Status(3)));
}

#[test]
fn every_signal_reads_back() {
    for signal in signals() {
        let mut out = BytesMut::new();
        put_signal(&mut out, 5, 300, &signal);
        let frame = whole(out);
        let read = read(&frame).expect("a frame");
        assert_eq!(read, Frame { from: 5, body: Body::Signal { to: To::Serial(300), signal } });
    }
}

#[test]
fn a_spawn_and_its_answers_read_back() {
    let request = SpawnRequest {
        call: 77,
        factory: Name::new("counter").unwrap(),
        register: Some(Name::new("svc/counter").unwrap()),
        link: true,
        monitor: Some(Reference::from_raw(3)),
        deadline: Duration::from_millis(1500),
        args: Bytes::from_static(b"from 10"),
    };
    let mut out = BytesMut::new();
    put_spawn(&mut out, 6, &request);
    assert_eq!(read(&whole(out)).expect("a frame").body, Body::Spawn(request));
    for result in [
        Ok(()),
        Err(SpawnRefusal::NoFactory),
        Err(SpawnRefusal::Busy),
        Err(SpawnRefusal::BadArgs("no number".into())),
        Err(SpawnRefusal::Panicked("oh".into())),
        Err(SpawnRefusal::NameTaken),
    ] {
        let mut out = BytesMut::new();
        put_spawned(&mut out, 8, 77, &result);
        let frame = whole(out);
        assert_eq!(read(&frame), Ok(Frame { from: 8, body: Body::Spawned { call: 77, result } }));
    }
}

#[test]
fn an_unknown_kind_closes_the_link_unless_it_is_optional() {
    assert_eq!(read(&Bytes::from_static(&[0x3f, 0, 0])), Err(FrameError::Unknown(0x3f)));
    let optional = Bytes::from_static(&[0xbf, 0, 0, 1, 2, 3]);
    assert_eq!(read(&optional), Ok(Frame { from: 0, body: Body::Skipped }));
}

#[test]
fn a_frame_cut_anywhere_is_an_error_or_a_shorter_body_and_never_a_panic() {
    for signal in signals() {
        let mut out = BytesMut::new();
        put_signal(&mut out, 5, 300, &signal);
        let frame = whole(out);
        for len in 0..frame.len() {
            let cut = frame.slice(..len);
            let shorter = |read: &Signal| match (read, &signal) {
                (Signal::Message(_), Signal::Message(_)) => true,
                (Signal::Request { reference: a, .. }, Signal::Request { reference: b, .. }) => a == b,
                (Signal::Reply { reference: a, result: Ok(_) }, Signal::Reply { reference: b, .. }) => a == b,
                _ => false,
            };
            match read(&cut) {
                Ok(Frame { body: Body::Signal { signal, .. }, .. }) if shorter(&signal) => {}
                result => assert!(result.is_err(), "{signal:?} cut to {len} gave {result:?}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&Bytes::from(bytes));
    }

    #[test]
    fn a_message_is_read_as_one_exactly_when_the_frame_is_one(
        kind in any::<u8>(),
        rest in prop::collection::vec(any::<u8>(), 0..40),
        // Real names of all lengths, and their lengths cut.
        name in "[a-z/\u{e4}]{0,20}",
        cut in 0usize..80,
    ) {
        let mut named = BytesMut::new();
        put_message(&mut named, 7, To::Name(&name), &rest);
        let mut group = BytesMut::new();
        put_message(&mut group, u64::from(kind) << 40, To::Group(&name), &rest);
        let mut serial = BytesMut::new();
        put_message(&mut serial, 300, To::Serial(u64::from(kind) << 20), &rest);
        let random = Bytes::from([&[kind][..], &rest].concat());
        for frame in [random, whole(named), whole(group), whole(serial)] {
            for frame in [frame.slice(..frame.len().min(cut)), frame] {
                let as_message = read_message(&frame).map(|(from, to, start)| {
                    (from, to, frame.slice(start..))
                });
                let as_any = match read(&frame) {
                    Ok(Frame { from, body: Body::Signal { to, signal: Signal::Message(body) } }) => {
                        Some((from, to, body))
                    }
                    _ => None,
                };
                prop_assert_eq!(as_message, as_any);
            }
        }
    }

    #[test]
    fn whatever_is_read_says_the_same_when_written_again(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let bytes = Bytes::from(bytes);
        if let Ok(Frame { from, body: Body::Signal { to: To::Serial(to), signal } }) = read(&bytes) {
            let mut out = BytesMut::new();
            put_signal(&mut out, from, to, &signal);
            let again = whole(out);
            prop_assert_eq!(read(&again), Ok(Frame { from, body: Body::Signal { to: To::Serial(to), signal } }));
        }
    }
}
