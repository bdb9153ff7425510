//! The one certificate profile of a cluster: how a node's certificate is filled in, and how a peer's is read.
//!
//! The profile follows the SPIFFE X.509-SVID specification: the name that counts is the one URI name,
//! `spiffe://regatta.internal/<cluster>/node/<name>`. Two DNS names stand beside it, for the standard server check:
//! `<name>.<cluster>.internal`, and `member.<cluster>.internal`, which every node of the cluster has, so a node can be
//! dialled by an address before its name is known.
//!
//! Reading checks the profile and nothing else. Signature, validity period and proof of the key are TLS's part; the
//! verifier in `tls` does both, and only a certificate that passed both has a name.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SerialNumber,
};
use regatta_proto::id::{ClusterName, NodeName, ParseIdError, RESERVED_LABEL};
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;

/// The SPIFFE trust domain of every cluster. It is not a host and is never resolved.
pub const TRUST_DOMAIN: &str = "regatta.internal";

/// What a certificate that fits the profile says about its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCertificate {
    /// The node that it was issued to. `None` for a shared identity, which names no node.
    pub name: Option<NodeName>,
    /// The cluster that it is valid in.
    pub cluster: ClusterName,
    /// The serial number in lower-case hex, as revocation lists and the audit log write it.
    pub serial: String,
    /// The last moment at which it is valid, in whole seconds.
    pub not_after: SystemTime,
}

/// Why a certificate does not fit the profile. A peer that shows such a certificate is refused in the handshake.
///
/// Text from the certificate is quoted, escaped and cut, so it is safe in a log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// There is no certificate at all.
    #[error("no certificate was shown; every node needs an identity of the cluster")]
    Missing,
    /// The bytes are no X.509 certificate of version 3, or an extension cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Malformed(String),
    /// It has no URI name, or more than one: then which of them names the node is anybody's guess.
    #[error("the certificate has {found} URI names instead of exactly one")]
    UriNames {
        /// How many it has.
        found: usize,
    },
    /// The URI name is no SPIFFE id.
    #[error("{uri:?} is no SPIFFE id; expected spiffe://{TRUST_DOMAIN}/<cluster>/node/<name>")]
    NotSpiffe {
        /// The URI name.
        uri: String,
    },
    /// The SPIFFE id belongs to another trust domain.
    #[error("the certificate belongs to the trust domain {found:?} instead of \"{TRUST_DOMAIN}\"")]
    TrustDomain {
        /// The trust domain in the certificate.
        found: String,
    },
    /// The SPIFFE id stands for something else than a node.
    #[error("{uri:?} is not the id of a node; expected spiffe://{TRUST_DOMAIN}/<cluster>/node/<name>")]
    NotANode {
        /// The URI name.
        uri: String,
    },
    /// A part of the SPIFFE id is no DNS label, or reserved.
    #[error("the certificate's SPIFFE id has a part that cannot be used: {0}")]
    Label(#[from] ParseIdError),
    /// It was issued for another cluster.
    #[error("the certificate is for cluster \"{found}\"; this is cluster \"{expected}\"")]
    Cluster {
        /// The cluster in the certificate.
        found: ClusterName,
        /// The cluster of this identity.
        expected: ClusterName,
    },
    /// The DNS names are not the two that follow from the SPIFFE id, or there are names of other kinds.
    #[error("the certificate's DNS names must be \"{own}\" and \"{member}\" and nothing else")]
    DnsNames {
        /// The node's own name.
        own: String,
        /// The name that every node of the cluster has.
        member: String,
    },
    /// It may sign certificates. A node's key must not be able to make other nodes.
    #[error("the certificate is a CA's; a node's must have cA=false")]
    IsCa,
    /// It may not sign certificates, where a CA's was expected.
    #[error("the certificate is not a CA's")]
    IsNoCa,
    /// The key usage is missing, not critical, or not exactly digitalSignature.
    #[error("the certificate's key usage must be critical and exactly digitalSignature")]
    KeyUsage,
    /// The extended key usage lacks clientAuth or serverAuth. A node is both.
    #[error("the certificate's extended key usage must have both clientAuth and serverAuth")]
    ExtendedKeyUsage,
    /// It names no node, and this node's identity is not a shared one.
    #[error("the certificate is a shared one and names no node; issue one to the peer from the cluster's CA")]
    Nameless,
    /// This node has a shared identity, and the certificate is another one.
    #[error("the certificate is not the shared identity of this cluster; every node must use the same one")]
    NotShared,
}

