//! The certificate profile, both ways: what a node's certificate is issued with, and what is read from a peer's.
//!
//! A certificate names its node in one place, the URI `spiffe://regatta.internal/<cluster>/node/<name>`. Its two DNS
//! names serve the standard verifier: `<name>.<cluster>.internal`, and `member.<cluster>.internal`, which all share,
//! for a dial by address when the name is not known yet.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SanType, SerialNumber,
};
use regatta_proto::id::{ClusterName, NodeName, RESERVED_LABEL};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use thiserror::Error;
use time::OffsetDateTime;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyUsage};

/// The trust domain in every node's URI.
pub const TRUST_DOMAIN: &str = "regatta.internal";
/// How long a node's certificate is valid, unless its issuer says otherwise.
pub const VALID_FOR_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);
/// A certificate is valid from a little before its issue: clocks differ.
const BACKDATED: Duration = Duration::from_secs(5 * 60);
/// How long an authority is valid.
const CA_VALID_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// id-kp-serverAuth and id-kp-clientAuth (RFC 5280, 4.2.1.12), as encoded.
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// Why a certificate that its authority signed is no certificate of a node of this cluster.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// There is no certificate.
    #[error("the peer shows no certificate")]
    Missing,
    /// The bytes are no certificate, or its signature, dates or usages do not hold.
    #[error("the certificate is not valid: {0}")]
    Invalid(String),
    /// It does not hold exactly one URI, so it names nobody or several.
    #[error("the certificate holds {0} URIs; a node's holds exactly one, which names it")]
    Uris(usize),
    /// Its URI is not of the form that names a node.
    #[error("the certificate's URI {0:?} does not name a node: expected spiffe://{TRUST_DOMAIN}/<cluster>/node/<name>")]
    Uri(String),
    /// Its URI is of another trust domain.
    #[error("the certificate is of the trust domain {0:?}, not of \"{TRUST_DOMAIN}\"")]
    TrustDomain(String),
    /// It names a node of another cluster.
    #[error("the certificate is for cluster \"{theirs}\", this node belongs to \"{ours}\"")]
    Cluster {
        /// The cluster in the certificate.
        theirs: String,
        /// This node's.
        ours: ClusterName,
    },
    /// It is not the shared identity's own.
    #[error("the certificate is not the one that this cluster shares")]
    NotShared,
}

/// What a peer's certificate proves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCertificate {
    /// The node; `None` with a shared identity, which proves membership alone.
    pub name: Option<NodeName>,
    /// The cluster.
    pub cluster: ClusterName,
}

/// The DNS name that all certificates of a cluster carry.
pub(crate) fn member_name(cluster: &ClusterName) -> String {
    format!("{RESERVED_LABEL}.{cluster}.internal")
}

/// The node that a certificate names. Its signature is not looked at.
///
/// # Errors
/// [`CertificateError`] when it names none of `cluster`.
pub(crate) fn read(der: &CertificateDer<'_>, cluster: &ClusterName) -> Result<PeerCertificate, CertificateError> {
    let certificate = EndEntityCert::try_from(der).map_err(|error| CertificateError::Invalid(error.to_string()))?;
    let uris: Vec<&str> = certificate.valid_uri_names().collect();
    let [uri] = uris[..] else { return Err(CertificateError::Uris(uris.len())) };
    let wrong = || CertificateError::Uri(uri.chars().take(256).collect());
    let path = uri.strip_prefix("spiffe://").ok_or_else(wrong)?;
    let mut parts = path.split('/');
    let (Some(domain), Some(theirs), Some("node"), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    if domain != TRUST_DOMAIN {
        return Err(CertificateError::TrustDomain(domain.chars().take(256).collect()));
    }
    let name = NodeName::new(name).map_err(|_| wrong())?;
    let theirs = ClusterName::new(theirs).map_err(|_| wrong())?;
    if theirs != *cluster {
        return Err(CertificateError::Cluster { theirs: theirs.to_string(), ours: cluster.clone() });
    }
    Ok(PeerCertificate { name: Some(name), cluster: theirs })
}

/// Checks that a certificate may be used at both ends of a link: whoever dials today is dialled tomorrow.
///
/// # Errors
/// [`CertificateError::Invalid`] with what does not hold.
pub(crate) fn check_usages(
    der: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &[TrustAnchor<'_>],
    now: UnixTime,
) -> Result<(), CertificateError> {
    let certificate = EndEntityCert::try_from(der).map_err(|error| CertificateError::Invalid(error.to_string()))?;
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let check = |usage: KeyUsage, what: &str| {
        let path =
            certificate.verify_for_usage(algorithms, roots, intermediates, now, Usage(usage), None, None);
        path.map(drop).map_err(|error| CertificateError::Invalid(format!("{what}: {error}")))
    };
    check(KeyUsage::required(SERVER_AUTH), "as a server")?;
    check(KeyUsage::required(CLIENT_AUTH), "as a client")
}

struct Usage(KeyUsage);

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, iter: webpki::KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        self.0.validate(iter)
    }
}

/// What a node's certificate is issued with.
pub(crate) fn leaf(
    name: &NodeName,
    cluster: &ClusterName,
    from: SystemTime,
    valid_for: Duration,
    serial: [u8; 16],
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = blank(from, valid_for, serial);
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    params.subject_alt_names = vec![
        SanType::URI(format!("spiffe://{TRUST_DOMAIN}/{cluster}/node/{name}").try_into()?),
        SanType::DnsName(format!("{name}.{cluster}.internal").try_into()?),
        SanType::DnsName(member_name(cluster).try_into()?),
    ];
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// What the self-signed certificate of a shared identity is made with.
pub(crate) fn shared(cluster: &ClusterName, from: SystemTime, serial: [u8; 16]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = blank(from, CA_VALID_FOR, serial);
    params.distinguished_name.push(DnType::CommonName, "regatta shared identity");
    params.subject_alt_names = vec![SanType::DnsName(member_name(cluster).try_into()?)];
    params.is_ca = IsCa::ExplicitNoCa;
    Ok(params)
}

/// What a cluster's authority is made with. Its name is its own, so that two authorities are never mixed up.
pub(crate) fn authority(cluster: &ClusterName, from: SystemTime, serial: [u8; 16]) -> CertificateParams {
    let unique: String = serial[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut params = blank(from, CA_VALID_FOR, serial);
    params.distinguished_name.push(DnType::CommonName, format!("regatta {cluster} {unique}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = Vec::new();
    params
}

fn blank(from: SystemTime, valid_for: Duration, mut serial: [u8; 16]) -> CertificateParams {
    // Positive and never shorter than 16 bytes, so that certificates of one kind have one size.
    serial[0] = serial[0] & 0x3f | 0x40;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = OffsetDateTime::from(from) - BACKDATED;
    params.not_after = OffsetDateTime::from(from) + valid_for;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}
