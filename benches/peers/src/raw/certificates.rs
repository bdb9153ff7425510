//! An authority and certificates for raw QUIC, Ed25519 as Regatta's: mutual TLS 1.3, checked by rustls alone.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, crypto::ring, version::TLS13};

use crate::workload::Failure;

/// The name in every certificate; raw QUIC does not care which node it talks to.
pub(super) const SERVER_NAME: &str = "node";

/// What signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A node's settings for both roles of a handshake.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(super) server: quinn::ServerConfig,
    pub(super) client: quinn::ClientConfig,
}

impl Authority {
    /// A fresh authority.
    pub(crate) fn generate() -> Result<Self, Failure> {
        let failed = |error| Failure::system("generate a CA", error);
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?;
        CertifiedIssuer::self_signed(params, key).map(Self).map_err(failed)
    }

    /// A fresh key and certificate, and the settings that use them.
    pub(crate) fn issue(&self) -> Result<Identity, Failure> {
        let failed = |error| Failure::system("issue a certificate", error);
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?;
        let params = CertificateParams::new(vec![SERVER_NAME.into()]).map_err(failed)?;
        let leaf = params.signed_by(&key, &self.0).map_err(failed)?;
        self.settings(leaf.der(), &key.serialize_der()).map_err(|error| Failure::system("set up TLS", error))
    }

    fn settings(
        &self,
        leaf: &CertificateDer<'static>,
        key: &[u8],
    ) -> Result<Identity, Box<dyn std::error::Error>> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        let roots = Arc::new(roots);
        let key = || PrivateKeyDer::Pkcs8(key.to_vec().into());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
        let server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![leaf.clone()], key())?;
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![leaf.clone()], key())?;
        Ok(Identity {
            server: quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?)),
            client: quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?)),
        })
    }
}
