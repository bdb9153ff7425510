//! Issuing, and the way through files and back.

use super::*;

fn folder() -> PathBuf {
    let mut random = [0; 8];
    let provider = rustls::crypto::ring::default_provider();
    provider.secure_random.fill(&mut random).expect("randomness");
    std::env::temp_dir().join(format!("regatta-identity-{:016x}", u64::from_ne_bytes(random)))
}

#[test]
fn an_issued_identity_knows_its_node_and_a_shared_one_knows_none() {
    let ca = ClusterCa::generate_for(ClusterName::new("blue").expect("a label")).expect("a CA");
    let london = ca.issue("london").expect("an identity");
    assert_eq!(london.node_name().map(NodeName::as_str), Some("london"));
    assert_eq!((london.cluster().as_str(), london.is_shared()), ("blue", false));
    let shared = Identity::generate().expect("an identity");
    assert_eq!((shared.node_name(), shared.cluster().as_str(), shared.is_shared()), (None, "main", true));
    assert_eq!(shared.peer(&shared.chain()).expect("itself").name, None);
    assert_eq!(london.peer(&[]), Err(CertificateError::Missing));
}

#[test]
fn a_name_that_is_no_label_or_is_reserved_is_not_issued() {
    let ca = ClusterCa::generate().expect("a CA");
    for bad in ["member", "", "London", "a.b", "-a"] {
        assert!(matches!(ca.issue(bad), Err(IdentityError::Name(_))), "{bad:?} was issued");
    }
}

#[test]
fn certificates_of_one_name_have_one_length_and_different_serials() {
    let ca = ClusterCa::generate().expect("a CA");
    let mut serials = Vec::new();
    let length = ca.issue("london").expect("an identity").chain()[0].len();
    for _ in 0..64 {
        let chain = ca.issue("london").expect("an identity").chain();
        assert_eq!(chain[0].len(), length);
        serials.push(certificate::read(&chain[0]).expect("it fits").certificate.serial);
    }
    assert!(serials.iter().all(|serial| serial.len() == 2 * SERIAL_BYTES));
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 64);
}

#[test]
fn a_certificate_begins_before_its_issue_and_ends_with_its_ca() {
    let ca = ClusterCa::generate().expect("a CA");
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let options = IssueOptions { at, ..IssueOptions::default() };
    let chain = ca.issue_with("london", &options).expect("an identity").chain();
    let period = certificate::read_validity(&chain[0]).expect("it fits");
    assert_eq!(period, (1_800_000_000 - 300, 1_800_000_000 + 86_400));

    let options = IssueOptions { valid_for: CA_VALID_FOR * 2, ..IssueOptions::default() };
    let chain = ca.issue_with("london", &options).expect("an identity").chain();
    let end = |der| certificate::read_validity(der).expect("it fits").1;
    assert_eq!(end(&chain[0]), end(&ca.certificate));
}

#[test]
fn a_period_that_cannot_be_is_refused_and_never_panics() {
    let ca = ClusterCa::generate().expect("a CA");
    let with = |change: fn(&mut IssueOptions)| {
        let mut options = IssueOptions::default();
        change(&mut options);
        ca.issue_with("london", &options).map(drop)
    };
    let early = with(|options| options.backdate = Duration::MAX);
    assert!(matches!(early, Err(IdentityError::Validity(_))), "{early:?}");
    let late = with(|options| options.at += CA_VALID_FOR * 2);
    assert!(matches!(late, Err(IdentityError::Validity(_))), "{late:?}");
    let endless = with(|options| options.valid_for = Duration::MAX);
    assert!(matches!(endless, Err(IdentityError::Validity(_))), "{endless:?}");
}

#[test]
fn files_read_back_as_what_was_saved() {
    let dir = folder();
    let ca = ClusterCa::generate_for(ClusterName::new("blue").expect("a label")).expect("a CA");
    ca.save(dir.join("ca")).expect("saved");
    let again = ClusterCa::load(dir.join("ca")).expect("loaded");
    assert_eq!((again.cluster(), again.certificate_pem()), (ca.cluster(), ca.certificate_pem()));

    let tokyo = again.issue("tokyo").expect("an identity");
    tokyo.save(dir.join("tokyo")).expect("saved");
    let loaded = Identity::load(dir.join("tokyo")).expect("loaded");
    assert_eq!((loaded.node_name(), loaded.cluster()), (tokyo.node_name(), tokyo.cluster()));
    assert_eq!((loaded.chain(), loaded.roots()), (tokyo.chain(), tokyo.roots()));
    assert_eq!(loaded.key(), tokyo.key());

    let shared = Identity::generate().expect("an identity");
    shared.save(dir.join("shared")).expect("saved");
    assert!(Identity::load(dir.join("shared")).expect("loaded").is_shared());
    fs::remove_dir_all(dir).expect("removed");
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let ca = ClusterCa::generate().expect("a CA");
    ca.save(&dir).expect("saved");
    ca.issue("london").expect("an identity").save(&dir).expect("saved beside the CA");
    for key in [CA_KEY_FILE, NODE_KEY_FILE] {
        let mode = fs::metadata(dir.join(key)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    fs::remove_dir_all(dir).expect("removed");
}

#[test]
fn nothing_is_overwritten_and_nothing_is_half_written() {
    let dir = folder();
    let ca = ClusterCa::generate().expect("a CA");
    fs::create_dir_all(&dir).expect("a folder");
    fs::write(dir.join(ROOTS_FILE), "mine").expect("a file");
    let refused = ca.issue("london").expect("an identity").save(&dir);
    assert!(matches!(refused, Err(IdentityError::Exists { path }) if path.ends_with(ROOTS_FILE)));
    assert_eq!(fs::read_to_string(dir.join(ROOTS_FILE)).expect("there"), "mine");
    assert_eq!(fs::read_dir(&dir).expect("a folder").count(), 1);
    fs::remove_dir_all(dir).expect("removed");
}

#[test]
fn a_key_of_another_certificate_is_not_loaded() {
    let dir = folder();
    let ca = ClusterCa::generate().expect("a CA");
    ca.issue("london").expect("an identity").save(dir.join("a")).expect("saved");
    ca.issue("london").expect("an identity").save(dir.join("b")).expect("saved");
    fs::copy(dir.join("a").join(NODE_KEY_FILE), dir.join("b").join(NODE_KEY_FILE)).expect("copied");
    assert!(matches!(Identity::load(dir.join("b")), Err(IdentityError::KeyMismatch { .. })));
    fs::write(dir.join("b").join(NODE_FILE), "no PEM").expect("written");
    assert!(matches!(Identity::load(dir.join("b")), Err(IdentityError::Pem { .. })));
    fs::remove_dir_all(dir).expect("removed");
}

#[test]
fn debug_shows_no_key() {
    let ca = ClusterCa::generate().expect("a CA");
    let london = ca.issue("london").expect("an identity");
    let private = |pem: String| pem.lines().nth(1).expect("a line").to_owned();
    let text = format!("{ca:?} {london:?}");
    for secret in [private(ca.issuer.key().serialize_pem()), private(london.0.key.serialize_pem())] {
        assert!(!text.contains(&secret));
    }
    assert!(text.len() < 200 && text.contains("london"), "{text}");
}
