//! A tiny world for tests of the protocol: engines, a network and a clock, all virtual and repeatable from a seed.
//!
//! Time jumps from one event to the next, so an hour of silence takes milliseconds. Nothing is awaited: a test acts,
//! lets the world run until a condition holds or time is up, and looks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::engine::{Engine, EngineConfig};
use crate::host::{ConnectError, Delivery, Event, Host, LinkId, NodeChange};
use crate::id::{NodeId, Pid};
use crate::link::outgoing::Outgoing;
use crate::signal::{Signal, Target};
use crate::wire::frame::To;

/// A host that writes everything down.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Every signal that was delivered.
    pub delivered: Vec<(Pid, Target, Signal)>,
    /// Processes that do not exist here, by their serials: what is delivered to them is recorded all the same.
    pub missing: BTreeSet<u64>,
    /// Every event, in order.
    pub events: Vec<Event>,
    /// What other nodes did, as this one sees it, in order, with the world's time.
    pub node_changes: Vec<(Duration, NodeId, NodeChange)>,
    elapsed: Duration,
}

impl Host for Recorder {
    fn deliver(&mut self, from: Pid, to: To<'_>, signal: Signal) -> Delivery {
        let to = match to {
            To::Serial(serial) => Target::Serial(serial),
            To::Name(name) => Target::Name(name.parse().expect("tests use names")),
            To::Group(name) => Target::Group(name.parse().expect("tests use names")),
        };
        let missing = matches!(to, Target::Serial(serial) if self.missing.contains(&serial));
        self.delivered.push((from, to, signal));
        if missing { Delivery::NoProc } else { Delivery::Delivered }
    }

    fn event(&mut self, event: Event) {
        if let Event::Node { node, change } = &event {
            self.node_changes.push((self.elapsed, node.clone(), change.clone()));
        }
        self.events.push(event);
    }

    fn wall_ms(&self) -> u64 {
        u64::try_from(self.elapsed.as_millis()).expect("a test does not take that long")
    }
}

/// One node of the world.
#[derive(Debug)]
pub struct Node {
    /// Its engine.
    pub engine: Engine,
    /// What its engine reported.
    pub host: Recorder,
    /// Its address.
    pub addr: SocketAddr,
    state: State,
    /// When its engine wants to be called.
    due: Option<Instant>,
    /// What arrived while it stood still.
    backlog: VecDeque<Packet>,
}

/// Whether a node does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// It stands still, and its socket's buffer fills.
    Paused,
    Crashed,
}

/// Datagrams that the socket's buffer of a paused node holds.
const BACKLOG_MAX: usize = 2_048;

impl Node {
    /// The links that are live now, by the peer's name.
    #[must_use]
    pub fn links(&self) -> Vec<(String, LinkId)> {
        self.engine.links().map(|link| (link.peer.name.to_string(), link.link)).collect()
    }

    /// The link to a peer.
    #[must_use]
    pub fn link(&self, peer: &str) -> Option<LinkId> {
        self.links().into_iter().find(|(name, _)| name == peer).map(|(_, link)| link)
    }

    /// What became of the dial with this token, if it is over.
    #[must_use]
    pub fn dialed(&self, token: u64) -> Option<&Result<NodeId, ConnectError>> {
        self.host.events.iter().find_map(|event| match event {
            Event::Dialed { token: of, result } if *of == token => Some(result),
            _ => None,
        })
    }

    /// How many links ended.
    #[must_use]
    pub fn downs(&self) -> usize {
        self.host.events.iter().filter(|event| matches!(event, Event::Down { .. })).count()
    }

    /// What other nodes did, as this one sees it, in order: name, incarnation, and what happened.
    #[must_use]
    pub fn node_changes(&self) -> Vec<(String, u64, NodeChange)> {
        let changes = self.host.node_changes.iter();
        changes
            .map(|(_, node, change)| (node.name.to_string(), node.incarnation.raw(), change.clone()))
            .collect()
    }

    /// The bodies of all messages that were delivered.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.host.delivered.iter().filter_map(|(_, _, signal)| match signal {
            Signal::Message(body) => Some(&body[..]),
            _ => None,
        })
    }
}

/// How datagrams travel.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// Time under way.
    pub latency: Duration,
    /// At most so much more, by chance.
    pub jitter: Duration,
    /// Share of datagrams that are lost, in thousandths.
    pub loss_permille: u32,
}

impl Default for Path {
    fn default() -> Self {
        Self { latency: Duration::from_micros(100), jitter: Duration::ZERO, loss_permille: 0 }
    }
}

#[derive(Debug)]
struct Packet {
    from: SocketAddr,
    to: usize,
    data: BytesMut,
}

