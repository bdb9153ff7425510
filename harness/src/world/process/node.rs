//! The other end: this program as one node, until its stdin ends.

use std::io::{BufRead, BufReader, Write};
use std::process::ExitCode;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regatta::{Identity, SystemClock};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

use super::ASKED;
use super::speech::{Birth, Datagram, FromNode, ToNode};
use crate::behaviour::exchange::Shared;
use crate::behaviour::{Behaviours, Scene};
use crate::fault::network::{Key, Network};
use crate::fault::socket::Tap;
use crate::fault::wire::Counts;
use crate::record::Recorder;
use crate::scenario;
use crate::world::agent::Agent;
use crate::world::clock::NodeClock;
use crate::world::cluster::Launch;
use crate::world::inproc::{RealUnderlay, bind};
use crate::world::order::{Answer, Order, PidText};
use crate::world::pin;
use crate::world::view::NodeView;
use crate::world::{KeyLines, Means};

/// How often a node looks at itself when nothing says that it changed.
const LOOK: Duration = Duration::from_millis(5);
/// How long a look waits for more changes.
const SWARM: Duration = Duration::from_millis(1);
/// How often, and with which pause, tasks are counted before what is left counts as left.
const LEFT_TURNS: u32 = 400;

/// Becomes a node if the environment asks for it, and does not return before it has ended. Call it first thing in `main`.
pub(crate) fn be_a_node_if_asked(behaviours: &Behaviours) -> Option<ExitCode> {
    let parent = std::env::var(ASKED).ok()?;
    // Dies with the thread that started it, also while it is stopped. Other systems have only the end of stdin.
    let bound = set_parent_process_death_signal(Some(Signal::KILL));
    let orphan = getppid().map(|pid| pid.as_raw_nonzero().get().to_string()) != Some(parent);
    if bound.is_ok() && orphan {
        return Some(ExitCode::FAILURE);
    }
    let Some(out) = own_stdout() else { return Some(ExitCode::FAILURE) };
    let mut stdin = BufReader::new(std::io::stdin());
    let mut first = String::new();
    if stdin.read_line(&mut first).is_err() {
        return Some(ExitCode::FAILURE);
    }
    let say = speaker(out);
    let Ok(birth) = serde_json::from_str::<Birth>(&first) else {
        return Some(ExitCode::FAILURE);
    };
    log_to_stderr();
    let (orders, ordered) = mpsc::unbounded_channel();
    let gate = Arc::new(Gate::default());
    let opens = gate.clone();
    let listen = move || {
        for line in stdin.lines() {
            let Ok(line) = line else { break };
            let Ok(order) = serde_json::from_str::<ToNode>(&line) else { continue };
            // A node that stands still takes no orders: this one is not for its loop.
            if let ToNode::Go = order {
                opens.open();
            } else if orders.send(order).is_err() {
                break;
            }
        }
        // The harness is gone, or has nothing more to say: either way it is over.
        std::process::exit(0);
    };
    if std::thread::Builder::new().name("orders".to_owned()).spawn(listen).is_err() {
        return Some(ExitCode::FAILURE);
    }
    if let Err(detail) = live(behaviours, birth, ordered, &gate, &say) {
        say.say(&FromNode::Failed(detail));
        say.flush();
    }
    Some(ExitCode::SUCCESS)
}

/// A stdout for the harness alone: what others print goes to the log.
fn own_stdout() -> Option<std::fs::File> {
    let own = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3).ok()?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr()).ok()?;
    Some(own.into())
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A program that has a subscriber of its own keeps it.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .try_init();
}

