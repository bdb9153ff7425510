//! TLS for QUIC out of an identity: who may connect, with what, and nothing that outlives a connection.
//!
//! TLS 1.3 only, a certificate from both sides, one application protocol, no early data. Nothing can be resumed: a
//! resumed session would carry the certificate of its first connection, and so outlive its expiry or revocation.
//!
//! A peer's chain is verified as usual, and then its certificate must fit the profile, so that a peer of the wrong
//! kind fails in the handshake already. The alerts that it sees: `certificate_required` without a certificate,
//! `unknown_ca` for one of another CA or another shared identity, `certificate_expired` before and after its period,
//! `certificate_unknown` for one outside the profile, `no_application_protocol` when it speaks something else.

use std::fmt;
use std::sync::Arc;

use quinn_proto::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use regatta_proto::id::{ClusterName, NodeName};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{
    CertificateError as TlsCertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    KeyLog, NoKeyLog, OtherError, RootCertStore, ServerConfig, SignatureScheme,
};
use thiserror::Error;

use super::certificate::{self, CertificateError};
use super::identity::Identity;

/// The application protocol of a link between nodes, and its version.
pub const ALPN: &[u8] = b"regatta/1";

/// Why TLS cannot be set up with an identity.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate, its key or a root is not one that TLS can use.
    #[error("TLS does not take the certificate, its key or a root: {0}")]
    Rejected(#[from] Error),
    /// The roots do not make a verifier.
    #[error("the roots cannot verify anybody: {0}")]
    Roots(#[from] VerifierBuilderError),
    /// The cryptography lacks the cipher that QUIC starts every connection with.
    #[error("QUIC cannot start: {0}")]
    InitialCipher(#[from] NoInitialCipherSuite),
}

/// Both sides of TLS for a node.
#[derive(Clone)]
pub struct TlsConfigs {
    /// For links that peers open.
    pub server: Arc<QuicServerConfig>,
    /// For links that this node opens.
    pub client: Arc<QuicClientConfig>,
    /// The name to ask for when a peer is dialled by its address: every node of the cluster answers to it.
    pub server_name: String,
    cluster: ClusterName,
}

impl TlsConfigs {
    /// Sets TLS up for a node with `identity`. Periods of validity are checked against `time`.
    ///
    /// # Errors
    /// [`TlsError`] when TLS cannot use the certificate, the key or the roots.
    pub fn new(identity: &Identity, time: Arc<dyn TimeProvider>) -> Result<Self, TlsError> {
        Self::with(identity, time, Arc::new(NoKeyLog), provider())
    }

    /// [`new`](Self::new) that notes the secrets of each connection, for reading captured packets, and with cryptography
    /// of the caller's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(
        identity: &Identity,
        time: Arc<dyn TimeProvider>,
        key_log: Arc<dyn KeyLog>,
        provider: CryptoProvider,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(provider);
        let verifier = Arc::new(PeerVerifier::new(identity, &provider)?);
        let mut server = server_config(identity, provider.clone(), time.clone(), verifier.clone())?;
        let mut client = client_config(identity, provider, time, verifier)?;
        server.key_log = key_log.clone();
        client.key_log = key_log;
        Ok(Self {
            server: Arc::new(server.try_into()?),
            client: Arc::new(client.try_into()?),
            server_name: certificate::member_name(identity.cluster()),
            cluster: identity.cluster().clone(),
        })
    }

    /// The name to ask for when a peer is known: only this node of the cluster answers to it.
    #[must_use]
    pub fn server_name_of(&self, node: &NodeName) -> String {
        certificate::node_name(&self.cluster, node)
    }
}

impl fmt::Debug for TlsConfigs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfigs").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// Never the process-wide default: two nodes in one program need not agree with it, nor with each other.
pub(super) fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    // AES-128 costs four rounds fewer per block than AES-256 on every message, and is out of reach of any attack all
    // the same. ChaCha20 is for machines without AES instructions, and there is no telling a peer to prefer it.
    provider.cipher_suites = vec![
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    provider
}

fn server_config(
    identity: &Identity,
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
    verifier: Arc<PeerVerifier>,
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain(), identity.key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}

fn client_config(
    identity: &Identity,
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
    verifier: Arc<PeerVerifier>,
) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(identity.chain(), identity.key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// Verifies peers, whichever side has dialled.
#[derive(Debug)]
struct PeerVerifier {
    identity: Identity,
    algorithms: WebPkiSupportedAlgorithms,
    trust: Trust,
}

/// Where the trust in a certificate comes from.
#[derive(Debug)]
enum Trust {
    /// From the CAs that signed it.
    Authority { server: Arc<WebPkiServerVerifier>, client: Arc<dyn ClientCertVerifier> },
    /// From being the very certificate that this node has itself.
    Shared,
}

impl PeerVerifier {
    fn new(identity: &Identity, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let trust = if identity.is_shared() {
            Trust::Shared
        } else {
            let mut roots = RootCertStore::empty();
            for root in identity.roots() {
                roots.add(root.clone())?;
            }
            let roots = Arc::new(roots);
            Trust::Authority {
                server: WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
                    .build()?,
                client: WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build()?,
            }
        };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { identity: identity.clone(), algorithms, trust })
    }

    /// What the profile says about a chain that was verified. Where the verification failed in something that the
    /// profile has a clearer word for, the profile's word is taken; what it says of trust and time stands.
    fn with_profile<T>(&self, leaf: &CertificateDer<'_>, verified: Result<T, Error>) -> Result<T, Error> {
        use TlsCertificateError::{
            InvalidPurpose, InvalidPurposeContext, NotValidForName, NotValidForNameContext, Other,
        };
        let judged = self.identity.judge(leaf).map_err(refusal);
        match verified {
            Ok(verified) => judged.map(|_| verified),
            Err(
                error @ Error::InvalidCertificate(
                    NotValidForName
                    | NotValidForNameContext { .. }
                    | InvalidPurpose
                    | InvalidPurposeContext { .. }
                    | Other(_),
                ),
            ) => judged.and(Err(error)),
            Err(error) => Err(error),
        }
    }

    fn verify_shared(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        match self.identity.judge(leaf) {
            Err(CertificateError::NotShared) => return Err(TlsCertificateError::UnknownIssuer.into()),
            Err(error) => return Err(refusal(error)),
            Ok(_) => {}
        }
        let (first, last) = certificate::read_validity(leaf).map_err(refusal)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < first {
            Err(TlsCertificateError::NotValidYet.into())
        } else if now > last {
            Err(TlsCertificateError::Expired.into())
        } else {
            Ok(())
        }
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Shared => self.verify_shared(leaf, now).map(|()| ServerCertVerified::assertion()),
            Trust::Authority { server, .. } => {
                let verified = server.verify_server_cert(leaf, intermediates, server_name, ocsp, now);
                self.with_profile(leaf, verified)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    /// None: a node has one certificate and needs no hint, and a stranger need not learn our CA's name.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.trust {
            Trust::Shared => self.verify_shared(leaf, now).map(|()| ClientCertVerified::assertion()),
            Trust::Authority { client, .. } => {
                let verified = client.verify_client_cert(leaf, intermediates, now);
                self.with_profile(leaf, verified)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn refusal(error: CertificateError) -> Error {
    TlsCertificateError::Other(OtherError(Arc::new(Reason(error)))).into()
}

/// TLS puts an error of ours into its messages by its `Debug`, and a person reads them.
struct Reason(CertificateError);

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Reason {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
