//! Requests at given times, whatever comes back: response times count from when a request was meant to leave.
//!
//! A dedicated thread paces ([`pacing`](super::pacing)); `senders` processes take the replies. So a pause of the system is
//! felt by every request that was due in it, and not by one alone: there is no coordinated omission to be corrected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use regatta::{Context, Pid, Received, SendError};
use tokio::sync::oneshot;

use super::cost::Reading;
use super::figures::Rung;
use super::pacing::{Attempt, Monotonic, now_ns, pace, prompt};
use super::recorder::{Recorder, histogram};
use super::schedule;
use super::{LoadError, REPLY_WITHIN, Source, payload};
use crate::behaviour::OWN_LABEL;
use crate::behaviour::message::{self, Kind, Message};
use crate::random::Random;
use crate::scenario::load::{Arrivals, Load};

/// From this lateness on, a request was sent late.
pub(super) const LATE: Duration = Duration::from_millis(1);
/// The share of requests that may be late: half of what a p99 leaves out.
pub(super) const LATE_SHARE_MAX: f64 = 0.005;
/// How long requests that wait for a full link may still be sent after the last was due.
const SEND_WITHIN: Duration = Duration::from_secs(2);
/// How often a collector looks whether all has been sent.
const LOOK: Duration = Duration::from_millis(20);

/// What is sent when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    /// Requests a second at the start.
    pub(super) from: f64,
    /// Requests a second at the end.
    pub(super) to: f64,
    /// How they are spread.
    pub(super) arrivals: Arrivals,
    /// Time before the measurement; its requests are at the same rates.
    pub(super) warmup: Duration,
    /// The measured time.
    pub(super) length: Duration,
    /// The seed of the times and sizes.
    pub(super) seed: u64,
}

/// What the generator and the collectors share.
struct Course {
    /// When each request was meant to leave, from the start on.
    times: Vec<u64>,
    /// When each was sent, on the monotonic clock; 0 for not yet.
    sent_at: Vec<AtomicU64>,
    start: u64,
    /// What is due from here on is measured.
    warm: u64,
    /// All has been sent that will be.
    over: AtomicBool,
    sent: Vec<AtomicU64>,
}

/// Runs the offer; [`punctual`] says whether its figures tell of the system. `before_each` is called by the pacing thread before each request, and is what a test stalls it with.
pub(super) async fn run(
    load: &Load,
    from: &Source,
    to: Pid,
    offer: Offer,
    mut before_each: impl FnMut(usize) + Send + 'static,
) -> Result<Rung, LoadError> {
    let mut random = Random::apart(offer.seed, "arrivals");
    // The warm-up runs at the first rate, so that a ramp begins where its file says.
    let mut times = schedule::times(offer.from, offer.from, offer.arrivals, offer.warmup, &mut random);
    let warm = u64::try_from(offer.warmup.as_nanos()).unwrap_or(u64::MAX);
    let measured = schedule::times(offer.from, offer.to, offer.arrivals, offer.length, &mut random);
    let wanted = measured.len() as u64;
    times.extend(measured.into_iter().map(|time| time + warm));
    if wanted == 0 {
        return Err(LoadError::Nothing);
    }
    let senders = usize::try_from(load.senders.max(1)).unwrap_or(1).min(times.len());
    let course = Arc::new(Course {
        sent_at: times.iter().map(|_| AtomicU64::new(0)).collect(),
        times,
        // Enough for the collectors to start.
        start: now_ns() + 2_000_000,
        warm,
        over: AtomicBool::new(false),
        sent: (0..senders).map(|_| AtomicU64::new(0)).collect(),
    });
    let reading = Reading::now(from);
    let (mut collectors, mut pids) = (Vec::new(), Vec::new());
    for sender in 0..senders {
        let (done, collected) = oneshot::channel();
        let course = course.clone();
        let length = offer.length;
        let process = from.runtime().spawn(move |context| async move {
            context.set_label(format!("{OWN_LABEL}load"));
            // The harness may have given the run up.
            let _ = done.send(collect(context, &course, sender, length).await);
        });
        pids.push(process.pid());
        collectors.push(collected);
    }
    let (paced, generated) = oneshot::channel();
    let generator = {
        let (course, runtime) = (course.clone(), from.runtime().clone());
        let sizes = payload::Sizes::of(load, offer.seed);
        let give_up =
            course.start + course.times.last().copied().unwrap_or(0) + SEND_WITHIN.as_nanos() as u64;
        move || {
            prompt();
            let mut buffer = Vec::new();
            let outcome = pace(&Monotonic, course.start, &course.times, give_up, |index| {
                before_each(index);
                let sender = index % pids.len();
                buffer.resize(sizes.of_number(index as u64), 0);
                message::seal(&mut buffer, Kind::Request, pids[sender], index as u64);
                course.sent_at[index].store(now_ns(), Relaxed);
                match runtime.try_send(to, buffer.clone()) {
                    Ok(()) => {
                        course.sent[sender].fetch_add(1, Relaxed);
                        Attempt::Sent
                    }
                    Err(SendError::Busy | SendError::MailboxFull) => Attempt::Busy,
                    Err(_) => Attempt::Refused,
                }
            });
            course.over.store(true, Relaxed);
            // The harness may have given the run up.
            let _ = paced.send(outcome);
        }
    };
    let spawned = thread::Builder::new().name("load generator".to_owned()).spawn(generator);
    spawned.map_err(|error| LoadError::Generator(error.to_string()))?;
    let paced = generated.await.map_err(|_| LoadError::Ended)?;
    let mut rung = Rung::empty(0);
    let (mut last, mut recorder, mut service) = (0, Recorder::new(offer.length), histogram());
    for collector in collectors {
        let one = collector.await.map_err(|_| LoadError::Ended)?;
        rung.replies += one.replies;
        rung.handled += one.handled;
        recorder.add(&one.recorder);
        // Both have the same bounds, so nothing can be out of range.
        let _ = service.add(&one.service);
        last = last.max(one.last);
    }
    rung.costs = Some(reading.since(from, 2 * rung.handled));
    rung.requests = wanted;
    rung.errors = wanted.saturating_sub(rung.replies);
    rung.elapsed = Duration::from_nanos(last.saturating_sub(course.start + warm)).max(offer.length);
    rung.offered_rate = wanted as f64 / offer.length.as_secs_f64().max(f64::MIN_POSITIVE);
    rung.histogram = recorder.whole();
    rung.log = recorder.log(&load.id);
    rung.service = Some(service);
    rung.late = Some(paced.late);
    Ok(rung)
}

