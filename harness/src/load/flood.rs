//! One way, as fast as the link takes it; the receiver counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use regatta::Pid;
use tokio::sync::oneshot;

use super::{Figures, LoadError, REPLY_WITHIN, Source};
use crate::behaviour::message::{self, HEADER_BYTES, Kind};
use crate::behaviour::{OWN_LABEL, Tally};
use crate::scenario::load::{Amount, Load};

/// How often the receiver's count is looked at once the senders are done.
const LOOK: Duration = Duration::from_millis(5);

pub(super) async fn run(
    load: &Load,
    from: &Source,
    to: Pid,
    tally: &Arc<Tally>,
) -> Result<Figures, LoadError> {
    let payload = usize::try_from(load.payload).unwrap_or(HEADER_BYTES).max(HEADER_BYTES);
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let mut senders = Vec::new();
    let each = match load.amount {
        Amount::Messages(messages) => messages,
        Amount::Duration(_) => u64::MAX,
    };
    let before = tally.messages();
    let reading = super::cost::Reading::now(from);
    let begun = Instant::now();
    for _ in 0..load.senders.max(1) {
        let (done, ended) = oneshot::channel::<u64>();
        let (stop, sent) = (stop.clone(), sent.clone());
        from.runtime().spawn(move |context| async move {
            context.set_label(format!("{OWN_LABEL}load"));
            let mut buffer = vec![0; payload];
            let (mut number, mut failed) = (0, 0);
            while number < each && !stop.load(Relaxed) {
                message::seal(&mut buffer, Kind::Data, context.pid(), number);
                match context.send(to, buffer.clone()).await {
                    Ok(()) => sent.fetch_add(1, Relaxed),
                    Err(_) => {
                        failed += 1;
                        break;
                    }
                };
                number += 1;
            }
            // The harness may have given the run up.
            let _ = done.send(failed);
        });
        senders.push(ended);
    }
    // With a time, what arrived between the end of the warm-up and the end of the time counts.
    let timed = match load.amount {
        Amount::Messages(_) => None,
        Amount::Duration(duration) => {
            tokio::time::sleep(load.warmup).await;
            let (at, count) = (Instant::now(), tally.messages());
            tokio::time::sleep(duration).await;
            let window = (at.elapsed(), tally.messages() - count);
            stop.store(true, Relaxed);
            Some(window)
        }
    };
    let mut failed = 0;
    for sender in senders {
        failed += sender.await.map_err(|_| LoadError::Ended)?;
    }
    let all = sent.load(Relaxed);
    let (mut last, mut changed) = (tally.messages(), Instant::now());
    while tally.messages() - before < all && changed.elapsed() < REPLY_WITHIN {
        tokio::time::sleep(LOOK).await;
        let now = tally.messages();
        if now != last {
            (last, changed) = (now, Instant::now());
        }
    }
    let arrived = tally.messages() - before;
    let costs = reading.since(from, arrived);
    let (elapsed, counted) = timed.unwrap_or((begun.elapsed(), arrived));
    if counted == 0 {
        return Err(LoadError::Nothing);
    }
    Ok(Figures {
        model: "flood",
        done: true,
        requests: all,
        replies: arrived,
        errors: all.saturating_sub(arrived) + failed,
        out_of_order: tally.out_of_order.load(Relaxed),
        rate: counted as f64 / elapsed.as_secs_f64(),
        cpu_us_per_message: costs.cpu_us,
        context_switches_per_message: costs.context_switches,
        datagrams_per_message: costs.datagrams,
        bytes_per_message: costs.bytes,
        socket_calls_per_message: costs.socket_calls,
        allocations_per_message: costs.allocations,
        rss_peak_mib: costs.rss_peak_mib,
        ..Figures::default()
    })
}
