//! Erlang/OTP: the workload of `erlang/peer.erl` in two virtual machines with two schedulers each, over Erlang distribution
//! by TCP, or by TLS with certificates on both sides.
//!
//! It has its own copy of the workload, since its processes cannot be written in Rust. No `epmd` is started: both nodes
//! listen on the same port, each on a loopback address of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::child::die_with;
use crate::layout::Layout;
use crate::trial::{FLOOD_SENDERS_MIN, Outcome, Probe, Trial};
use crate::workload::Failure;

const SOURCE: &str = include_str!("../erlang/peer.erl");
const NEAR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const FAR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Schedulers of each virtual machine, as many as the workers of the other systems.
const SCHEDULERS: &str = "2:2";

/// Why this machine cannot run it.
pub(crate) fn missing() -> Option<&'static str> {
    let found = |program| Command::new(program).arg("-noshell").arg("-version").output().is_ok();
    (!found("erl") || !found("erlc")).then_some("`erl` and `erlc` are not installed")
}

/// Whether it has an answer to this probe.
pub(crate) const fn can(probe: Probe, layout: Layout, links: u32) -> bool {
    let probe = matches!(probe, Probe::RoundTrip | Probe::Saturation(_) | Probe::Flood);
    probe && matches!(layout, Layout::TwoProcesses) && links == 1
}

/// Runs the trial, over TLS if so wanted.
pub(crate) fn run(trial: &Trial, tls: bool) -> Result<Outcome, Failure> {
    let folder = Folder::new()?;
    fs::write(folder.0.join("peer.erl"), SOURCE)?;
    let compiled = Command::new("erlc").arg("peer.erl").current_dir(&folder.0).output()?;
    if !compiled.status.success() {
        return Err(Failure::system("compile peer.erl", String::from_utf8_lossy(&compiled.stdout)));
    }
    if tls {
        certificates(&folder.0)?;
    }
    let port = free_port()?;
    let mut far = Node::start(&folder.0, "far", FAR, port, tls, &["far".into()])?;
    let mut line = String::new();
    far.out.read_line(&mut line)?;
    if line.trim() != "ready" {
        return Err(Failure::Far(format!("the far node said {line:?}")));
    }
    let (probe, count) = match trial.probe {
        Probe::Saturation(in_flight) => ("saturation", in_flight),
        Probe::Flood => ("flood", FLOOD_SENDERS_MIN),
        _ => ("round_trip", 1),
    };
    let numbers = [u128::from(count), trial.warm_up.as_millis(), trial.window.as_millis()];
    let mut arguments = vec!["near".to_owned(), format!("far@{FAR}"), probe.to_owned()];
    arguments.extend(numbers.map(|number| number.to_string()));
    let mut near = Node::start(&folder.0, "near", NEAR, port, tls, &arguments)?;
    let mut text = String::new();
    near.out.read_to_string(&mut text)?;
    let figures = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    let outcome: Outcome = figures.collect();
    if outcome.is_empty() {
        return Err(Failure::system("measure", text));
    }
    Ok(outcome)
}

/// A virtual machine. Dropping it ends it.
struct Node {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Node {
    fn start(
        folder: &Path,
        name: &str,
        address: Ipv4Addr,
        port: u16,
        tls: bool,
        arguments: &[String],
    ) -> Result<Self, Failure> {
        let interface = address.octets().map(|octet| octet.to_string()).join(",");
        let mut command = Command::new("erl");
        command
            .args(["-noinput", "-name", &format!("{name}@{address}"), "-setcookie", "regatta-peers"])
            .args(["-start_epmd", "false", "-erl_epmd_port", &port.to_string()])
            .args(["-kernel", "inet_dist_use_interface", &format!("{{{interface}}}")])
            .args(["+S", SCHEDULERS, "-pa"])
            .arg(folder);
        if tls {
            command.args(["-proto_dist", "inet_tls", "-ssl_dist_optfile"]).arg(folder.join("tls.conf"));
        }
        command.args(["-run", "peer"]).args(arguments);
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let parent = std::process::id();
        // SAFETY: the closure makes only system calls; it takes no lock and allocates nothing unless it fails.
        unsafe { command.pre_exec(move || die_with(parent)) };
        let mut child = command.spawn()?;
        let out = child.stdout.take().expect("stdout is piped");
        Ok(Self { child, out: BufReader::new(out) })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A fresh authority, a certificate that both nodes prove themselves with, and the settings that use them.
fn certificates(folder: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::system("issue a certificate", error);
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().map_err(failed)?).map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    let params = CertificateParams::new(vec![NEAR.to_string(), FAR.to_string()]).map_err(failed)?;
    let leaf = params.signed_by(&key, &authority).map_err(failed)?;
    fs::write(folder.join("ca.pem"), authority.pem())?;
    fs::write(folder.join("leaf.pem"), leaf.pem())?;
    fs::write(folder.join("key.pem"), key.serialize_pem())?;
    let common = "{certfile,\"leaf.pem\"},{keyfile,\"key.pem\"},{cacertfile,\"ca.pem\"},{verify,verify_peer},\
                  {versions,['tlsv1.3']}";
    let text = format!("[{{server,[{common},{{fail_if_no_peer_cert,true}}]}},{{client,[{common}]}}].\n");
    fs::write(folder.join("tls.conf"), text)?;
    Ok(())
}

/// A port that is free on both addresses. Somebody may take it until the nodes do: the trial then fails.
fn free_port() -> std::io::Result<u16> {
    loop {
        let near = TcpListener::bind((NEAR, 0))?;
        let port = near.local_addr()?.port();
        if TcpListener::bind((FAR, port)).is_ok() {
            return Ok(port);
        }
    }
}

/// A folder of the trial's own, gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("regatta-peers-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in a folder for temporary files harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