/// Whether the generator was in time: what a late one measured is its own stall.
///
/// # Errors
/// [`LoadError::Late`] if it was not.
pub(super) fn punctual(rung: &Rung) -> Result<(), LoadError> {
    let Some(delays) = &rung.late else { return Ok(()) };
    let count = delays.len().max(1);
    let share = (count - delays.count_between(0, LATE.as_nanos() as u64)) as f64 / count as f64;
    if share <= LATE_SHARE_MAX {
        return Ok(());
    }
    Err(LoadError::Late { share, worst: Duration::from_nanos(delays.max()) })
}

/// What one collector got.
struct Collected {
    replies: u64,
    handled: u64,
    recorder: Recorder,
    service: hdrhistogram::Histogram<u64>,
    last: u64,
}

async fn collect(mut context: Context, course: &Course, sender: usize, length: Duration) -> Collected {
    let mut all =
        Collected { replies: 0, handled: 0, recorder: Recorder::new(length), service: histogram(), last: 0 };
    let mut heard = now_ns();
    loop {
        let received = context.recv_timeout(LOOK).await;
        let now = now_ns();
        let Some(received) = received else {
            let complete = course.over.load(Relaxed) && all.handled >= course.sent[sender].load(Relaxed);
            let silent =
                course.over.load(Relaxed) && now.saturating_sub(heard) > REPLY_WITHIN.as_nanos() as u64;
            if complete || silent {
                return all;
            }
            continue;
        };
        let Received::Message(bytes) = received else { continue };
        let Some(reply) = Message::read(bytes).filter(|message| message.kind == Kind::Reply) else {
            continue;
        };
        let Some(due) = usize::try_from(reply.number).ok().and_then(|index| course.times.get(index)) else {
            continue;
        };
        heard = now;
        all.handled += 1;
        if *due >= course.warm {
            let sent_at = course.sent_at[reply.number as usize].load(Relaxed);
            all.replies += 1;
            all.last = now;
            let at = Duration::from_nanos(now.saturating_sub(course.start + course.warm));
            all.recorder.record(at, now.saturating_sub(course.start + due));
            all.service.saturating_record(now.saturating_sub(sent_at).max(1));
        }
    }
}
