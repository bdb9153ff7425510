//! The soak of `examples/soak.rs`, in short.

#[path = "../examples/soak.rs"]
#[expect(dead_code, reason = "the example's own main")]
mod soak;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_come_and_go_leave_no_memory_behind() {
    let resident = soak::soak(100_000).await;
    let (first, last) = (resident[1], resident[resident.len() - 1]);
    // 80,000 processes of 400 bytes would be 32 MB.
    assert!(last < first + 8 * 1_024 * 1_024, "{resident:?}");
}