/// What the issuer says about a certificate besides whom it is for.
pub(super) struct Stamp {
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
    pub(super) serial: [u8; SERIAL_BYTES],
}

/// The parameters of the certificate of the node `name`.
pub(super) fn node_params(
    cluster: &ClusterName,
    name: &NodeName,
    stamp: &Stamp,
) -> Result<CertificateParams, rcgen::Error> {
    let uri = format!("spiffe://{TRUST_DOMAIN}/{cluster}/{NODE}/{name}");
    let mut params = leaf(uri, vec![dns_name(cluster, name.as_str()), member_name(cluster)], stamp)?;
    params.distinguished_name = subject(name.as_str(), cluster);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// The parameters of a certificate that all nodes of a cluster share. It names no node.
pub(super) fn shared_params(cluster: &ClusterName, stamp: &Stamp) -> Result<CertificateParams, rcgen::Error> {
    let uri = format!("spiffe://{TRUST_DOMAIN}/{cluster}/{SHARED}");
    let mut params = leaf(uri, vec![member_name(cluster)], stamp)?;
    params.distinguished_name = subject(SHARED, cluster);
    Ok(params)
}

/// The parameters of a cluster's CA: it signs leaves only, and no two CAs have the same subject, so a verifier that
/// trusts several during a rotation never takes one for the other.
pub(super) fn authority_params(cluster: &ClusterName, stamp: &Stamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(&format!("regatta-ca-{}", hex(&stamp.serial)), cluster);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    put_stamp(&mut params, stamp);
    params
}

/// `member.<cluster>.internal`, the DNS name of every node of the cluster.
pub(super) fn member_name(cluster: &ClusterName) -> String {
    dns_name(cluster, RESERVED_LABEL)
}

/// `<node>.<cluster>.internal`, the DNS name of one node.
pub(super) fn node_name(cluster: &ClusterName, node: &NodeName) -> String {
    dns_name(cluster, node.as_str())
}

/// A certificate that was read: what it says, and the public key that it says it about.
pub(super) struct Reading {
    pub(super) certificate: PeerCertificate,
    pub(super) public_key: Vec<u8>,
}

/// Reads the certificate of a node, or a shared one, and checks all of the profile except the cluster's name.
pub(super) fn read(der: &CertificateDer<'_>) -> Result<Reading, CertificateError> {
    let x509 = parse(der)?;
    if is_ca(&x509)? {
        return Err(CertificateError::IsCa);
    }
    let key_usage = x509.key_usage().map_err(malformed)?;
    if !key_usage.is_some_and(|usage| usage.critical && usage.value.flags == DIGITAL_SIGNATURE) {
        return Err(CertificateError::KeyUsage);
    }
    let purposes = x509.extended_key_usage().map_err(malformed)?;
    if !purposes.is_some_and(|purposes| purposes.value.client_auth && purposes.value.server_auth) {
        return Err(CertificateError::ExtendedKeyUsage);
    }

    let names = x509.subject_alternative_name().map_err(malformed)?;
    let names = names.as_ref().map_or(&[][..], |names| &names.value.general_names);
    let (cluster, name) = spiffe_id(names)?;
    let member = member_name(&cluster);
    let own = name.as_ref().map_or_else(|| member.clone(), |name| dns_name(&cluster, name.as_str()));
    if !dns_names_are(names, &own, &member) {
        return Err(CertificateError::DnsNames { own, member });
    }
    reading(&x509, cluster, name)
}

/// Reads the certificate of a cluster's CA.
pub(super) fn read_authority(der: &CertificateDer<'_>) -> Result<Reading, CertificateError> {
    let x509 = parse(der)?;
    if !is_ca(&x509)? {
        return Err(CertificateError::IsNoCa);
    }
    let organization = x509.subject().iter_organization().next().and_then(|cluster| cluster.as_str().ok());
    let cluster = ClusterName::new(organization.unwrap_or_default())?;
    reading(&x509, cluster, None)
}

/// The first and the last second at which the certificate is valid, since 1970.
pub(super) fn read_validity(der: &CertificateDer<'_>) -> Result<(i64, i64), CertificateError> {
    let validity = parse(der)?.tbs_certificate.validity;
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn leaf(uri: String, dns: Vec<String>, stamp: &Stamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(dns)?;
    params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    put_stamp(&mut params, stamp);
    Ok(params)
}

fn put_stamp(params: &mut CertificateParams, stamp: &Stamp) {
    params.not_before = stamp.not_before;
    params.not_after = stamp.not_after;
    params.serial_number = Some(SerialNumber::from_slice(&stamp.serial));
}

/// Who it is, for people. No check reads a leaf's subject; a CA's cluster is kept in it.
fn subject(common_name: &str, cluster: &ClusterName) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, cluster.as_str());
    subject.push(DnType::CommonName, common_name);
    subject
}

