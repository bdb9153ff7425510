//! One node's process as the harness holds it: its pipes, what it last said, and its end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child as OsChild, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::sync::{oneshot, watch};

use super::speech::{FromNode, ToNode};
use crate::fault::capture::Captured;
use crate::fault::network::Key;
use crate::fault::wire::Counts;
use crate::world::Means;
use crate::world::order::{Answered, Order, Refused};
use crate::world::view::NodeView;

/// How long a node may take to stand still before it is stopped or killed as it is. It does so within a turn of its loop,
/// unless a process holds its only thread.
const HELD_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a node's log that are kept.
const LOG_BYTES_MAX: usize = 4 << 20;

/// One node's process.
pub(super) struct Child {
    means: Arc<Means>,
    /// Counts starts of nodes; the scene keeps what each start knows apart.
    start: u64,
    group: Pid,
    stopped: AtomicBool,
    state: Mutex<State>,
    /// Lines to it; `None` once nothing more is to be said, which ends it.
    say: Mutex<Option<Sender<String>>>,
    /// How it ended.
    exit: watch::Sender<Option<ExitStatus>>,
    /// Called with what a line changes for others.
    told: Box<dyn Fn(&FromNode) + Send + Sync>,
}

#[derive(Default)]
struct State {
    view: Arc<NodeView>,
    counts: BTreeMap<Key, Counts>,
    answers: BTreeMap<u64, oneshot::Sender<Answered>>,
    captures: BTreeMap<u64, oneshot::Sender<(Vec<Captured>, u64)>>,
    up: Option<oneshot::Sender<FromNode>>,
    left: Option<oneshot::Sender<Vec<String>>>,
    next: u64,
    log: Vec<u8>,
    over: bool,
}

