//! Hands a node's identity to the engine, and to QUIC below it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use quinn_proto::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, HashedConnectionIdGenerator,
    ServerConfig,
};
use regatta_proto::engine::Credentials;
use regatta_proto::id::NodeName;
use regatta_proto::link::handshake::PeerName;
use ring::{hkdf, hmac};
use rustls::pki_types::CertificateDer;

use super::identity::Identity;
use super::tls::TlsConfigs;

/// The identity of a node, ready for handshakes.
pub(crate) struct NodeCredentials {
    identity: Identity,
    tls: TlsConfigs,
    seed: Option<[u8; 32]>,
    /// Counts what was drawn from the seed, over all dials.
    drawn: Arc<AtomicU64>,
}

impl NodeCredentials {
    /// With a `seed`, what QUIC draws beside the handshake follows from it.
    pub(crate) fn new(identity: Identity, tls: TlsConfigs, seed: Option<[u8; 32]>) -> Self {
        let drawn = Arc::new(AtomicU64::new(seed.map_or(0, number).rotate_left(32)));
        Self { identity, tls, seed, drawn }
    }
}

impl Credentials for NodeCredentials {
    fn server(&self) -> ServerConfig {
        let crypto = self.tls.server.clone();
        match self.seed {
            Some(seed) => {
                ServerConfig::new(crypto, Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, TOKENS).extract(&seed)))
            }
            None => ServerConfig::with_crypto(crypto),
        }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new(self.tls.client.clone());
        if self.seed.is_some() {
            let drawn = self.drawn.clone();
            config.initial_dst_cid_provider(Arc::new(move || {
                ConnectionId::new(&split_mix(drawn.fetch_add(STEP, Relaxed).wrapping_add(STEP)).to_be_bytes())
            }));
        }
        config
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

/// QUIC's keys and ids of a node.
///
/// The key of stateless resets (RFC 9000, section 10.3) and that of connection ids come from the identity's private key,
/// so they outlive a restart: a node that is started again at its address tells its former peers with its first datagrams
/// that it knows their links no more. For a simulation, all that is random otherwise follows from `seed`.
#[must_use]
pub fn endpoint_config(identity: &Identity, node: &NodeName, seed: Option<[u8; 32]>) -> EndpointConfig {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, identity.key().secret_der());
    // Nodes that share one identity must not end each other's links.
    let derive = |purpose: &str| hmac::sign(&secret, format!("regatta {purpose} of {node}").as_bytes());
    let resets = hmac::Key::new(hmac::HMAC_SHA256, derive("stateless resets").as_ref());
    let ids = derive("connection ids");
    let ids = u64::from_le_bytes(*ids.as_ref().first_chunk().expect("a tag has 32 bytes"));
    let mut config = EndpointConfig::new(Arc::new(resets));
    config.min_reset_interval(RESET_INTERVAL_MIN);
    if let Some(seed) = seed {
        config.rng_seed(Some(seed)).cid_generator(move || Box::new(SeededIds(number(seed))));
    } else {
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    }
    config
}

/// Connection ids that follow from a seed. They look random and do not repeat.
struct SeededIds(u64);

impl ConnectionIdGenerator for SeededIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.0 = self.0.wrapping_add(STEP);
        ConnectionId::new(&split_mix(self.0).to_be_bytes())
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn number(seed: [u8; 32]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|at| seed[at]))
}

/// SplitMix64: a bijection of its counter, which goes on by [`STEP`].
const fn split_mix(counter: u64) -> u64 {
    let z = (counter ^ (counter >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// What sets the key of retry tokens apart from whatever else follows from a seed.
const TOKENS: &[u8] = b"regatta retry tokens";
/// Between two stateless resets. A node that was started again owes one to each of its former peers, at once.
const RESET_INTERVAL_MIN: Duration = Duration::from_millis(1);
