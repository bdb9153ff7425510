//! Processes that come and go by the million: each is spawned, linked to the one before, and killed, and memory stays flat.
//!
//! `cargo run --release --example soak -- 10000000` prints the memory of this process after each tenth. Linux alone tells it.

use regatta::{Context, ExitReason, Runtime};

/// How many live at the same time, linked in a chain: the death of the first takes all with it.
const CHAIN: u64 = 1_000;

/// Spawns, links and kills at least `processes`, and gives resident bytes after each tenth of them.
pub(crate) async fn soak(processes: u64) -> Vec<u64> {
    let rt = Runtime::new();
    let mut resident = Vec::new();
    let chains = processes.div_ceil(CHAIN);
    for chain in 1..=chains {
        let keeper = rt.spawn(|ctx| async move {
            let mut before = ctx.pid();
            for _ in 1..CHAIN {
                let next = ctx.spawn(|mut ctx: Context| async move { drop(ctx.recv().await) });
                ctx.runtime().link(next.pid(), before);
                before = next.pid();
            }
            // The signal goes from one to the next, the whole way.
            ctx.exit(before, ExitReason::custom("the end"));
            std::future::pending::<()>().await;
        });
        assert_eq!(
            keeper.join().await,
            ExitReason::custom("the end"),
            "the first one hears of the last one's end"
        );
        if chain % chains.div_ceil(10) == 0 {
            resident.push(resident_bytes());
        }
    }
    let report = rt.shutdown().await;
    assert_eq!((report.killed, report.left), (0, Vec::new()));
    let stats = rt.stats();
    assert_eq!((stats.spawned, stats.finished), (chains * CHAIN, chains * CHAIN));
    resident
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| pages * 4_096)
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example")]
async fn main() {
    let processes = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let begun = std::time::Instant::now();
    let resident = soak(processes).await;
    let mib: Vec<u64> = resident.iter().map(|bytes| bytes / 1_024 / 1_024).collect();
    println!(
        "{processes} processes in {:.1} s; MiB after each tenth: {mib:?}",
        begun.elapsed().as_secs_f64()
    );
}
