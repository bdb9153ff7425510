//! Who a node is: a cluster's CA, the identities that it issues, and their files.
//!
//! There are two models. [`ClusterCa`] gives every node a key and a certificate of its own, with the node's name in
//! it. [`Identity::generate`] makes one certificate that all nodes share; it names nobody, so it is for development.
//! Either way an [`Identity`] holds what a node shows (chain and key) and what it accepts (roots).

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ED25519, PublicKeyData};
use regatta_proto::id::{ClusterName, NodeName, ParseIdError};
use ring::digest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use time::OffsetDateTime;

use super::certificate::{self, CertificateError, PeerCertificate, SERIAL_BYTES, Stamp};

/// The cluster of an identity for which none was named.
pub const DEFAULT_CLUSTER: &str = "main";
/// How long a node's certificate is valid when nothing else is asked for.
pub const NODE_VALID_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a shared identity is valid.
pub const SHARED_VALID_FOR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long a CA is valid. No certificate outlives the CA that signed it.
pub const CA_VALID_FOR: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// How far before its issue a certificate is valid already, for nodes whose clocks are behind.
pub const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// Why an identity or a CA was not made, saved or loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The text is no node name. Nothing was made.
    #[error(transparent)]
    Name(#[from] ParseIdError),
    /// The certificate's period cannot be: it ends before it begins, after the CA, or beyond the calendar. Nothing was
    /// made.
    #[error("the certificate's period of validity cannot be: {0}")]
    Validity(&'static str),
    /// No key or certificate could be made or read by the cryptography.
    #[error("cannot {attempt}: {detail}")]
    Crypto {
        /// What was tried.
        attempt: &'static str,
        /// What the library says.
        detail: String,
    },
    /// The certificate does not fit the profile.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// A file is no PEM, or holds no section of the kind that is expected there.
    #[error("{} holds no {expected} in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The key belongs to another certificate.
    #[error("the key in {} is not that of the certificate beside it; restore the pair, or issue a new one", path.display())]
    KeyMismatch {
        /// The key's file.
        path: PathBuf,
    },
    /// There is a file of that name already. It is as it was, and nothing was written.
    #[error("{} exists already and is not overwritten; choose another folder, or move it away first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read or written. What this save had written before is removed again.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A cluster's certificate authority. Whoever holds it decides who is in the cluster: keep it away from the nodes.
///
/// The nodes' certificates are verified against its certificate alone, and a node whose certificate another CA has
/// signed is refused in the handshake.
pub struct ClusterCa {
    cluster: ClusterName,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// How a certificate differs from the ordinary one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueOptions {
    /// How long it is valid from the moment of issue on. It ends earlier when the CA does.
    pub valid_for: Duration,
    /// How long before the moment of issue it is valid already.
    pub backdate: Duration,
    /// The moment of issue. Default now.
    pub at: SystemTime,
    /// Where key and serial number come from; from the system when absent. For simulations: whoever knows it knows the key.
    #[doc(hidden)]
    pub entropy: Option<[u8; 32]>,
}

impl Default for IssueOptions {
    fn default() -> Self {
        Self { valid_for: NODE_VALID_FOR, backdate: BACKDATE, at: SystemTime::now(), entropy: None }
    }
}

impl ClusterCa {
    /// A new CA for the cluster [`DEFAULT_CLUSTER`], with a new key.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] when the system gives no randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        Self::generate_for(default_cluster()?)
    }

    /// A new CA for `cluster`, with a new key.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] when the system gives no randomness.
    pub fn generate_for(cluster: ClusterName) -> Result<Self, IdentityError> {
        Self::generate_with(cluster, &IssueOptions { valid_for: CA_VALID_FOR, ..IssueOptions::default() })
    }

    /// A new CA for `cluster`, with a new key and a period of validity of its own.
    ///
    /// # Errors
    /// [`IdentityError::Validity`] when the period cannot be, [`IdentityError::Crypto`] when the system gives no
    /// randomness.
    pub fn generate_with(cluster: ClusterName, options: &IssueOptions) -> Result<Self, IdentityError> {
        let key = new_key(options.entropy)?;
        let params = certificate::authority_params(&cluster, &stamp(options, None)?);
        let signed = params.self_signed(&key).map_err(crypto("sign the CA's certificate"))?;
        Ok(Self {
            cluster,
            certificate: signed.der().clone(),
            certificate_pem: signed.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The identity of the node `name`: a new key and a certificate for it, valid for [`NODE_VALID_FOR`].
    ///
    /// # Errors
    /// [`IdentityError::Name`] when `name` is no node name, and what [`ClusterCa::issue_with`] says.
    pub fn issue(&self, name: &str) -> Result<Identity, IdentityError> {
        self.issue_with(name, &IssueOptions::default())
    }

    /// The identity of the node `name`, with a period of validity of its own.
    ///
    /// # Errors
    /// [`IdentityError::Name`] when `name` is no node name, [`IdentityError::Validity`] when the period cannot be, and
    /// [`IdentityError::Crypto`] when the system gives no randomness.
    pub fn issue_with(&self, name: &str, options: &IssueOptions) -> Result<Identity, IdentityError> {
        let name = NodeName::new(name)?;
        let stamp = stamp(options, Some(&self.certificate))?;
        let params = certificate::node_params(&self.cluster, &name, &stamp).map_err(crypto(SIGN_NODE))?;
        self.sign_key(&params, name, new_key(options.entropy)?)
    }

    /// Signs what it is given, for a new key. Tests have certificates outside the profile signed so.
    #[cfg(test)]
    pub(super) fn sign(&self, params: &CertificateParams, name: NodeName) -> Result<Identity, IdentityError> {
        self.sign_key(params, name, new_key(None)?)
    }

    fn sign_key(
        &self,
        params: &CertificateParams,
        name: NodeName,
        key: KeyPair,
    ) -> Result<Identity, IdentityError> {
        let signed = params.signed_by(&key, &self.issuer).map_err(crypto(SIGN_NODE))?;
        Ok(Identity(Arc::new(Inner {
            cluster: self.cluster.clone(),
            name: Some(name),
            chain: vec![signed.der().clone()],
            chain_pem: signed.pem(),
            roots: vec![self.certificate.clone()],
            roots_pem: self.certificate_pem.clone(),
            key,
        })))
    }

    /// The cluster whose nodes this CA makes.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// The CA's certificate as PEM. It is public: every node has it among its roots.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Writes `ca.pem` and `ca-key.pem` into `dir`, which is made if it is not there. The key's file has mode 0600.
    ///
    /// # Errors
    /// [`IdentityError::Exists`] when one of the files is there already, [`IdentityError::Io`] when one cannot be
    /// written. Neither leaves a part of the pair behind.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<(), IdentityError> {
        let key = self.issuer.key().serialize_pem();
        write_all(dir.as_ref(), &[(CA_FILE, &self.certificate_pem, PUBLIC), (CA_KEY_FILE, &key, SECRET)])
    }

    /// Reads what [`ClusterCa::save`] wrote.
    ///
    /// # Errors
    /// Says which file is missing, is no PEM, is no CA's certificate, or has a key that does not belong to it.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let dir = dir.as_ref();
        let path = dir.join(CA_FILE);
        let (certificate_pem, mut certificates) = read_certificates(&path)?;
        let certificate = certificates.swap_remove(0);
        let reading = certificate::read_authority(&certificate)
            .map_err(|source| IdentityError::Certificate { path, source })?;
        let key = read_key(&dir.join(CA_KEY_FILE), &reading.public_key)?;
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(crypto("read the CA's certificate"))?;
        Ok(Self { cluster: reading.certificate.cluster, certificate, certificate_pem, issuer })
    }
}

impl fmt::Debug for ClusterCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterCa").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// What a node proves to its peers, and what it asks of them. Cloning shares it.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    cluster: ClusterName,
    name: Option<NodeName>,
    /// The leaf first, and what leads to a root after it.
    chain: Vec<CertificateDer<'static>>,
    chain_pem: String,
    roots: Vec<CertificateDer<'static>>,
    roots_pem: String,
    key: KeyPair,
}

impl Identity {
    /// One identity for all nodes of the cluster [`DEFAULT_CLUSTER`], for development.
    ///
    /// It accepts exactly itself. A certificate that everybody has names nobody: nodes tell their names, and nothing
    /// proves them. Use [`ClusterCa`] where that matters.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] when the system gives no randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        Self::generate_for(default_cluster()?)
    }

    /// One identity for all nodes of `cluster`; see [`Identity::generate`].
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] when the system gives no randomness.
    pub fn generate_for(cluster: ClusterName) -> Result<Self, IdentityError> {
        Self::generate_with(cluster, &IssueOptions { valid_for: SHARED_VALID_FOR, ..IssueOptions::default() })
    }

    /// One identity for all nodes of `cluster`, with a period of validity of its own; see [`Identity::generate`].
    ///
    /// # Errors
    /// [`IdentityError::Validity`] when the period cannot be, [`IdentityError::Crypto`] when the system gives no
    /// randomness.
    pub fn generate_with(cluster: ClusterName, options: &IssueOptions) -> Result<Self, IdentityError> {
        let key = new_key(options.entropy)?;
        let params =
            certificate::shared_params(&cluster, &stamp(options, None)?).map_err(crypto(SIGN_SHARED))?;
        let signed = params.self_signed(&key).map_err(crypto(SIGN_SHARED))?;
        let (chain, chain_pem) = (vec![signed.der().clone()], signed.pem());
        let (roots, roots_pem) = (chain.clone(), chain_pem.clone());
        Ok(Self(Arc::new(Inner { cluster, name: None, chain, chain_pem, roots, roots_pem, key })))
    }

    /// The node that it was issued to. `None` for a shared identity, which may be used under any name.
    #[must_use]
    pub fn node_name(&self) -> Option<&NodeName> {
        self.0.name.as_ref()
    }

    /// The cluster that it belongs to.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.0.cluster
    }

    /// Whether all nodes of the cluster use this one identity.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.name.is_none()
    }

    /// Who a peer is that has shown `chain`, its own certificate first.
    ///
    /// This reads and checks the profile. It verifies no signature: `chain` must come from a finished handshake.
    ///
    /// # Errors
    /// Says in what the certificate differs from that of a node of this cluster.
    pub fn peer(&self, chain: &[CertificateDer<'static>]) -> Result<PeerCertificate, CertificateError> {
        self.judge(chain.first().ok_or(CertificateError::Missing)?)
    }

    /// Writes `node.pem`, `node-key.pem` and `roots.pem` into `dir`, which is made if it is not there. The key's file
    /// has mode 0600.
    ///
    /// # Errors
    /// [`IdentityError::Exists`] when one of the files is there already, [`IdentityError::Io`] when one cannot be
    /// written. Neither leaves a part of the files behind.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<(), IdentityError> {
        let key = self.0.key.serialize_pem();
        let (chain, roots) = (&self.0.chain_pem, &self.0.roots_pem);
        let files =
            [(NODE_FILE, &**chain, PUBLIC), (NODE_KEY_FILE, &key, SECRET), (ROOTS_FILE, roots, PUBLIC)];
        write_all(dir.as_ref(), &files)
    }

    /// Reads what [`Identity::save`] wrote. `roots.pem` may hold the certificates of several CAs, which are then all
    /// accepted: so a cluster moves from one CA to the next.
    ///
    /// # Errors
    /// Says which file is missing, is no PEM, does not fit the profile, or has a key that does not belong to it.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let dir = dir.as_ref();
        let path = dir.join(NODE_FILE);
        let (chain_pem, chain) = read_certificates(&path)?;
        let (roots_pem, roots) = read_certificates(&dir.join(ROOTS_FILE))?;
        let reading =
            certificate::read(&chain[0]).map_err(|source| IdentityError::Certificate { path, source })?;
        let key = read_key(&dir.join(NODE_KEY_FILE), &reading.public_key)?;
        let PeerCertificate { cluster, name, .. } = reading.certificate;
        Ok(Self(Arc::new(Inner { cluster, name, chain, chain_pem, roots, roots_pem, key })))
    }

    /// What [`Identity::peer`] says about one certificate.
    pub(super) fn judge(&self, leaf: &CertificateDer<'_>) -> Result<PeerCertificate, CertificateError> {
        // A shared certificate may be compared as it stands: it is public, and TLS has its key proven besides.
        if self.is_shared() && *leaf != self.0.chain[0] {
            return Err(CertificateError::NotShared);
        }
        let peer = certificate::read(leaf)?.certificate;
        if peer.cluster != self.0.cluster {
            return Err(CertificateError::Cluster { found: peer.cluster, expected: self.0.cluster.clone() });
        }
        if peer.name.is_none() && !self.is_shared() {
            return Err(CertificateError::Nameless);
        }
        Ok(peer)
    }

    /// The certificates to show.
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.chain.clone()
    }

    /// The certificates to trust. A shared identity is its own.
    pub(super) fn roots(&self) -> &[CertificateDer<'static>] {
        &self.0.roots
    }

    /// A copy of the private key, for TLS.
    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.key.serialize_der()).into()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Identity");
        shown.field("cluster", &self.0.cluster).field("name", &self.0.name).finish_non_exhaustive()
    }
}

