//! Hands a node's identity to the engine.

use std::any::Any;

use std::time::Duration;

use quinn_proto::{ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, ServerConfig};
use regatta_proto::engine::Credentials;
use regatta_proto::id::NodeName;
use regatta_proto::link::handshake::PeerName;
use rustls::pki_types::CertificateDer;

use super::identity::Identity;
use super::tls::TlsConfigs;

/// The identity of a node, ready for handshakes.
pub(crate) struct NodeCredentials {
    identity: Identity,
    tls: TlsConfigs,
}

impl NodeCredentials {
    pub(crate) fn new(identity: Identity, tls: TlsConfigs) -> Self {
        Self { identity, tls }
    }
}

impl Credentials for NodeCredentials {
    fn server(&self) -> ServerConfig {
        ServerConfig::with_crypto(self.tls.server.clone())
    }

    fn client(&self) -> ClientConfig {
        ClientConfig::new(self.tls.client.clone())
    }

    fn server_name(&self, node: Option<&NodeName>) -> String {
        node.map_or_else(|| self.tls.server_name.clone(), |node| self.tls.server_name_of(node))
    }

    fn peer(&self, identity: Option<Box<dyn Any>>) -> Result<PeerName, String> {
        let chain = identity.and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        let chain = chain.ok_or_else(|| "the peer shows no certificate".to_owned())?;
        let certificate = self.identity.peer(&chain).map_err(|error| error.to_string())?;
        Ok(certificate.name.map_or(PeerName::Shared, PeerName::Certified))
    }
}

/// QUIC's keys and ids. Of a node that runs for real all of them are random. For a simulation, whatever can change the
/// course of events follows from `seed`; keys stay random, as they change bytes alone.
pub(crate) fn endpoint_config(seed: Option<[u8; 32]>) -> EndpointConfig {
    let mut config = EndpointConfig::default();
    if let Some(seed) = seed {
        let number = u64::from_le_bytes(std::array::from_fn(|at| seed[at]));
        config.rng_seed(Some(seed)).cid_generator(move || Box::new(SeededIds(number)));
    }
    config
}

/// Connection ids that follow from a seed. They look random and do not repeat: SplitMix64 is a bijection of its counter.
struct SeededIds(u64);

impl ConnectionIdGenerator for SeededIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ConnectionId::new(&(z ^ (z >> 31)).to_be_bytes())
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
