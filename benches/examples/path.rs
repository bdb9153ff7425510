//! What one message between two nodes costs, in counts that repeat: `path [--workers N] [--links N] [--in-flight K] [--messages N]
//! [--near-ms MS]`.
//!
//! A node and one or more others in one process send each other messages by name, as many round trips in flight as asked
//! for, over the links in turn. It prints what it can count itself: allocations and datagrams per one-way message. `scripts/path-cost` runs it twice, under callgrind
//! and under strace, with two numbers of messages, and divides the difference: what start and end cost falls out. Tools make
//! the round trip fifty times as long; a path counts as near here below a second (`--near-ms`), as loopback is without them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use regatta::{ClusterNode, Identity, Limits, Runtime};
use tokio::sync::Notify;

/// Counts what the system allocator is asked for.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as our caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as our caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as our caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The body of each message, in bytes.
const BODY: [u8; 64] = [7; 64];

struct Arguments {
    workers: usize,
    links: u64,
    in_flight: u64,
    messages: u64,
    near_ms: u64,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut read = Self { workers: 0, links: 1, in_flight: 64, messages: 200_000, near_ms: 1_000 };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word}: a number is missing"))?;
            let number: u64 = value.parse().map_err(|_| format!("{word} {value}: not a number"))?;
            match word.as_str() {
                "--workers" => read.workers = usize::try_from(number).map_err(|error| error.to_string())?,
                "--links" => read.links = number.max(1),
                "--in-flight" => read.in_flight = number,
                "--messages" => read.messages = number,
                "--near-ms" => read.near_ms = number,
                _ => {
                    return Err(format!(
                        "{word}: one of --workers (0: single-threaded) --links --in-flight --messages --near-ms"
                    ));
                }
            }
        }
        Ok(read)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::read()?;
    let tokio = match arguments.workers {
        0 => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        workers => {
            tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?
        }
    };
    tokio.block_on(async { tokio::spawn(measure(arguments)).await })??;
    Ok(())
}

/// A process that answers each message at `peer`'s process `name`, and counts.
fn answer(node: &ClusterNode, own: &str, peer: String, name: String, seen: Arc<Seen>) {
    let sends = node.clone();
    let process = node.runtime().spawn(move |mut context| async move {
        while let Some(message) = context.recv().await.message() {
            seen.one_more();
            // The peer ends first when all is counted.
            if sends.send(&peer, &name, &message).await.is_err() {
                break;
            }
        }
    });
    node.runtime().register(own, process.pid()).expect("the name is free");
}

/// How many messages have come back, and whether these are all.
struct Seen {
    count: AtomicU64,
    total: u64,
    all: Notify,
}

impl Seen {
    fn until(total: u64) -> Arc<Self> {
        Arc::new(Self { count: AtomicU64::new(0), total, all: Notify::new() })
    }

    fn one_more(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == self.total {
            self.all.notify_one();
        }
    }
}

async fn measure(arguments: Arguments) -> Result<(), String> {
    let Arguments { links, in_flight, messages, near_ms, .. } = arguments;
    let limits = Limits { near_rtt: Duration::from_millis(near_ms), ..Limits::default() };
    let identity = Identity::generate().map_err(|error| error.to_string())?;
    let bind = |name: String| {
        ClusterNode::builder(name, Runtime::new(), &identity)
            .connect_all(false)
            .limits(limits.clone())
            .bind(([127, 0, 0, 1], 0).into())
            .map_err(|error| error.to_string())
    };
    let near = bind("near".to_owned())?;
    let mut fars = Vec::new();
    // Each round trip is two messages, and the near processes see one of them.
    let (seen, unseen) = (Seen::until(messages / 2), Seen::until(u64::MAX));
    for link in 0..links {
        let far = bind(format!("far-{link}"))?;
        let address = far.local_addr().map_err(|error| error.to_string())?;
        near.connect(address).await.map_err(|error| error.to_string())?;
        far.settled(|far| !far.peers().is_empty()).await;
        fars.push(far);
    }
    for pair in 0..in_flight {
        let link = pair % links;
        let (ours, theirs) = (format!("near-{pair}"), format!("far-{pair}"));
        answer(&near, &ours, format!("far-{link}"), theirs.clone(), seen.clone());
        answer(&fars[link as usize], &theirs, "near".to_owned(), ours, unseen.clone());
    }
    let counts = || {
        let theirs: u64 = fars.iter().map(|far| far.stats().datagrams_sent).sum();
        let datagrams = near.stats().datagrams_sent + theirs;
        (ALLOCATIONS.load(Ordering::Relaxed), datagrams)
    };
    let (allocations, datagrams) = counts();
    let began = Instant::now();
    for pair in 0..in_flight {
        let (node, name) = (format!("far-{}", pair % links), format!("far-{pair}"));
        near.send(&node, &name, &BODY).await.map_err(|error| error.to_string())?;
    }
    seen.all.notified().await;
    let seconds = began.elapsed().as_secs_f64();
    let (allocations, datagrams) = (counts().0 - allocations, counts().1 - datagrams);
    #[expect(
        clippy::cast_precision_loss,
        clippy::print_stdout,
        reason = "counts for people, on standard output"
    )]
    {
        let per_message = |count: u64| count as f64 / messages as f64;
        println!("allocations per message  {:.3}", per_message(allocations));
        println!("datagrams per message    {:.3}", per_message(datagrams));
        println!("round trips per second   {:.0}", messages as f64 / 2.0 / seconds);
    }
    for node in fars.iter().chain([&near]) {
        node.shutdown();
    }
    for node in fars.iter().chain([&near]) {
        node.ended().await;
    }
    Ok(())
}
