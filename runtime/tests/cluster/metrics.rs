//! Counters and gauges, as an exporter shows them.

use metrics_exporter_prometheus::PrometheusBuilder;

use super::world::{Probe, pair, run};

#[test]
fn an_exporter_shows_the_counters_and_gauges_of_each_node_under_its_name() {
    run(async {
        let (a, b) = pair().await;
        let probe = Probe::start(&a);
        assert!(a.register_global("svc", probe.pid()));
        a.runtime().join_group("g", probe.pid()).expect("it is alive");
        b.settled(|b| b.whereis_global("svc").is_some() && b.runtime().group_members("g").len() == 1).await;
        let recorder = PrometheusBuilder::new().build_recorder();
        let record = || {
            metrics::with_local_recorder(&recorder, || {
                [&a, &b].iter().for_each(|node| node.record_metrics());
            });
            recorder.handle().render()
        };
        let shown = record();
        for line in [
            "# TYPE regatta_links_up_total counter",
            "# HELP regatta_nodes_down_total Nodes that were found to be down",
            "regatta_links_up_total{node=\"a\"} 1",
            "regatta_links{node=\"b\"} 1",
            "regatta_members{node=\"a\"} 1",
            "regatta_global_names{node=\"b\"} 1",
            "regatta_groups{node=\"b\"} 1",
            "regatta_processes{node=\"a\"} 1",
            "regatta_processes{node=\"b\"} 0",
            "regatta_local_names{node=\"a\"} 1",
            "regatta_messages_dropped_full_total{node=\"a\"} 0",
            "regatta_link_queued_bytes{node=\"a\",peer=\"b\"} 0",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line:?} in:\n{shown}");
        }
        assert_eq!(shown.lines().filter(|line| line.starts_with("# TYPE")).count(), 37, "{shown}");
        // Recorded again, counters are what they are and not twice as much.
        assert!(record().contains("regatta_links_up_total{node=\"a\"} 1\n"));
    });
}
