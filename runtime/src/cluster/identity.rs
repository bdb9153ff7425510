//! Who may be a member: a cluster's authority, and the identities that it issues to nodes.
//!
//! Two models. With a [`ClusterCa`] each node has a key and a certificate of its own, so its name is proven and it can
//! be shut out alone. A shared [`Identity`] is one key for all nodes: simple, for development, and without proof of
//! names.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{Issuer, KeyPair, PKCS_ED25519};
use regatta_proto::id::{ClusterName, NodeName, ParseIdError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use super::certificate::{self, CertificateError, PeerCertificate, VALID_FOR_DEFAULT};

/// The cluster's name when nobody gives one.
const CLUSTER_DEFAULT: &str = "main";
/// Names of the files that an authority and an identity are kept in.
const CA_CERTIFICATE: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const CERTIFICATE: &str = "node.pem";
const KEY: &str = "node-key.pem";

/// Why there is no authority or identity.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The text is no node name.
    #[error(transparent)]
    Name(#[from] ParseIdError),
    /// A certificate or key could not be made or read.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The system has no random bytes to give.
    #[error("no random bytes for a serial number")]
    NoRandom,
    /// A file could not be read or written. Existing files are never overwritten.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {detail}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

/// A cluster's certificate authority: issues each node's identity.
///
/// ```
/// use regatta::ClusterCa;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = ClusterCa::generate()?;
/// let london = ca.issue("london")?;
/// assert_eq!(london.node_name().map(|name| name.as_str()), Some("london"));
/// # Ok(())
/// # }
/// ```
pub struct ClusterCa {
    cluster: ClusterName,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// How an identity is issued.
#[derive(Debug, Clone)]
pub struct IssueOptions {
    /// When it is issued: now, by default. It is valid from five minutes before.
    pub at: SystemTime,
    /// How long it is valid. Default 24 h.
    pub valid_for: Duration,
}

impl Default for IssueOptions {
    fn default() -> Self {
        Self { at: SystemTime::now(), valid_for: VALID_FOR_DEFAULT }
    }
}

impl ClusterCa {
    /// A new authority for the cluster "main".
    ///
    /// # Errors
    /// [`IdentityError`] if the system cannot make a key.
    pub fn generate() -> Result<Self, IdentityError> {
        Self::generate_for(ClusterName::new(CLUSTER_DEFAULT)?)
    }

    /// A new authority for a cluster of another name. Nodes of different clusters never link.
    ///
    /// # Errors
    /// [`IdentityError`] if the system cannot make a key.
    pub fn generate_for(cluster: ClusterName) -> Result<Self, IdentityError> {
        let params = certificate::authority(&cluster, SystemTime::now(), random()?);
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let certificate = params.self_signed(&key)?;
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Ok(Self { cluster, issuer: Issuer::new(params, key), certificate: der, pem })
    }

    /// The cluster that this authority is for.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Issues an identity to the node of this name, valid for 24 h.
    ///
    /// # Errors
    /// [`IdentityError::Name`] if the text is no node name.
    pub fn issue(&self, node_name: &str) -> Result<Identity, IdentityError> {
        self.issue_with(node_name, &IssueOptions::default())
    }

    /// Issues an identity with choices.
    ///
    /// # Errors
    /// [`IdentityError::Name`] if the text is no node name.
    pub fn issue_with(&self, node_name: &str, options: &IssueOptions) -> Result<Identity, IdentityError> {
        let name = NodeName::new(node_name)?;
        let params = certificate::leaf(&name, &self.cluster, options.at, options.valid_for, random()?)?;
        self.sign(params, Some(name))
    }

    /// Signs whatever is asked: how tests get certificates that break the profile.
    pub(crate) fn sign(
        &self,
        params: rcgen::CertificateParams,
        name: Option<NodeName>,
    ) -> Result<Identity, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity::new(Inner {
            cluster: self.cluster.clone(),
            model: Model::Issued { name },
            chain: vec![certificate.der().clone()],
            key: private(&key),
            root: self.certificate.clone(),
        }))
    }

    /// The authority's certificate as PEM: what every node must hold, and everybody may see.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Writes `ca.pem` and `ca-key.pem` into a folder, the key readable by its owner alone.
    ///
    /// # Errors
    /// [`IdentityError::File`]; existing files are not overwritten.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), IdentityError> {
        let folder = folder.as_ref();
        // The key first: without it the certificate is of no use.
        write_new(&folder.join(CA_KEY), &self.issuer.key().serialize_pem(), 0o600)?;
        write_new(&folder.join(CA_CERTIFICATE), &self.pem, 0o644)
    }

    /// Reads what [`save`](Self::save) wrote, for the cluster that it was written for.
    ///
    /// # Errors
    /// [`IdentityError`] when a file is missing or does not hold what it should.
    pub fn load(folder: impl AsRef<Path>, cluster: ClusterName) -> Result<Self, IdentityError> {
        let folder = folder.as_ref();
        let pem = read(&folder.join(CA_CERTIFICATE))?;
        let key = KeyPair::from_pem(&read(&folder.join(CA_KEY))?)?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| content(&folder.join(CA_CERTIFICATE), error))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { cluster, issuer, certificate, pem })
    }
}

