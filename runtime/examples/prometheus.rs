//! Two nodes whose counters and gauges Prometheus can fetch: `cargo run -p regatta --example prometheus`, then
//! `curl http://127.0.0.1:9464/metrics`.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use regatta::{ClusterNode, Identity, Runtime};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    PrometheusBuilder::new().with_http_listener(([127, 0, 0, 1], 9_464)).install()?;

    let (identity, anywhere) = (Identity::generate()?, "127.0.0.1:0".parse()?);
    let london = ClusterNode::bind("london", Runtime::new(), anywhere, &identity)?;
    let tokyo = ClusterNode::bind("tokyo", Runtime::new(), anywhere, &identity)?;
    tokyo.connect(london.local_addr()?).await?;
    let clock = london.runtime().spawn(|mut ctx| async move {
        loop {
            ctx.recv().await;
        }
    });
    london.register_global("clock", clock.pid());

    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = seconds.tick() => {
                // It may not have been told of the name yet.
                let _ = tokyo.send_global("clock", b"tick").await;
                for node in [&london, &tokyo] {
                    node.record_metrics();
                }
            }
            end = tokio::signal::ctrl_c() => return Ok(end?),
        }
    }
}
