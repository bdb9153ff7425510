//! Micro-benchmarks: the codec of a lane, and a message between two local processes.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use regatta::{Pid, Runtime};
use regatta_proto::wire::codec::Deframer;
use regatta_proto::wire::frame::{self, To};

/// The body of the messages here, in bytes.
const BODY: [u8; 64] = [7; 64];
/// Messages in one batch.
const BATCH: u64 = 1_000;

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("encode 1000 messages of 64 B", |bencher| {
        bencher.iter_batched_ref(
            || bytes::BytesMut::with_capacity(128 * 1024),
            |lane| {
                for serial in 0..BATCH {
                    frame::put_message(lane, serial, To::Serial(black_box(42)), black_box(&BODY));
                }
            },
            BatchSize::SmallInput,
        );
    });
    let mut lane = bytes::BytesMut::new();
    for serial in 0..BATCH {
        frame::put_message(&mut lane, serial, To::Serial(42), &BODY);
    }
    let lane = lane.freeze();
    group.bench_function("decode 1000 messages of 64 B", |bencher| {
        bencher.iter(|| {
            let mut deframer = Deframer::default();
            // As packets bring it: in pieces that cut frames anywhere.
            let mut count = 0;
            for piece in (0..lane.len()).step_by(1_200) {
                deframer.push(lane.slice(piece..(piece + 1_200).min(lane.len())));
                while let Ok(Some(bytes)) = deframer.next(1 << 20) {
                    black_box(frame::read(&bytes)).expect("what was written reads back");
                    count += 1;
                }
            }
            assert_eq!(count, BATCH);
        });
    });
    group.finish();
}

fn local_send(criterion: &mut Criterion) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("local send");
    group.throughput(Throughput::Elements(1));
    let runtime = tokio.block_on(async { Runtime::new() });
    let sink = runtime.spawn(|mut context| async move {
        loop {
            context.recv().await;
        }
    });
    let body = Bytes::from_static(&BODY);
    group.bench_function("send to a mailbox and receive, 64 B", |bencher| {
        bencher.iter_custom(|rounds| {
            tokio.block_on(async {
                let begun = std::time::Instant::now();
                for _ in 0..rounds {
                    runtime.try_send(sink.pid(), body.clone()).expect("it is alive");
                    // The receiver has its turn.
                    tokio::task::yield_now().await;
                }
                begun.elapsed()
            })
        });
    });
    let echo = runtime.spawn(|mut context| async move {
        while let Some(message) = context.recv().await.message() {
            let to = Pid::new(
                context.pid().incarnation(),
                u64::from_le_bytes(message[..8].try_into().expect("a serial")),
            );
            let _ = context.try_send(to, message);
        }
    });
    group.bench_function("round trip between two processes", |bencher| {
        bencher.iter_custom(|rounds| {
            let echo = echo.pid();
            tokio.block_on(async {
                let (done, ended) = tokio::sync::oneshot::channel();
                runtime.spawn(move |mut context| async move {
                    let me = Bytes::copy_from_slice(&context.pid().serial().to_le_bytes());
                    let begun = std::time::Instant::now();
                    for _ in 0..rounds {
                        context.try_send(echo, me.clone()).expect("it is alive");
                        context.recv().await;
                    }
                    let _ = done.send(begun.elapsed());
                });
                ended.await.expect("it measures")
            })
        });
    });
    group.finish();
}

criterion_group!(benches, codec, local_send);
criterion_main!(benches);
