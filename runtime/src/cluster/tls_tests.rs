//! Real handshakes between two sides in memory, and how each of the wrong ones ends.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use quinn_proto::crypto::{ClientConfig as _, ServerConfig as _, Session};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{Side, TransportErrorCode};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, SanType};
use regatta_proto::id::{ClusterName, NodeName};
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use time::OffsetDateTime;

use super::super::identity::{ClusterCa, IssueOptions};
use super::*;

const QUIC_V1: u32 = 1;
const CERTIFICATE_EXPIRED: u8 = 45;
const CERTIFICATE_UNKNOWN: u8 = 46;
const UNKNOWN_CA: u8 = 48;
const CERTIFICATE_REQUIRED: u8 = 116;
const NO_APPLICATION_PROTOCOL: u8 = 120;

#[derive(Debug)]
struct At(u64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

fn configs(identity: &Identity) -> TlsConfigs {
    configs_at(identity, now())
}

fn configs_at(identity: &Identity, unix: u64) -> TlsConfigs {
    TlsConfigs::new(identity, Arc::new(At(unix))).expect("TLS takes it")
}

/// How a side refuses: the alert, and the reason that it gives.
type Refused = (u8, String);

struct Pair {
    client: Box<dyn Session>,
    server: Box<dyn Session>,
}

impl Pair {
    fn new(client: &Arc<QuicClientConfig>, server: &Arc<QuicServerConfig>, name: &str) -> Self {
        let params =
            TransportParameters::read(Side::Client, &mut &[][..]).expect("all of them may be left out");
        Self {
            client: client.clone().start_session(QUIC_V1, name, &params).expect("a name"),
            server: server.clone().start_session(QUIC_V1, &params),
        }
    }

    /// Passes on what both sides say until neither says anything. `Err` holds who refused, and how.
    fn run(&mut self) -> Result<(), (&'static str, Refused)> {
        loop {
            let mut silent = true;
            for who in ["server", "client"] {
                let (from, to) = match who {
                    "server" => (&mut self.client, &mut self.server),
                    _ => (&mut self.server, &mut self.client),
                };
                loop {
                    let mut said = Vec::new();
                    let keys = from.write_handshake(&mut said);
                    if said.is_empty() && keys.is_none() {
                        break;
                    }
                    silent = false;
                    if !said.is_empty() {
                        to.read_handshake(&said)
                            .map_err(|error| (who, refused(&error.code, error.reason)))?;
                    }
                }
            }
            if silent {
                return Ok(());
            }
        }
    }
}

fn refused(code: &TransportErrorCode, reason: String) -> Refused {
    let code = u64::from(*code);
    assert_eq!(code >> 8, 1, "not a TLS alert: {code:#x} {reason}");
    (code.to_le_bytes()[0], reason)
}

fn dial(client: &TlsConfigs, server: &TlsConfigs) -> Result<Pair, (&'static str, Refused)> {
    let mut pair = Pair::new(&client.client, &server.server, &client.server_name);
    pair.run()?;
    assert!(!pair.client.is_handshaking() && !pair.server.is_handshaking());
    Ok(pair)
}

fn refusal_of(client: &TlsConfigs, server: &TlsConfigs) -> (&'static str, Refused) {
    dial(client, server).err().expect("the handshake fails")
}

fn chain(session: &dyn Session) -> Vec<CertificateDer<'static>> {
    let identity = session.peer_identity().expect("a certificate was shown");
    *identity.downcast::<Vec<CertificateDer<'static>>>().expect("a chain")
}

#[test]
fn nodes_of_one_ca_link_and_each_learns_the_others_name() {
    let ca = ClusterCa::generate().expect("a CA");
    let (london, tokyo) = (ca.issue("london").expect("issued"), ca.issue("tokyo").expect("issued"));
    let pair = dial(&configs(&london), &configs(&tokyo)).expect("they link");
    let at_tokyo = tokyo.peer(&chain(&*pair.server)).expect("a node");
    assert_eq!(at_tokyo.name.as_ref().map(NodeName::as_str), Some("london"));
    let at_london = london.peer(&chain(&*pair.client)).expect("a node");
    assert_eq!(at_london.name.as_ref().map(NodeName::as_str), Some("tokyo"));
}

#[test]
fn a_known_node_answers_to_its_own_name_and_to_no_other() {
    let ca = ClusterCa::generate().expect("a CA");
    let (london, tokyo) = (ca.issue("london").expect("issued"), ca.issue("tokyo").expect("issued"));
    let (client, server) = (configs(&london).client, configs(&tokyo).server);
    Pair::new(&client, &server, "tokyo.main.internal").run().expect("it is tokyo");
    Pair::new(&client, &server, "paris.main.internal").run().expect_err("it is not paris");
}

