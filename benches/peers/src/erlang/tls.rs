//! Erlang's distribution over mutual TLS 1.3, with an authority of the trial.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ED25519};

use crate::workload::Failure;

/// The host in the nodes' names, which Erlang looks for in the certificates.
const HOST: &str = "localhost";

/// What makes `erl` speak TLS, both sides proving themselves. Writes what it names into `folder`.
pub(super) fn arguments(folder: &Path, node: &str) -> Result<[String; 4], Failure> {
    let options = folder.join("tls.conf");
    if !options.exists() {
        issue(folder)?;
        let both = "{certfile, \"node.pem\"}, {keyfile, \"node.key\"}, {cacertfile, \"ca.pem\"}, \
                    {verify, verify_peer}, {versions, ['tlsv1.3']}";
        fs::write(
            &options,
            format!("[{{server, [{both}, {{fail_if_no_peer_cert, true}}]}}, {{client, [{both}]}}].\n"),
        )?;
    }
    let path = options.to_str().ok_or_else(|| Failure::system("set up TLS of a node", node))?;
    Ok(["-proto_dist", "inet_tls", "-ssl_dist_optfile", path].map(str::to_owned))
}

fn issue(folder: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::system("issue a certificate", error);
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // With one name for both, Erlang takes the node's certificate for a self-signed one.
    params.distinguished_name.push(DnType::CommonName, "authority");
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?);
    let authority = authority.map_err(failed)?;
    let key = KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?;
    let mut params = CertificateParams::new(vec![HOST.into()]).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, "node");
    let leaf = params.signed_by(&key, &authority).map_err(failed)?;
    fs::write(folder.join("ca.pem"), authority.pem())?;
    fs::write(folder.join("node.pem"), leaf.pem())?;
    fs::write(folder.join("node.key"), key.serialize_pem())?;
    Ok(())
}