fn default_cluster() -> Result<ClusterName, IdentityError> {
    Ok(ClusterName::new(DEFAULT_CLUSTER)?)
}

/// Ed25519, because its keys and signatures have one length each: a handshake is as long today as tomorrow.
fn new_key(entropy: Option<[u8; 32]>) -> Result<KeyPair, IdentityError> {
    let made = match entropy {
        None => KeyPair::generate_for(&PKCS_ED25519),
        Some(seed) => KeyPair::try_from([ED25519_PKCS8, seed.as_slice()].concat()),
    };
    made.map_err(crypto("make a key"))
}

/// The period of validity that `options` ask for, within that of the `authority`, and a new serial number.
fn stamp(options: &IssueOptions, authority: Option<&CertificateDer<'_>>) -> Result<Stamp, IdentityError> {
    let beyond = || IdentityError::Validity("it is beyond the calendar");
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).ok();
    let at = options.at.duration_since(SystemTime::UNIX_EPOCH).ok().and_then(seconds).ok_or_else(beyond)?;
    let first = seconds(options.backdate).and_then(|backdate| at.checked_sub(backdate)).ok_or_else(beyond)?;
    let mut last = seconds(options.valid_for).and_then(|valid| at.checked_add(valid)).ok_or_else(beyond)?;
    if let Some(authority) = authority {
        let path = PathBuf::from(CA_FILE);
        let (_, end) = certificate::read_validity(authority)
            .map_err(|source| IdentityError::Certificate { path, source })?;
        last = last.min(end);
    }
    if last < first {
        return Err(IdentityError::Validity("it begins after the CA's end"));
    }
    let moment = |seconds| OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| beyond());
    let (not_before, not_after) = (moment(first)?, moment(last)?);

    let mut serial = [0; SERIAL_BYTES];
    if let Some(seed) = options.entropy {
        let drawn = digest::digest(&digest::SHA256, &seed);
        serial.copy_from_slice(&drawn.as_ref()[..SERIAL_BYTES]);
    } else {
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut serial).map_err(|_| IdentityError::Crypto {
            attempt: "draw a serial number",
            detail: "the system gives no randomness".to_owned(),
        })?;
    }
    // DER cuts leading zeros and adds one before a set top bit: this first byte keeps all serials equally long.
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(Stamp { not_before, not_after, serial })
}