#[test]
fn a_foreign_ca_is_unknown_on_either_side() {
    let (ours, theirs) = (ClusterCa::generate().expect("a CA"), ClusterCa::generate().expect("a CA"));
    let our = configs(&ours.issue("london").expect("issued"));
    let their = configs(&theirs.issue("tokyo").expect("issued"));
    // The dialling side sees the other's certificate first. A dialler that accepts anything shows the server's side.
    assert_eq!(refusal_of(&our, &their).1.0, UNKNOWN_CA);
    assert_eq!(refusal_of(&their, &our).1.0, UNKNOWN_CA);
    let careless = careless(&theirs.issue("tokyo").expect("issued"), true);
    let (who, (alert, _)) = Pair::new(&careless, &our.server, &our.server_name).run().expect_err("refused");
    assert_eq!((who, alert), ("server", UNKNOWN_CA));
}

#[test]
fn a_dialler_without_a_certificate_is_told_that_one_is_required() {
    let london = ClusterCa::generate().expect("a CA").issue("london").expect("issued");
    let server = configs(&london);
    let careless = careless(&london, false);
    let (who, (alert, _)) =
        Pair::new(&careless, &server.server, &server.server_name).run().expect_err("refused");
    assert_eq!((who, alert), ("server", CERTIFICATE_REQUIRED));
}

#[test]
fn another_protocol_is_refused() {
    let london = ClusterCa::generate().expect("a CA").issue("london").expect("issued");
    let server = configs(&london);
    let mut client = plain_client(&london);
    client.alpn_protocols = vec![b"h3".to_vec()];
    let client = Arc::new(client.try_into().expect("a QUIC configuration"));
    let (who, (alert, _)) =
        Pair::new(&client, &server.server, &server.server_name).run().expect_err("refused");
    assert_eq!((who, alert), ("server", NO_APPLICATION_PROTOCOL));
}

#[test]
fn a_shared_identity_accepts_itself_and_no_other() {
    let (ours, theirs) = (Identity::generate().expect("made"), Identity::generate().expect("made"));
    let pair = dial(&configs(&ours), &configs(&ours.clone())).expect("it is the same");
    assert_eq!(ours.peer(&chain(&*pair.client)).expect("itself").name, None);
    assert_eq!(refusal_of(&configs(&ours), &configs(&theirs)), unknown("client"));
    let (who, (alert, _)) =
        Pair::new(&careless(&theirs, true), &configs(&ours).server, "member.main.internal")
            .run()
            .expect_err("refused");
    assert_eq!((who, alert), ("server", UNKNOWN_CA));
    let issued = ClusterCa::generate().expect("a CA").issue("london").expect("issued");
    assert_eq!(refusal_of(&configs(&ours), &configs(&issued)).1.0, UNKNOWN_CA);
    assert_eq!(refusal_of(&configs(&issued), &configs(&ours)).1.0, UNKNOWN_CA);
}

fn unknown(who: &'static str) -> (&'static str, Refused) {
    (who, (UNKNOWN_CA, "invalid peer certificate: UnknownIssuer".to_owned()))
}

#[test]
fn before_and_after_its_period_no_certificate_is_good() {
    let day = 86_400;
    let issued = ClusterCa::generate().expect("a CA").issue("london").expect("issued");
    let shared = Identity::generate().expect("made");
    for (identity, days) in [(&issued, 1), (&shared, 365)] {
        for (unix, good) in [
            (now() - 3600, false),
            (now() - 240, true),
            (now() + days * day - 60, true),
            (now() + days * day + 60, false),
        ] {
            let there = configs_at(identity, unix);
            let as_client = dial(&there, &configs(identity)).err();
            let careless = careless(identity, true);
            let as_server = Pair::new(&careless, &there.server, &there.server_name).run().err();
            for (who, end) in [("client", as_client), ("server", as_server)] {
                let end = end.map(|(by, (alert, _))| (by, alert));
                let expected = if good { None } else { Some((who, CERTIFICATE_EXPIRED)) };
                assert_eq!(end, expected, "at {unix}, shared: {}", identity.is_shared());
            }
        }
    }
}

