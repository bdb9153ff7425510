//! IPv4 and IPv6: nodes that have either, or both.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use regatta::cluster::ConnectError;
use regatta::{ClusterNode, Identity, Runtime};

use super::world::{Probe, link, run, shared};

const V4: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const V6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
const BOTH: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

fn bind(name: &str, identity: &Identity, addr: SocketAddr, advertised: &[SocketAddr]) -> ClusterNode {
    let builder = ClusterNode::builder(name, Runtime::new(), identity);
    let builder = advertised.iter().fold(builder, |builder, addr| builder.advertise(*addr));
    builder.bind(addr).expect("the node starts")
}

/// Where a node that is bound to a wildcard can be dialled.
fn at(node: &ClusterNode, addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), node.local_addr().expect("it runs").port())
}

/// A message goes each way.
async fn talk(one: &ClusterNode, other: &ClusterNode) {
    for (from, to) in [(one, other), (other, one)] {
        let mut sink = Probe::start(to);
        let name = format!("sink-of-{}", from.name());
        to.runtime().register(&name, sink.pid()).expect("it is free");
        from.send(to.name(), &name, b"hello").await.expect("they are linked");
        assert_eq!(sink.message().await, "hello");
    }
}

#[test]
fn two_nodes_of_ipv6_link() {
    run(async {
        let identity = shared();
        let (a, b) = (bind("a", &identity, V6, &[]), bind("b", &identity, V6, &[]));
        link(&a, &b).await;
        talk(&a, &b).await;
    });
}

#[test]
fn a_node_that_is_bound_to_the_wildcard_of_ipv6_links_over_either() {
    run(async {
        let identity = shared();
        let advertised = [V4, V6];
        let both = bind("both", &identity, BOTH, &advertised);
        let (four, six) = (bind("four", &identity, V4, &[]), bind("six", &identity, V6, &[]));
        // Whoever dials: the addresses are seen as what they are at both ends.
        four.connect(at(&both, V4)).await.expect("over IPv4");
        both.connect(six.local_addr().expect("it runs")).await.expect("over IPv6");
        let other = bind("other", &identity, BOTH, &advertised);
        other.connect(at(&both, V4)).await.expect("over IPv4, from a socket of IPv6");
        for (one, another) in [(&both, &four), (&both, &six), (&both, &other)] {
            another.settled(|node| node.peers().iter().any(|peer| peer == one.name())).await;
            one.settled(|node| node.peers().iter().any(|peer| peer == another.name())).await;
            talk(one, another).await;
        }
        assert!(both.links().iter().any(|link| link.peer.name.as_str() == "four" && link.addr.is_ipv4()));
        // What the others have heard of it they dial where they can.
        for node in [&four, &six] {
            node.settled(|node| node.peers().iter().any(|peer| peer == "other")).await;
        }
    });
}

#[test]
fn a_dial_that_the_socket_cannot_send_is_refused_at_once_with_what_to_do() {
    run(async {
        let identity = shared();
        let (four, six) = (bind("four", &identity, V4, &[]), bind("six", &identity, V6, &[]));
        let error = four.connect(six.local_addr().expect("it runs")).await.expect_err("it has no IPv6");
        assert!(matches!(error, ConnectError::Address { .. }), "{error:?}");
        assert!(error.to_string().contains("bound to [::], it sends to all"), "{error}");
    });
}