/// The world.
#[derive(Debug)]
pub struct Mesh {
    now: Instant,
    start: Instant,
    /// The nodes, by the number that [`add`](Self::add) gave.
    pub nodes: Vec<Node>,
    /// How datagrams travel from now on.
    pub path: Path,
    /// How they travel between two nodes, in one direction, where that is different.
    paths: BTreeMap<(usize, usize), Path>,
    flying: BTreeMap<(Instant, u64), Packet>,
    timers: BTreeSet<(Instant, usize)>,
    by_addr: BTreeMap<SocketAddr, usize>,
    outgoing: BTreeMap<(usize, LinkId), Outgoing>,
    cut: BTreeSet<(usize, usize)>,
    sent: u64,
    /// Bytes of all datagrams that nodes have sent, those that were lost among them; without the headers of UDP and IP.
    pub bytes_sent: u64,
    random: u64,
    next_token: u64,
}

impl Mesh {
    /// An empty world whose clock stands at `start`.
    #[must_use]
    pub fn new(start: Instant, seed: u64) -> Self {
        Self {
            now: start,
            start,
            nodes: Vec::new(),
            path: Path::default(),
            paths: BTreeMap::new(),
            flying: BTreeMap::new(),
            timers: BTreeSet::new(),
            by_addr: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            cut: BTreeSet::new(),
            sent: 0,
            bytes_sent: 0,
            random: seed.wrapping_mul(2).wrapping_add(1),
            next_token: 1,
        }
    }

