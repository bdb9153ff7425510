//! TLS for the links of one identity: version 1.3 alone, certificates at both ends, nothing resumed, nothing sent early.

use std::sync::Arc;

use quinn_proto::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError as TlsCertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    RootCertStore, ServerConfig, SignatureScheme,
};
use thiserror::Error as ThisError;

use super::certificate::{self, CertificateError};
use super::identity::Identity;

/// What both ends call the protocol; the number is the wire format's.
pub const ALPN: &[u8] = b"regatta/1";

/// Why TLS does not take an identity.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum TlsError {
    /// The key does not fit the certificate, or TLS does not know its kind.
    #[error("{0}")]
    Config(#[from] Error),
    /// The authority's certificate is none.
    #[error("the trusted certificate is not usable: {0}")]
    Root(String),
    /// QUIC needs a cipher that TLS does not offer.
    #[error("no cipher suite for QUIC's first packets")]
    Cipher(#[from] NoInitialCipherSuite),
}

/// The configurations of both ends.
#[derive(Clone)]
pub struct TlsConfigs {
    /// For links that peers dial.
    pub server: Arc<QuicServerConfig>,
    /// For links that this node dials.
    pub client: Arc<QuicClientConfig>,
    /// The DNS name that every certificate of the cluster carries.
    pub server_name: String,
}

impl TlsConfigs {
    /// The configurations for `identity`, whose peers' certificates are judged by the time that `time` tells.
    ///
    /// # Errors
    /// [`TlsError`] when TLS does not take the identity.
    pub fn new(identity: &Identity, time: Arc<dyn TimeProvider>) -> Result<Self, TlsError> {
        let provider = Arc::new(provider());
        let verifier = Arc::new(NodeVerifier::new(identity.clone(), &provider)?);
        let versions = &[&rustls::version::TLS13];
        let chain = identity.chain().to_vec();

        let mut server = ServerConfig::builder_with_details(provider.clone(), time.clone())
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(chain.clone(), identity.key())?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would carry on with the certificate of an earlier one.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;

        let mut client = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, identity.key())?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_early_data = false;

        Ok(Self {
            server: Arc::new(QuicServerConfig::try_from(server)?),
            client: Arc::new(QuicClientConfig::try_from(client)?),
            server_name: certificate::member_name(identity.cluster()),
        })
    }
}

/// ring, with AES-128 before AES-256: as safe for links of this life, and a tenth cheaper for each packet.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![
        rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        rustls::crypto::ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        rustls::crypto::ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    provider
}

/// Judges peers at both ends: rustls's verifier first, the profile after it.
#[derive(Debug)]
struct NodeVerifier {
    identity: Identity,
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    /// `None` for a shared identity, which compares certificates instead.
    standard: Option<Standard>,
}

#[derive(Debug)]
struct Standard {
    server: Arc<WebPkiServerVerifier>,
    client: Arc<dyn ClientCertVerifier>,
}

impl NodeVerifier {
    fn new(identity: Identity, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        if !identity.is_shared() {
            roots.add(identity.root().clone()).map_err(|error| TlsError::Root(error.to_string()))?;
        }
        let roots = Arc::new(roots);
        let standard = if identity.is_shared() {
            None
        } else {
            let wrong = |error: &dyn std::fmt::Display| TlsError::Root(error.to_string());
            let server = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
            let client = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
            Some(Standard {
                server: server.build().map_err(|error| wrong(&error))?,
                client: client.build().map_err(|error| wrong(&error))?,
            })
        };
        Ok(Self { identity, provider: provider.clone(), roots, standard })
    }

    /// What rustls does not ask: a node's URI, and the use at both ends.
    fn check_profile(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let refused = |error: CertificateError| {
            Error::InvalidCertificate(TlsCertificateError::Other(OtherError(Arc::new(error))))
        };
        if self.standard.is_none() {
            let same = leaf.as_ref() == self.identity.root().as_ref();
            return if same { Ok(()) } else { Err(Error::InvalidCertificate(TlsCertificateError::UnknownIssuer)) };
        }
        certificate::check_usages(leaf, intermediates, &self.roots.roots, now).map_err(refused)?;
        certificate::read(leaf, self.identity.cluster()).map_err(refused)?;
        Ok(())
    }

    fn tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn only_tls13() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(standard) = &self.standard {
            standard.server.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        }
        self.check_profile(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        only_tls13()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for NodeVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // There is one authority: a hint would only make the handshake larger.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(standard) = &self.standard {
            standard.client.verify_client_cert(end_entity, intermediates, now)?;
        }
        self.check_profile(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        only_tls13()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