/// What a moment is on the monotonic clock that all processes of the machine share, in nanoseconds.
pub(super) fn monotonic_ns(at: Instant) -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let now_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
    now_ns.saturating_sub(u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// The moment that the shared clock calls so.
fn instant_at(monotonic_ns_then: u64) -> Instant {
    let now = Instant::now();
    let ago = monotonic_ns(now).saturating_sub(monotonic_ns_then);
    now.checked_sub(Duration::from_nanos(ago)).unwrap_or(now)
}

/// Says lines to the harness, from a thread of its own: a node must not wait for a reader.
struct Speaker {
    lines: Mutex<Sender<Option<String>>>,
    flushed: Mutex<std::sync::mpsc::Receiver<()>>,
}

fn speaker(mut out: std::fs::File) -> Arc<Speaker> {
    let (lines, said) = std::sync::mpsc::channel::<Option<String>>();
    let (tell, flushed) = std::sync::mpsc::channel();
    let speak = move || {
        for line in said {
            match line {
                Some(line) => {
                    if out.write_all(line.as_bytes()).is_err() {
                        // Nobody listens any more.
                        std::process::exit(0);
                    }
                }
                None => drop(tell.send(())),
            }
        }
    };
    // Without the thread nothing is said, and the harness gives the node up.
    let _ = std::thread::Builder::new().name("speaker".to_owned()).spawn(speak);
    Arc::new(Speaker { lines: Mutex::new(lines), flushed: Mutex::new(flushed) })
}

impl Speaker {
    fn say(&self, line: &FromNode) {
        if let Ok(mut line) = serde_json::to_string(line) {
            line.push('\n');
            let _ = self.lines.lock().unwrap_or_else(PoisonError::into_inner).send(Some(line));
        }
    }

    /// Waits until everything has been said.
    fn flush(&self) {
        let _ = self.lines.lock().unwrap_or_else(PoisonError::into_inner).send(None);
        let _ = self.flushed.lock().unwrap_or_else(PoisonError::into_inner).recv();
    }
}

/// Where a node stands still until the harness lets it go on.
#[derive(Default)]
struct Gate {
    /// Passages that have been granted and not been used.
    granted: Mutex<u64>,
    opened: Condvar,
}

impl Gate {
    /// Grants one passage.
    fn open(&self) {
        *self.granted.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.opened.notify_one();
    }

    /// Blocks the thread until a passage is granted.
    fn pass(&self) {
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut granted =
            self.opened.wait_while(granted, |granted| *granted == 0).unwrap_or_else(PoisonError::into_inner);
        *granted -= 1;
    }
}

/// Starts the node and serves it until it is told to end. It then waits for the end of its stdin.
fn live(
    behaviours: &Behaviours,
    birth: Birth,
    orders: mpsc::UnboundedReceiver<ToNode>,
    gate: &Gate,
    say: &Arc<Speaker>,
) -> Result<(), String> {
    let vocabulary = behaviours.vocabulary();
    let mut cells = scenario::load_str(&birth.file, &birth.source, &vocabulary)
        .map_err(|problems| format!("the scenario cannot be read again: {problems}"))?;
    if birth.cell >= cells.len() {
        return Err("the scenario has fewer cells than it had".to_owned());
    }
    let scenario = Arc::new(cells.swap_remove(birth.cell));
    let started = instant_at(birth.started_ns);
    let recorder = Arc::new(Recorder::since(Arc::new(SystemClock), started));
    if !birth.notes_messages {
        recorder.skip_messages();
    }
    let scene = Arc::new(Scene::new(recorder));
    let keys = birth.captures.then(|| Arc::new(KeyLines::default()));
    let means = Means {
        scenario,
        behaviours: behaviours.clone(),
        scene,
        seed: birth.seed,
        started,
        taps: birth.taps,
        captures: birth.captures,
        wanted: birth.wanted,
        keys,
        // Its stderr is its log.
        logs: None,
    };
    let identity = Identity::load(&birth.identity).map_err(|error| error.to_string())?;
    let launch = Launch {
        name: birth.name,
        index: birth.index,
        identity,
        announce: birth.announce,
        before: birth.before,
        addr: None,
    };
    if let Some(place) = means.scenario.pinned(&launch.name) {
        pin::to_core_of(place).map_err(|error| format!("its thread cannot be kept on one core: {error}"))?;
    }
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    tokio.block_on(serve(&means, &launch, birth.addr, birth.network, orders, gate, say))
}

async fn serve(
    means: &Means,
    launch: &Launch,
    addr: std::net::SocketAddr,
    network: Network,
    mut orders: mpsc::UnboundedReceiver<ToNode>,
    gate: &Gate,
    say: &Arc<Speaker>,
) -> Result<(), String> {
    let clock = NodeClock::new(Arc::new(SystemClock));
    // A node that starts again is where it was, unless somebody else has the port by now.
    let elsewhere = std::net::SocketAddr::new(addr.ip(), 0);
    let bound = bind(means, launch, addr, clock.clone());
    let (node, tap) = bound.or_else(|_| bind(means, launch, elsewhere, clock.clone()))?;
    if let Some(tap) = &tap {
        tap.network(network);
    }
    let addr = node.local_addr().map_err(|error| error.to_string())?;
    let tokio = tokio::runtime::Handle::current();
    let underlay = Arc::new(RealUnderlay { tap: tap.clone(), tokio: tokio.clone() });
    let agent = Agent::new(&launch.name, node, means, clock, underlay);
    let mut seen = Seen::default();
    seen.tell(&agent, tap.as_ref(), means, say);
    say.say(&FromNode::Up { control: PidText(agent.control), addr });
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| error.to_string())?;
    let (answered, mut answers) = mpsc::unbounded_channel::<FromNode>();
    let mut changes = means.scene.changes();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            Some(order) = orders.recv() => match order {
                ToNode::Order { number, order } => {
                    let (agent, answered) = (agent.clone(), answered.clone());
                    tokio.spawn(async move {
                        let answer = agent.perform(order).await;
                        // The other end of it lives as long as the node.
                        let _ = answered.send(FromNode::Answer { number, answer });
                    });
                }
                ToNode::Others(shared) => means.scene.learn(&shared),
                ToNode::Counted { label, counted } => means.scene.mirror(&label, &counted),
                ToNode::Captured { number } => say.say(&captured(number, tap.as_ref())),
                ToNode::Hold { number } => {
                    seen.tell(&agent, tap.as_ref(), means, say);
                    say.say(&FromNode::Answer { number, answer: Ok(Answer::Yes(true)) });
                    // The node has this one thread: from here to the harness's word it does nothing at all.
                    gate.pass();
                }
                ToNode::Go => {}
            },
            Some(answer) = answers.recv() => {
                // What it did is seen before it is answered.
                seen.tell(&agent, tap.as_ref(), means, say);
                say.say(&answer);
            }
            changed = changes.changed() => {
                if changed.is_ok() {
                    tokio::time::sleep(SWARM).await;
                }
                seen.tell(&agent, tap.as_ref(), means, say);
            }
            _ = tick.tick() => seen.tell(&agent, tap.as_ref(), means, say),
        }
    }
    let stopped = agent.clone().perform(Order::Stop).await;
    let mut left = if let Ok(Answer::Left(left)) = stopped { left } else { Vec::new() };
    seen.tell(&agent, tap.as_ref(), means, say);
    drop(agent);
    let metrics = tokio.metrics();
    let mut turns = 0;
    while metrics.num_alive_tasks() > 0 && turns < LEFT_TURNS {
        // There is no event for the end of a task that nobody joins.
        tokio::time::sleep(LOOK).await;
        turns += 1;
    }
    if metrics.num_alive_tasks() > 0 {
        left.push(format!("{} tasks", metrics.num_alive_tasks()));
    }
    say.say(&FromNode::Left(left));
    // The end of stdin ends the process; until then the harness may ask for what was kept.
    while let Some(order) = orders.recv().await {
        if let ToNode::Captured { number } = order {
            say.say(&captured(number, tap.as_ref()));
        }
    }
    Ok(())
}