fn dns_name(cluster: &ClusterName, label: &str) -> String {
    format!("{label}.{cluster}.internal")
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateError> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], x509)) => Ok(x509),
        Ok(_) => Err(CertificateError::Malformed("bytes follow it".to_owned())),
        Err(error) => Err(CertificateError::Malformed(cut(&error.to_string()))),
    }
}

fn is_ca(x509: &X509Certificate<'_>) -> Result<bool, CertificateError> {
    Ok(x509.basic_constraints().map_err(malformed)?.is_some_and(|constraints| constraints.value.ca))
}

fn malformed(error: X509Error) -> CertificateError {
    CertificateError::Malformed(cut(&error.to_string()))
}

/// The cluster and, unless the certificate is a shared one, the node that the one URI name stands for.
fn spiffe_id(names: &[GeneralName<'_>]) -> Result<(ClusterName, Option<NodeName>), CertificateError> {
    let uris =
        names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    let uris: Vec<&str> = uris.collect();
    let [uri] = uris[..] else { return Err(CertificateError::UriNames { found: uris.len() }) };
    let id = uri.strip_prefix("spiffe://").and_then(|id| id.split_once('/'));
    let (domain, path) = id.ok_or_else(|| CertificateError::NotSpiffe { uri: cut(uri) })?;
    if domain != TRUST_DOMAIN {
        return Err(CertificateError::TrustDomain { found: cut(domain) });
    }
    match path.split('/').collect::<Vec<_>>()[..] {
        [cluster, NODE, name] => Ok((ClusterName::new(cluster)?, Some(NodeName::new(name)?))),
        [cluster, SHARED] => Ok((ClusterName::new(cluster)?, None)),
        _ => Err(CertificateError::NotANode { uri: cut(uri) }),
    }
}

/// Whether the names besides the URI are `own` and `member`, which are one and the same in a shared certificate.
/// A name that cannot be read counts too, so nothing can hide among the names.
fn dns_names_are(names: &[GeneralName<'_>], own: &str, member: &str) -> bool {
    let has =
        |wanted: &str| names.iter().any(|name| matches!(name, GeneralName::DNSName(dns) if *dns == wanted));
    let expected = if own == member { 2 } else { 3 };
    has(own) && has(member) && names.len() == expected
}

fn reading(
    x509: &X509Certificate<'_>,
    cluster: ClusterName,
    name: Option<NodeName>,
) -> Result<Reading, CertificateError> {
    let not_after = u64::try_from(x509.validity().not_after.timestamp()).ok();
    let not_after =
        not_after.and_then(|after| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(after)));
    let not_after =
        not_after.ok_or_else(|| CertificateError::Malformed("it ended before 1970".to_owned()))?;
    let serial = hex(x509.raw_serial());
    let certificate = PeerCertificate { name, cluster, serial, not_after };
    Ok(Reading { certificate, public_key: x509.public_key().raw.to_vec() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cut(text: &str) -> String {
    text.chars().take(QUOTE_CHARS_MAX).collect()
}

/// Every serial is this long, so every certificate of a node has the same length, and so has its handshake.
pub(super) const SERIAL_BYTES: usize = 16;
const QUOTE_CHARS_MAX: usize = 128;
const NODE: &str = "node";
const SHARED: &str = "shared";
/// Bit 0 of the key usage (RFC 5280, section 4.2.1.3).
const DIGITAL_SIGNATURE: u16 = 1;

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
