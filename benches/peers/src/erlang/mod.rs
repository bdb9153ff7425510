//! Erlang/OTP: its own processes, names and distribution, over TCP as it comes and over mutual TLS 1.3 as Regatta's.
//!
//! The workload is `workload.erl`: the same process bodies once more, as nothing of `workload.rs` runs there. Each node is
//! an `erl` of its own with as many schedulers as the other systems have workers, so only the layouts of two processes
//! can be had, and one link. What must stay true: both nodes end with the trial, and no daemon (`epmd`) stays behind.

mod tls;

use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::child;
use crate::layout::Layout;
use crate::trial::{self, Outcome, Probe, Trial};
use crate::workload::{self, Failure, Offers};

/// What Erlang can do: a path that loses datagrams cannot be put below TCP, and its handshake has no figure here.
pub(crate) const OFFERS: Offers = Offers { spawn: true, handshake: false, bulk: true, reliable: false };
/// Where each node is a process of the operating system.
pub(crate) const LAYOUTS: &[Layout] = &[Layout::TwoProcesses, Layout::TwoProcesses1w];

const WORKLOAD: &str = include_str!("workload.erl");
const NEAR: &str = "near@localhost";
const FAR: &str = "far@localhost";

/// Of what a node says that fails.
const LINES_TOLD: usize = 3;

/// Whether this machine has `erl` and its compiler.
pub(crate) fn installed() -> bool {
    let found = |program: &str| {
        let version =
            Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok()
    };
    found("erlc") && found("erl")
}

/// What `erl` says it is, for the report; none without one.
pub(crate) fn version() -> Option<String> {
    let ask =
        "io:format(\"~s, erts ~s\", [erlang:system_info(otp_release), erlang:system_info(version)]), halt().";
    let output = Command::new("erl").args(["-noinput", "-eval", ask]).output().ok()?;
    output.status.success().then(|| format!("Erlang/OTP {}", String::from_utf8_lossy(&output.stdout)))
}

/// Runs the trial over TCP, or over TLS.
pub(crate) fn run<const TLS: bool>(trial: &Trial) -> Result<Outcome, Failure> {
    let folder = tempfile::tempdir()?;
    compile(folder.path())?;
    // The two need not agree on it by themselves, which would take a daemon; it is free again at the end of this line.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let node = |name: &str| -> Result<Command, Failure> {
        let mut erl = Command::new("erl");
        child::tie(&mut erl);
        erl.current_dir(folder.path()).env("PEERS_NEAR", NEAR).stdin(Stdio::null());
        erl.args(["-noinput", "-sname", name, "-setcookie", "peers", "-start_epmd", "false"]);
        erl.args(["-erl_epmd_port", &port.to_string(), "-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
        let schedulers = if trial.layout == Layout::TwoProcesses1w { "1:1" } else { "2:2" };
        erl.args(["+S", schedulers]);
        if TLS {
            erl.args(tls::arguments(folder.path(), name)?);
        }
        Ok(erl)
    };
    let far = node(FAR)?.args(["-s", "workload", "far"]).stdout(Stdio::null()).spawn()?;
    let _far = Ended(far);
    let act = format!(
        "workload:near(['{FAR}', {}, {}, {}, {}])",
        probe(trial.probe)?,
        if let Probe::Saturation(in_flight) = trial.probe { in_flight } else { 1 },
        trial.warm_up.as_millis(),
        trial.window.as_millis(),
    );
    let mut near = node(NEAR)?;
    let mut near = Ended(near.args(["-dist_listen", "false", "-eval", &act]).stdout(Stdio::piped()).spawn()?);
    child::end_with_stdin();
    let mut text = String::new();
    near.0.stdout.take().expect("stdout is piped").read_to_string(&mut text)?;
    let status = near.0.wait()?;
    if !status.success() {
        let first: Vec<&str> = text.lines().take(LINES_TOLD).collect();
        return Err(Failure::Process(format!("the near node ended with {status}: {}", first.join(" "))));
    }
    Figures::read(&text)?.outcome(trial.probe)
}

fn compile(folder: &Path) -> Result<(), Failure> {
    std::fs::write(folder.join("workload.erl"), WORKLOAD)?;
    let compiled = Command::new("erlc").current_dir(folder).arg("workload.erl").output();
    let compiled =
        compiled.map_err(|error| Failure::system("start erlc (is Erlang/OTP installed?)", error))?;
    match compiled.status.success() {
        true => Ok(()),
        false => Err(Failure::system("compile the workload", String::from_utf8_lossy(&compiled.stdout))),
    }
}

fn probe(probe: Probe) -> Result<&'static str, Failure> {
    match probe {
        Probe::RoundTrip => Ok("round_trip"),
        Probe::Saturation(_) => Ok("saturation"),
        Probe::Flood => Ok("flood"),
        Probe::Bulk => Ok("bulk"),
        Probe::Spawn => Ok("spawn"),
        Probe::Loss | Probe::Handshake => Err(Failure::system("choose a workload", "Erlang has none for it")),
    }
}

/// A node that ends when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // An error means that it has just ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the near node printed: `name value` on each line.
struct Figures<'a>(Vec<(&'a str, u64)>);

impl<'a> Figures<'a> {
    fn read(text: &'a str) -> Result<Self, Failure> {
        let line = |line: &'a str| {
            let (name, value) = line.split_once(' ')?;
            Some((name, value.parse().ok()?))
        };
        let all: Option<Vec<_>> = text.lines().map(line).collect();
        let unreadable = || io::Error::new(io::ErrorKind::InvalidData, format!("no figures: {text}"));
        Ok(Self(all.ok_or_else(unreadable)?))
    }

    fn get(&self, name: &'static str) -> Result<f64, Failure> {
        let found = self.0.iter().find(|(one, _)| *one == name);
        found.map(|(_, value)| *value as f64).ok_or_else(|| Failure::system("read a figure", name))
    }

    fn outcome(&self, probe: Probe) -> Result<Outcome, Failure> {
        let seconds = self.get("ns")? / Duration::from_secs(1).as_nanos() as f64;
        let each = |name| self.get(name).map(|count| count / seconds);
        Ok(match probe {
            Probe::RoundTrip | Probe::Spawn => {
                let mut times = workload::nanoseconds();
                for (_, ns) in self.0.iter().filter(|(name, _)| *name == "sample") {
                    times.saturating_record(*ns);
                }
                let name = if probe == Probe::Spawn { "spawn" } else { "rtt" };
                let mut outcome = trial::quantiles(name, &times)?;
                if probe == Probe::RoundTrip {
                    outcome.insert("rtt_near_cpu_cores".into(), self.get("cpu_ns")? / self.get("ns")?);
                }
                outcome
            }
            Probe::Bulk => [("bulk_mib_per_s".into(), each("received")?)].into(),
            Probe::Flood => {
                let lost = (self.get("sent")? - self.get("arrived")?).max(0.0) / self.get("sent")?;
                [
                    ("flood_msgs_per_s".into(), each("received")?),
                    ("out_of_order".into(), self.get("late")? / self.get("received")?),
                    ("flood_backlog_msgs".into(), self.get("backlog")?),
                    ("flood_lost".into(), lost),
                    ("flood_rss_peak_mib".into(), self.get("rss_peak_kib")? / 1024.0),
                ]
                .into()
            }
            _ => [("saturation_rt_per_s".into(), each("round_trips")?)].into(),
        })
    }
}