impl fmt::Debug for ClusterCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterCa").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// What a node proves itself with: a certificate, its key, and whom it trusts. Cloning gives the same one.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: ClusterName,
    model: Model,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// Whom the node trusts: the authority, or the shared certificate itself.
    root: CertificateDer<'static>,
}

enum Model {
    /// From an authority. The name is there unless a test broke the profile.
    Issued { name: Option<NodeName> },
    /// One self-signed certificate for all.
    Shared,
}

impl Identity {
    /// A new shared identity: one self-signed certificate that every node of a small cluster holds, and that accepts
    /// exactly itself. It proves membership, not names.
    ///
    /// # Errors
    /// [`IdentityError`] if the system cannot make a key.
    pub fn generate() -> Result<Self, IdentityError> {
        let cluster = ClusterName::new(CLUSTER_DEFAULT)?;
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let certificate = certificate::shared(&cluster, SystemTime::now(), random()?)?.self_signed(&key)?;
        let der = certificate.der().clone();
        Ok(Self::new(Inner {
            cluster,
            model: Model::Shared,
            chain: vec![der.clone()],
            key: private(&key),
            root: der,
        }))
    }

    fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The node that the identity was issued to; `None` for a shared one.
    #[must_use]
    pub fn node_name(&self) -> Option<&NodeName> {
        match &self.inner.model {
            Model::Issued { name } => name.as_ref(),
            Model::Shared => None,
        }
    }

    /// The cluster that it is for.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.inner.cluster
    }

    /// Whether all nodes share it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.inner.model, Model::Shared)
    }

    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.inner.chain
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.inner.key.clone_key()
    }

    pub(crate) fn root(&self) -> &CertificateDer<'static> {
        &self.inner.root
    }

    /// What a peer's certificate proves to a node with this identity. TLS has verified it before.
    ///
    /// # Errors
    /// [`CertificateError`] when it is no certificate of a node of this cluster.
    pub fn peer(&self, chain: &[CertificateDer<'static>]) -> Result<PeerCertificate, CertificateError> {
        let leaf = chain.first().ok_or(CertificateError::Missing)?;
        if !self.is_shared() {
            return certificate::read(leaf, &self.inner.cluster);
        }
        if *leaf == self.inner.root {
            Ok(PeerCertificate { name: None, cluster: self.inner.cluster.clone() })
        } else {
            Err(CertificateError::NotShared)
        }
    }

    /// Writes `node.pem`, `node-key.pem` and `ca.pem` into a folder, the key readable by its owner alone.
    ///
    /// # Errors
    /// [`IdentityError::File`]; existing files are not overwritten.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), IdentityError> {
        let folder = folder.as_ref();
        write_new(&folder.join(KEY), &to_pem("PRIVATE KEY", self.inner.key.secret_der()), 0o600)?;
        write_new(&folder.join(CERTIFICATE), &to_pem("CERTIFICATE", &self.inner.chain[0]), 0o644)?;
        write_new(&folder.join(CA_CERTIFICATE), &to_pem("CERTIFICATE", &self.inner.root), 0o644)
    }

    /// Reads what [`save`](Self::save) wrote. A certificate that is its own authority is a shared identity.
    ///
    /// # Errors
    /// [`IdentityError`] when a file is missing or does not hold what it should.
    pub fn load(folder: impl AsRef<Path>, cluster: ClusterName) -> Result<Self, IdentityError> {
        let folder = folder.as_ref();
        let (certificate, key, root) = (folder.join(CERTIFICATE), folder.join(KEY), folder.join(CA_CERTIFICATE));
        let leaf = CertificateDer::from_pem_slice(read(&certificate)?.as_bytes())
            .map_err(|error| content(&certificate, error))?;
        let private = PrivateKeyDer::from_pem_slice(read(&key)?.as_bytes()).map_err(|error| content(&key, error))?;
        let trusted =
            CertificateDer::from_pem_slice(read(&root)?.as_bytes()).map_err(|error| content(&root, error))?;
        let model = if leaf == trusted {
            Model::Shared
        } else {
            let read = certificate::read(&leaf, &cluster).map_err(|error| content(&certificate, error))?;
            Model::Issued { name: read.name }
        };
        Ok(Self::new(Inner { cluster, model, chain: vec![leaf], key: private, root: trusted }))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("cluster", &self.inner.cluster)
            .field("name", &self.node_name())
            .field("shared", &self.is_shared())
            .finish_non_exhaustive()
    }
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(key.serialize_der().into())
}

fn random() -> Result<[u8; 16], IdentityError> {
    let mut bytes = [0; 16];
    let provider = rustls::crypto::ring::default_provider();
    provider.secure_random.fill(&mut bytes).map_err(|_| IdentityError::NoRandom)?;
    Ok(bytes)
}

/// RFC 7468: base64 in lines of 64.
fn to_pem(tag: &str, der: &[u8]) -> String {
    pem::encode_config(&pem::Pem::new(tag, der), pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
}

fn content(path: &Path, detail: impl fmt::Display) -> IdentityError {
    IdentityError::Content { path: path.to_owned(), detail: detail.to_string() }
}

fn read(path: &Path) -> Result<String, IdentityError> {
    fs::read_to_string(path).map_err(|source| IdentityError::File { path: path.to_owned(), source })
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), IdentityError> {
    let file = |source| IdentityError::File { path: path.to_owned(), source };
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path).and_then(|mut open| open.write_all(text.as_bytes())).map_err(file)
}