impl Child {
    /// Takes a process over whose pipes are all ours; also what will tell how its birth went.
    pub(super) fn hold(
        mut process: OsChild,
        means: Arc<Means>,
        start: u64,
        told: Box<dyn Fn(&FromNode) + Send + Sync>,
    ) -> std::io::Result<(Arc<Self>, oneshot::Receiver<FromNode>)> {
        let missing = || std::io::Error::other("a pipe is missing");
        let mut stdin = process.stdin.take().ok_or_else(missing)?;
        let stdout = process.stdout.take().ok_or_else(missing)?;
        let stderr = process.stderr.take().ok_or_else(missing)?;
        let group = i32::try_from(process.id()).ok().and_then(Pid::from_raw).ok_or_else(missing)?;
        let (tell, up) = oneshot::channel();
        let (say, said) = std::sync::mpsc::channel::<String>();
        let child = Arc::new(Self {
            means,
            start,
            group,
            stopped: AtomicBool::new(false),
            state: Mutex::new(State { up: Some(tell), ..State::default() }),
            say: Mutex::new(Some(say)),
            exit: watch::Sender::new(None),
            told,
        });
        thread::Builder::new().name("node stdin".to_owned()).spawn(move || {
            // A process that is stopped reads nothing: writing waits here, and nowhere else.
            for line in said {
                if stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        })?;
        let held = child.clone();
        thread::Builder::new().name("node stderr".to_owned()).spawn(move || held.read_log(stderr))?;
        let held = child.clone();
        thread::Builder::new().name("node stdout".to_owned()).spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                match serde_json::from_str(&line) {
                    Ok(heard) => held.heard(heard),
                    Err(error) => tracing::error!(%error, line = line.trim(), "a node said something odd"),
                }
                line.clear();
            }
            // With its stdout it is as good as gone; nobody waits for it but us.
            held.over(process.wait().ok());
        })?;
        Ok((child, up))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_log(&self, mut stderr: impl Read) {
        let mut buffer = [0; 4096];
        while let Ok(bytes @ 1..) = stderr.read(&mut buffer) {
            let mut state = self.state();
            if state.log.len() + bytes > LOG_BYTES_MAX {
                let half = state.log.len() / 2;
                state.log.drain(..half);
            }
            state.log.extend_from_slice(&buffer[..bytes]);
        }
    }

    fn heard(&self, heard: FromNode) {
        (self.told)(&heard);
        match heard {
            up @ (FromNode::Up { .. } | FromNode::Failed(_)) => {
                if let Some(tell) = self.state().up.take() {
                    // Whoever launched it may have given up.
                    let _ = tell.send(up);
                }
            }
            FromNode::Answer { number, answer } => {
                if let Some(tell) = self.state().answers.remove(&number) {
                    let _ = tell.send(answer);
                }
            }
            FromNode::View(view) => {
                self.state().view = Arc::new(view);
                self.means.scene.touch();
            }
            FromNode::Scene(shared) => self.means.scene.import(self.start, shared),
            FromNode::Counts(counts) => {
                self.state().counts = counts.into_iter().collect();
                self.means.scene.touch();
            }
            FromNode::Events(events) => {
                events.into_iter().for_each(|event| self.means.scene.recorder().put(event));
            }
            FromNode::Keys(lines) => {
                if let Some(keys) = &self.means.keys {
                    keys.extend(lines);
                }
            }
            FromNode::Captured { number, datagrams, forgotten } => {
                let captured = datagrams.into_iter().map(|datagram| Captured {
                    at_ns: datagram.at_ns,
                    from: datagram.from,
                    to: datagram.to,
                    data: bytes_of(&datagram.data),
                    dropped: datagram.dropped,
                });
                if let Some(tell) = self.state().captures.remove(&number) {
                    let _ = tell.send((captured.collect(), forgotten));
                }
            }
            FromNode::Left(left) => {
                if let Some(tell) = self.state().left.take() {
                    let _ = tell.send(left);
                }
            }
        }
    }

    /// The process is gone: whoever waits for it has waited.
    fn over(&self, status: Option<ExitStatus>) {
        let mut state = self.state();
        state.over = true;
        state.answers.clear();
        state.captures.clear();
        state.up = None;
        state.left = None;
        drop(state);
        self.hush();
        self.exit.send_replace(Some(status.unwrap_or_default()));
        self.means.scene.touch();
    }

    /// Says a line. A process that is gone hears nothing.
    pub(super) fn say(&self, line: &ToNode) {
        if let Ok(line) = serde_json::to_string(line) {
            self.say_line(line);
        }
    }

    /// Says a line as it is.
    pub(super) fn say_line(&self, mut line: String) {
        line.push('\n');
        if let Some(say) = &*self.say.lock().unwrap_or_else(PoisonError::into_inner) {
            // The writer ends with the process.
            let _ = say.send(line);
        }
    }

    /// Says nothing more: the process ends by itself.
    pub(super) fn hush(&self) {
        self.say.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Has an order carried out.
    pub(super) fn ask(&self, order: Order) -> oneshot::Receiver<Answered> {
        self.ask_by(|number| ToNode::Order { number, order })
    }

    /// Says a line that is answered with its number.
    fn ask_by(&self, line: impl FnOnce(u64) -> ToNode) -> oneshot::Receiver<Answered> {
        let (tell, told) = oneshot::channel();
        let number = {
            let mut state = self.state();
            if state.over {
                let _ = tell.send(Err(Refused::Gone));
                return told;
            }
            state.next += 1;
            let number = state.next;
            state.answers.insert(number, tell);
            number
        };
        self.say(&line(number));
        told
    }

    /// Asks for the last datagrams.
    pub(super) fn captured(&self) -> oneshot::Receiver<(Vec<Captured>, u64)> {
        let (tell, told) = oneshot::channel();
        let number = {
            let mut state = self.state();
            if state.over {
                return told;
            }
            state.next += 1;
            let number = state.next;
            state.captures.insert(number, tell);
            number
        };
        self.say(&ToNode::Captured { number });
        told
    }

    /// Asks it to end in an orderly way, as a service manager does; resolves with what was left.
    pub(super) fn terminate(&self) -> oneshot::Receiver<Vec<String>> {
        let (tell, told) = oneshot::channel();
        let mut state = self.state();
        if !state.over {
            state.left = Some(tell);
        }
        drop(state);
        self.signal(Signal::TERM);
        told
    }

    /// Has the node stand still after it has told all that it did, so that it can be stopped or killed and nothing that
    /// others saw of it is unknown. One that does not get to it in time is left as it is.
    pub(super) async fn stand_still(&self) {
        let held = self.ask_by(|number| ToNode::Hold { number });
        let _ = tokio::time::timeout(HELD_WITHIN, held).await;
    }

    /// Stops the process and whatever it has started.
    pub(super) async fn stop(&self) {
        self.stopped.store(true, Relaxed);
        self.stand_still().await;
        self.signal(Signal::STOP);
    }

    /// Lets the process and whatever it has started go on.
    pub(super) fn go_on(&self) {
        self.stopped.store(false, Relaxed);
        self.signal(Signal::CONT);
        self.say(&ToNode::Go);
    }

    /// Whether it was stopped and has not been let go on.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// Sends a signal to the process and whatever it has started.
    pub(super) fn signal(&self, signal: Signal) {
        // It may be gone already: then there is nobody to signal.
        let _ = kill_process_group(self.group, signal);
    }

    /// Waits until the process is gone; how it ended.
    pub(super) async fn exited(&self) -> ExitStatus {
        let mut exit = self.exit.subscribe();
        let exited = exit.wait_for(Option::is_some).await;
        exited.map(|status| status.unwrap_or_default()).unwrap_or_default()
    }

    /// Whether the process is gone.
    pub(super) fn is_over(&self) -> bool {
        self.state().over
    }

    /// Whether anything that it has started is still there.
    pub(super) fn leaves_somebody(&self) -> bool {
        test_kill_process_group(self.group).is_ok()
    }

    /// What the node showed last.
    pub(super) fn view(&self) -> Arc<NodeView> {
        self.state().view.clone()
    }

    /// What the network's rules did at its socket.
    pub(super) fn counts(&self) -> BTreeMap<Key, Counts> {
        self.state().counts.clone()
    }

    /// What it wrote to its log, the last of it.
    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&self.state().log).into_owned()
    }
}

fn bytes_of(hex: &str) -> Box<[u8]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | pair.get(1).copied().map_or(0, digit)).collect()
}