    /// How long the world has run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Adds a node and gives its number. It advertises its address unless it says something else.
    pub fn add(&mut self, mut config: EngineConfig) -> usize {
        let index = self.nodes.len();
        let [high, low] = u16::try_from(index + 1).expect("a tiny world").to_be_bytes();
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, high, low)), 4_000);
        if config.membership.addrs.is_empty() {
            config.membership.addrs.push(addr);
        }
        self.nodes.push(Node {
            engine: Engine::new(config),
            host: Recorder { elapsed: self.elapsed(), ..Recorder::default() },
            addr,
            state: State::Running,
            due: None,
            backlog: VecDeque::new(),
        });
        self.by_addr.insert(addr, index);
        index
    }

    /// The node starts again at its address, crashed before or not: it has lost all it knew, and says nothing of that to
    /// anybody.
    pub fn restart(&mut self, node: usize, mut config: EngineConfig) {
        let elapsed = self.elapsed();
        let entry = &mut self.nodes[node];
        config.membership.addrs = vec![entry.addr];
        entry.engine = Engine::new(config);
        entry.host = Recorder { elapsed, ..Recorder::default() };
        entry.state = State::Running;
        entry.backlog.clear();
        self.drive(node);
    }

    /// Starts a dial; [`Node::dialed`] has its outcome.
    pub fn connect(&mut self, from: usize, to: usize) -> u64 {
        let (token, addr) = (self.next_token, self.nodes[to].addr);
        self.next_token += 1;
        let Node { engine, host, .. } = &mut self.nodes[from];
        host.elapsed = self.now - self.start;
        engine.connect(self.now, addr, token, host);
        self.drive(from);
        token
    }

    /// Sends whatever `put` queues, from node `from` to its peer `to`.
    pub fn send(&mut self, from: usize, to: &str, put: impl FnOnce(&mut Outgoing)) {
        let link = self.nodes[from].link(to).expect("the nodes are linked");
        // One for each link, as in a node: it numbers the large bodies.
        let outgoing = self.outgoing.entry((from, link)).or_insert_with(|| Outgoing::new(16 << 20));
        put(outgoing);
        let Node { engine, host, .. } = &mut self.nodes[from];
        // A node's senders count what they queue; the engine subtracts it when it is written.
        let lanes: usize = outgoing.lanes.iter().map(BytesMut::len).sum();
        let bulk: usize = outgoing.bulk.iter().map(|bulk| bulk.body.len()).sum();
        let budget = host.events.iter().find_map(|event| match event {
            Event::Up { link: of, budget, .. } if *of == link => Some(budget),
            _ => None,
        });
        let datagrams: usize = outgoing.datagrams.iter().map(Bytes::len).sum();
        let queued = lanes + bulk + outgoing.unordered.bytes() + datagrams;
        budget.expect("a live link was reported").add(queued);
        engine.take(self.now, link, outgoing, host);
        self.drive(from);
    }

    /// Lets a node do something else with its engine.
    pub fn act<T>(&mut self, node: usize, act: impl FnOnce(Instant, &mut Engine, &mut Recorder) -> T) -> T {
        let Node { engine, host, .. } = &mut self.nodes[node];
        host.elapsed = self.now - self.start;
        let result = act(self.now, engine, host);
        self.drive(node);
        result
    }

    /// Datagrams from `from` to `to` are lost from now on, in this direction only.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// Datagrams between nodes of different groups are lost from now on; nodes of no group are a group of their own.
    pub fn partition(&mut self, groups: &[&[usize]]) {
        let group = |node: usize| groups.iter().position(|group| group.contains(&node));
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                if group(from) != group(to) {
                    self.cut.insert((from, to));
                }
            }
        }
    }

    /// All datagrams get through again.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Datagrams from `from` to `to` travel by a path of their own from now on.
    pub fn set_path(&mut self, from: usize, to: usize, path: Path) {
        self.paths.insert((from, to), path);
    }

    /// A node is gone without a word.
    pub fn crash(&mut self, node: usize) {
        self.nodes[node].state = State::Crashed;
        self.nodes[node].backlog.clear();
        self.schedule(node);
    }

    /// A node stands still: what arrives for it waits, and it does nothing.
    pub fn pause(&mut self, node: usize) {
        self.nodes[node].state = State::Paused;
        self.schedule(node);
    }

    /// A node goes on, first with what has arrived meanwhile.
    pub fn resume(&mut self, node: usize) {
        self.nodes[node].state = State::Running;
        while let Some(Packet { from, data, .. }) = self.nodes[node].backlog.pop_front() {
            let Node { engine, host, .. } = &mut self.nodes[node];
            host.elapsed = self.now - self.start;
            engine.handle_datagram(self.now, from, None, None, data, host);
        }
        self.tick(node);
    }

    /// Runs until `done` holds, for at most `max` of the world's time; whether it holds.
    pub fn run_until(&mut self, max: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + max;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(end) {
                return done(self);
            }
        }
    }

    /// Runs for `time`.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Goes to the next event and handles it; false if there is none by `end`, where the clock stands then.
    fn step(&mut self, end: Instant) -> bool {
        let packet = self.flying.keys().next().map(|(at, _)| *at);
        let timer = self.timers.first().map(|(at, _)| *at);
        let Some(next) = packet.into_iter().chain(timer).min().filter(|next| *next <= end) else {
            self.set_now(end);
            return false;
        };
        self.set_now(next);
        while let Some(entry) = self.flying.first_entry()
            && entry.key().0 <= self.now
        {
            let packet = entry.remove();
            let (to, node) = (packet.to, &mut self.nodes[packet.to]);
            match node.state {
                State::Running => {
                    let Node { engine, host, .. } = node;
                    host.elapsed = self.now - self.start;
                    engine.handle_datagram(self.now, packet.from, None, None, packet.data, host);
                    self.drive(to);
                }
                State::Paused if node.backlog.len() < BACKLOG_MAX => node.backlog.push_back(packet),
                State::Paused | State::Crashed => {}
            }
        }
        while let Some((at, index)) = self.timers.first().copied()
            && at <= self.now
        {
            self.tick(index);
        }
        true
    }

    /// A node's timer is due.
    fn tick(&mut self, index: usize) {
        let Node { engine, host, .. } = &mut self.nodes[index];
        host.elapsed = self.now - self.start;
        engine.handle_timeout(self.now, host);
        self.drive(index);
    }

    /// Notes when a node's engine wants to be called.
    fn schedule(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let due = node.engine.poll_timeout().filter(|_| node.state == State::Running);
        if let Some(before) = std::mem::replace(&mut node.due, due) {
            self.timers.remove(&(before, index));
        }
        self.timers.extend(due.map(|due| (due, index)));
    }

    /// Moves the clock; never back.
    fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Lets an engine work and puts what it sends on its way.
    fn drive(&mut self, index: usize) {
        let Node { engine, host, addr, .. } = &mut self.nodes[index];
        let from = *addr;
        host.elapsed = self.now - self.start;
        engine.process(self.now, host);
        let mut buffer = Vec::new();
        let mut sent = Vec::new();
        while let Some(transmit) = engine.poll_transmit(self.now, 8, &mut buffer) {
            let size = transmit.segment_size.unwrap_or(transmit.size);
            sent.extend(
                buffer[..transmit.size].chunks(size).map(|data| (transmit.destination, BytesMut::from(data))),
            );
            buffer.clear();
        }
        for (to, data) in sent {
            self.bytes_sent += data.len() as u64;
            let Some(to) = self.by_addr.get(&to).copied() else { continue };
            let path = self.paths.get(&(index, to)).copied().unwrap_or(self.path);
            let lost = self.chance(1_000) < u64::from(path.loss_permille);
            if lost || self.cut.contains(&(index, to)) {
                continue;
            }
            let jitter_us = path.jitter.as_micros() as u64;
            let jitter = Duration::from_micros(if jitter_us == 0 { 0 } else { self.chance(jitter_us) });
            self.sent += 1;
            self.flying.insert((self.now + path.latency + jitter, self.sent), Packet { from, to, data });
        }
        self.schedule(index);
    }

    /// A number below `below`, by xorshift.
    fn chance(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }
}