#[test]
fn a_certificate_outside_the_profile_fails_in_the_handshake_with_its_reason() {
    let uri = |text: &'static str| {
        move |params: &mut CertificateParams| {
            params.subject_alt_names.retain(|name| !matches!(name, SanType::URI(_)));
            params.subject_alt_names.push(SanType::URI(text.try_into().expect("ASCII")));
        }
    };
    type Change = Box<dyn Fn(&mut CertificateParams)>;
    let cases: Vec<(&str, Change)> = vec![
        ("trust domain \"evil.example\"", Box::new(uri("spiffe://evil.example/main/node/tokyo"))),
        (
            "has 2 URI names",
            Box::new(|params| {
                let second = "spiffe://regatta.internal/main/node/paris".try_into().expect("ASCII");
                params.subject_alt_names.push(SanType::URI(second));
            }),
        ),
        ("must have cA=false", Box::new(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)))),
        (
            "both clientAuth and serverAuth",
            Box::new(|params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
        ),
        (
            "both clientAuth and serverAuth",
            Box::new(|params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
        ),
        ("is not the id of a node", Box::new(uri("spiffe://regatta.internal/main/operator/tokyo"))),
    ];
    let ca = ClusterCa::generate().expect("a CA");
    let london = configs(&ca.issue("london").expect("issued"));
    for (reason, change) in cases {
        let mut params = ordinary("main");
        change(&mut params);
        refuses_on_both_sides(&london, &ca, &params, reason);
    }
    refuses_on_both_sides(
        &london,
        &ca,
        &ordinary("blue"),
        "is for cluster \"blue\"; this is cluster \"main\"",
    );
}

fn ordinary(cluster: &str) -> CertificateParams {
    let moment = |seconds| OffsetDateTime::from_unix_timestamp(seconds).expect("in the calendar");
    let from = i64::try_from(now()).expect("in the calendar");
    let stamp = certificate::Stamp {
        not_before: moment(from - 60),
        not_after: moment(from + 3600),
        serial: [0x42; 16],
    };
    let cluster = ClusterName::new(cluster).expect("a label");
    certificate::node_params(&cluster, &NodeName::new("tokyo").expect("a label"), &stamp).expect("parameters")
}

fn refuses_on_both_sides(london: &TlsConfigs, ca: &ClusterCa, params: &CertificateParams, reason: &str) {
    let tokyo = ca.sign(params, NodeName::new("tokyo").expect("a label")).expect("signed");
    let as_client = Pair::new(&london.client, &configs(&tokyo).server, &london.server_name).run();
    let as_server = Pair::new(&careless(&tokyo, true), &london.server, &london.server_name).run();
    for (side, end) in [("client", as_client), ("server", as_server)] {
        let (who, (alert, why)) = end.expect_err("refused");
        assert_eq!((who, alert), (side, CERTIFICATE_UNKNOWN), "{reason}: {why}");
        assert!(why.contains(reason), "{side}: {why:?} does not say {reason:?}");
    }
}

#[test]
fn a_dialler_that_would_resume_is_given_nothing_to_resume_with() {
    let london = ClusterCa::generate().expect("a CA").issue("london").expect("issued");
    let server = configs(&london);
    let store = Arc::new(Tickets::default());
    let mut client = plain_client(&london);
    client.resumption = Resumption::store(store.clone());
    client.enable_early_data = true;
    let client: Arc<QuicClientConfig> = Arc::new(client.try_into().expect("a QUIC configuration"));
    for _ in 0..2 {
        let mut pair = Pair::new(&client, &server.server, &server.server_name);
        assert!(pair.client.early_crypto().is_none());
        pair.run().expect("it links");
        // A resumed handshake would show no certificate anew.
        assert_eq!(chain(&*pair.server).len(), 1);
    }
    assert_eq!(*store.0.lock().expect("not poisoned"), 0);
}

#[test]
fn a_short_lived_certificate_ends_when_its_issuer_said() {
    let ca = ClusterCa::generate().expect("a CA");
    let options = IssueOptions { valid_for: Duration::from_secs(60), ..IssueOptions::default() };
    let tokyo = ca.issue_with("tokyo", &options).expect("issued");
    let london = ca.issue("london").expect("issued");
    dial(&configs(&london), &configs(&tokyo)).expect("it is young");
    let (_, (alert, _)) = refusal_of(&configs_at(&london, now() + 120), &configs(&tokyo));
    assert_eq!(alert, CERTIFICATE_EXPIRED);
}

/// A dialler as ours, except that it takes any server. It lets the server's own check be seen.
fn careless(identity: &Identity, with_certificate: bool) -> Arc<QuicClientConfig> {
    let client = if with_certificate {
        plain_client(identity)
    } else {
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer))
            .with_no_client_auth();
        client.alpn_protocols = vec![ALPN.to_vec()];
        client
    };
    Arc::new(client.try_into().expect("a QUIC configuration"))
}

fn plain_client(identity: &Identity) -> ClientConfig {
    let mut client = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_client_auth_cert(identity.chain(), identity.key())
        .expect("a certificate");
    client.alpn_protocols = vec![ALPN.to_vec()];
    client
}

#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Counts the tickets that a server gives out.
#[derive(Debug, Default)]
struct Tickets(Mutex<usize>);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        *self.0.lock().expect("not poisoned") += 1;
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}