fn crypto(attempt: &'static str) -> impl Fn(rcgen::Error) -> IdentityError {
    move |error| IdentityError::Crypto { attempt, detail: error.to_string() }
}

fn read_certificates(path: &Path) -> Result<(String, Vec<CertificateDer<'static>>), IdentityError> {
    let text = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok((text, certificates)),
        _ => Err(IdentityError::Pem { path: path.to_owned(), expected: "CERTIFICATE" }),
    }
}

fn read_key(path: &Path, public_key: &[u8]) -> Result<KeyPair, IdentityError> {
    let text = read(path)?;
    let no_key = |_| IdentityError::Pem { path: path.to_owned(), expected: "PRIVATE KEY (PKCS #8)" };
    let key = KeyPair::from_pem(&text).map_err(no_key)?;
    if key.subject_public_key_info() == public_key {
        Ok(key)
    } else {
        Err(IdentityError::KeyMismatch { path: path.to_owned() })
    }
}

fn read(path: &Path) -> Result<String, IdentityError> {
    fs::read_to_string(path).map_err(|source| IdentityError::Io { path: path.to_owned(), source })
}

/// Writes all of the files or none. None of them may be there before: a lost key cannot be brought back.
fn write_all(dir: &Path, files: &[(&str, &str, u32)]) -> Result<(), IdentityError> {
    make_dir(dir).map_err(|source| IdentityError::Io { path: dir.to_owned(), source })?;
    let paths: Vec<_> = files.iter().map(|(name, ..)| dir.join(name)).collect();
    if let Some(path) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(IdentityError::Exists { path: path.clone() });
    }
    for (index, ((_, text, mode), path)) in files.iter().zip(&paths).enumerate() {
        let Err(source) = write_new(path, text, *mode) else { continue };
        // The file itself goes too, unless it is somebody else's that has appeared meanwhile.
        let taken = source.kind() == io::ErrorKind::AlreadyExists;
        for written in &paths[..index + usize::from(!taken)] {
            let _ = fs::remove_file(written);
        }
        let path = path.clone();
        return Err(if taken { IdentityError::Exists { path } } else { IdentityError::Io { path, source } });
    }
    Ok(())
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// What precedes the 32 bytes of an Ed25519 key in PKCS #8, version 1 (RFC 8410, section 7).
const ED25519_PKCS8: &[u8] = &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca-key.pem";
const NODE_FILE: &str = "node.pem";
const NODE_KEY_FILE: &str = "node-key.pem";
const ROOTS_FILE: &str = "roots.pem";
const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;
const SIGN_NODE: &str = "sign the node's certificate";
const SIGN_SHARED: &str = "sign the shared certificate";

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
