//! What one message between two nodes costs, in counts that repeat: `path [--workers N] [--in-flight K] [--messages N]`.
//!
//! Two nodes in one process send each other messages by name, as many round trips in flight as asked for. It prints what
//! it can count itself: allocations and datagrams per one-way message. `scripts/path-cost` runs it twice, under callgrind
//! and under strace, with two numbers of messages, and divides the difference: what start and end cost falls out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use regatta::{ClusterNode, Identity, Runtime};
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
    in_flight: u64,
    messages: u64,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut read = Self { workers: 0, in_flight: 64, messages: 200_000 };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word}: a number is missing"))?;
            let number: u64 = value.parse().map_err(|_| format!("{word} {value}: not a number"))?;
            match word.as_str() {
                "--workers" => read.workers = usize::try_from(number).map_err(|error| error.to_string())?,
                "--in-flight" => read.in_flight = number,
                "--messages" => read.messages = number,
                _ => {
                    return Err(format!(
                        "{word}: --workers (0: a single-threaded runtime), --in-flight, --messages"
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

/// A process that answers each message of `peer`'s process `name`, and counts.
fn answer(
    node: &ClusterNode,
    own: &str,
    peer: &'static str,
    name: &'static str,
    total: u64,
    done: Arc<Notify>,
) {
    let sends = node.clone();
    let process = node.runtime().spawn(move |mut context| async move {
        let mut seen = 0;
        while let Some(message) = context.recv().await.message() {
            seen += 1;
            if seen == total {
                done.notify_one();
            }
            // The peer ends first when all is counted.
            if sends.send(peer, name, &message).await.is_err() {
                break;
            }
        }
    });
    node.runtime().register(own, process.pid()).expect("the name is free");
}

async fn measure(arguments: Arguments) -> Result<(), String> {
    let identity = Identity::generate().map_err(|error| error.to_string())?;
    let bind = |name| {
        ClusterNode::bind(name, Runtime::new(), ([127, 0, 0, 1], 0).into(), &identity)
            .map_err(|error| error.to_string())
    };
    let (a, b) = (bind("a")?, bind("b")?);
    let address = b.local_addr().map_err(|error| error.to_string())?;
    a.connect(address).await.map_err(|error| error.to_string())?;
    b.settled(|b| !b.peers().is_empty()).await;

    let done = Arc::new(Notify::new());
    // Each round trip is two messages, and the near process sees one of them.
    answer(&a, "near", "b", "far", arguments.messages / 2, done.clone());
    answer(&b, "far", "a", "near", u64::MAX, Arc::default());
    let counts = || {
        let datagrams = a.stats().datagrams_sent + b.stats().datagrams_sent;
        (ALLOCATIONS.load(Ordering::Relaxed), datagrams)
    };
    let (allocations, datagrams) = counts();
    for _ in 0..arguments.in_flight {
        a.send("b", "far", &BODY).await.map_err(|error| error.to_string())?;
    }
    done.notified().await;
    let (allocations, datagrams) = (counts().0 - allocations, counts().1 - datagrams);
    #[expect(
        clippy::cast_precision_loss,
        clippy::print_stdout,
        reason = "counts for people, on standard output"
    )]
    {
        let per_message = |count: u64| count as f64 / arguments.messages as f64;
        println!("allocations per message  {:.3}", per_message(allocations));
        println!("datagrams per message    {:.3}", per_message(datagrams));
    }
    a.shutdown();
    b.shutdown();
    a.ended().await;
    b.ended().await;
    Ok(())
}