fn captured(number: u64, tap: Option<&Arc<Tap>>) -> FromNode {
    let (kept, forgotten) = tap.map(|tap| tap.captured()).unwrap_or_default();
    let datagrams = kept.into_iter().map(|datagram| Datagram {
        at_ns: datagram.at_ns,
        from: datagram.from,
        to: datagram.to,
        data: datagram.data.iter().map(|byte| format!("{byte:02x}")).collect(),
        dropped: datagram.dropped,
    });
    FromNode::Captured { number, datagrams: datagrams.collect(), forgotten }
}

/// What the harness has been told.
#[derive(Default)]
struct Seen {
    view: Option<Arc<NodeView>>,
    scene: Option<Shared>,
    counts: Vec<(Key, Counts)>,
}

impl Seen {
    /// Tells what has changed.
    fn tell(&mut self, agent: &Agent, tap: Option<&Arc<Tap>>, means: &Means, say: &Speaker) {
        let events = means.scene.recorder().drain();
        if !events.is_empty() {
            say.say(&FromNode::Events(events));
        }
        let keys = means.keys.as_ref().map(|keys| keys.take()).unwrap_or_default();
        if !keys.is_empty() {
            say.say(&FromNode::Keys(keys));
        }
        let scene = means.scene.export();
        if self.scene.as_ref() != Some(&scene) {
            say.say(&FromNode::Scene(scene.clone()));
            self.scene = Some(scene);
        }
        let counts: Vec<_> = tap.map(|tap| tap.counts().into_iter().collect()).unwrap_or_default();
        if self.counts != counts {
            say.say(&FromNode::Counts(counts.clone()));
            self.counts = counts;
        }
        let view = agent.view();
        if self.view.as_ref() != Some(&view) {
            say.say(&FromNode::View(NodeView::clone(&view)));
            self.view = Some(view);
        }
    }
}
