//! Hands a node's identity to the engine.

use std::any::Any;

use quinn_proto::{ClientConfig, EndpointConfig, ServerConfig};
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

/// QUIC's keys and ids of a node that runs for real: all of them random.
pub(crate) fn endpoint_config() -> EndpointConfig {
    EndpointConfig::default()
}
