//! The profile, each rule of it broken in turn.

use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ED25519};

use super::*;

fn cluster() -> ClusterName {
    ClusterName::new("main").expect("a label")
}

fn params() -> CertificateParams {
    let stamp = Stamp {
        not_before: OffsetDateTime::from_unix_timestamp(1_700_000_000).expect("in the calendar"),
        not_after: OffsetDateTime::from_unix_timestamp(1_700_086_400).expect("in the calendar"),
        serial: [0x41; SERIAL_BYTES],
    };
    node_params(&cluster(), &NodeName::new("london").expect("a label"), &stamp).expect("parameters")
}

fn read_with(change: impl FnOnce(&mut CertificateParams)) -> Result<PeerCertificate, CertificateError> {
    let mut params = params();
    change(&mut params);
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let signed = params.self_signed(&key).expect("a certificate");
    read(signed.der()).map(|reading| reading.certificate)
}

fn uri(params: &mut CertificateParams, text: &str) {
    params.subject_alt_names.retain(|name| !matches!(name, SanType::URI(_)));
    params.subject_alt_names.push(SanType::URI(text.try_into().expect("ASCII")));
}

#[test]
fn a_certificate_of_the_profile_says_who_where_which_and_until_when() {
    let peer = read_with(|_| ()).expect("it fits");
    assert_eq!(peer.name.as_ref().map(NodeName::as_str), Some("london"));
    assert_eq!(peer.cluster, cluster());
    assert_eq!(peer.serial, "41".repeat(16));
    assert_eq!(peer.not_after, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_086_400));
}

#[test]
fn each_broken_rule_has_its_own_reason() {
    use CertificateError::{
        DnsNames, ExtendedKeyUsage, KeyUsage, Label, NotANode, NotSpiffe, TrustDomain, UriNames,
    };
    let found = |change: fn(&mut CertificateParams)| read_with(change).expect_err("it breaks a rule");

    let domain = found(|p| uri(p, "spiffe://evil.example/main/node/london"));
    assert_eq!(domain, TrustDomain { found: "evil.example".into() });
    assert!(matches!(found(|p| uri(p, "https://regatta.internal/main/node/london")), NotSpiffe { .. }));
    assert!(matches!(found(|p| uri(p, "spiffe://regatta.internal/main/operator/london")), NotANode { .. }));
    assert!(matches!(found(|p| uri(p, "spiffe://regatta.internal/main/node/london/x")), NotANode { .. }));
    assert!(matches!(found(|p| uri(p, "spiffe://regatta.internal/main/node/member")), Label(_)));
    assert!(matches!(found(|p| uri(p, "spiffe://regatta.internal/main/node/LONDON")), Label(_)));
    assert!(matches!(found(|p| uri(p, "spiffe://regatta.internal/main/node/tokyo")), DnsNames { .. }));

    let two = |p: &mut CertificateParams| {
        let second = "spiffe://regatta.internal/main/node/tokyo".try_into().expect("ASCII");
        p.subject_alt_names.push(SanType::URI(second));
    };
    assert_eq!(found(two), UriNames { found: 2 });
    let none = |p: &mut CertificateParams| p.subject_alt_names.retain(|n| !matches!(n, SanType::URI(_)));
    assert_eq!(found(none), UriNames { found: 0 });
    assert_eq!(found(|p| p.subject_alt_names.clear()), UriNames { found: 0 });
    let more = |p: &mut CertificateParams| {
        p.subject_alt_names.push(SanType::DnsName("tokyo.main.internal".try_into().expect("ASCII")));
    };
    assert!(matches!(found(more), DnsNames { .. }));

    assert_eq!(found(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), CertificateError::IsCa);
    assert_eq!(found(|p| p.key_usages.clear()), KeyUsage);
    assert_eq!(found(|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign)), KeyUsage);
    assert_eq!(
        found(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ExtendedKeyUsage
    );
    assert_eq!(
        found(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
        ExtendedKeyUsage
    );
    assert_eq!(found(|p| p.extended_key_usages.clear()), ExtendedKeyUsage);
}

#[test]
fn a_second_uri_that_is_no_text_does_not_hide() {
    // webpki's list of URI names leaves such a name out; here it must count.
    let broken = read_with(|params| {
        let mut names = vec![];
        let mut put = |tag: u8, bytes: &[u8]| {
            names.extend([tag, u8::try_from(bytes.len()).expect("short")]);
            names.extend(bytes);
        };
        put(0x86, b"spiffe://regatta.internal/main/node/london");
        put(0x86, &[0xff, 0xfe]);
        put(0x82, b"london.main.internal");
        put(0x82, b"member.main.internal");
        let mut content = vec![0x30, u8::try_from(names.len()).expect("short")];
        if names.len() > 127 {
            content.insert(1, 0x81);
        }
        content.extend(names);
        params.subject_alt_names.clear();
        params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], content));
    });
    assert!(
        matches!(broken, Err(CertificateError::DnsNames { .. } | CertificateError::Malformed(_))),
        "{broken:?}"
    );
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let whole = params().self_signed(&key).expect("a certificate").der().to_vec();
    for end in 0..whole.len() {
        assert!(read(&CertificateDer::from(whole[..end].to_vec())).is_err(), "cut at {end}");
    }
    let mut longer = whole;
    longer.push(0);
    assert!(read(&CertificateDer::from(longer)).is_err());
}

#[test]
fn text_of_a_certificate_is_cut_and_escaped_in_a_message() {
    let text = format!("spiffe://\u{1b}[31m{}/x", "y".repeat(1000));
    let message = read_with(|params| uri(params, &text)).expect_err("another domain").to_string();
    assert!(message.len() < 300 && !message.chars().any(char::is_control), "{message:?}");
}
