//! Operating-system processes: a trial in a process of its own, and the far nodes in a process of their own.
//!
//! Each trial runs in a fresh process (this binary again), so nothing of one trial, above all tasks that its system
//! left behind, can weigh on the next, and a trial that hangs is cut without harm to the others. The far nodes of the
//! layout `two-processes` is **forked** from the trial while that has one thread: the seed's identities cannot be
//! written out and read back, so the second process can only have its own by inheriting it. It then builds its own
//! runtime and shares nothing.
//!
//! What must stay true: no child outlives its parent. The kernel kills it (`PR_SET_PDEATHSIG`), and it ends by itself
//! when its control input reaches its end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, Stdio, exit};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde::{Deserialize, Serialize};
use serde_json::{from_str, to_string};

use crate::trial::{Outcome, Trial};
use crate::workload::Failure;

/// The hidden option that makes this binary run one trial.
pub(crate) const TRIAL_OPTION: &str = "--trial";
/// Longest wait for an answer of the far nodes.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Address space of a trial: a system that queues without bound dies of this, not the machine.
const TRIAL_BYTES_MAX: libc::rlim_t = 6 << 30;

/// What the measuring side asks of the far nodes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Where do your nodes listen?
    Addresses,
    /// Does each of your nodes hold a link to this node?
    See(String),
    /// Start so many echoes, in turn on each node.
    Echo(u32),
    /// Start the latency probe's echo on each node.
    ProbeEcho,
    /// Start so many sinks, in turn on each node.
    Sink(u32),
    /// Offer the process that [`System::spawn_remote`](crate::workload::System::spawn_remote) starts.
    OfferSpawn,
    /// What have the sinks counted, and when is now?
    Mark,
}

/// What the far nodes answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// The listening addresses, in the order of the links.
    Addresses(Vec<std::net::SocketAddr>),
    /// Whether all the links are there.
    See(bool),
    /// The sinks' counts.
    Mark(Mark),
    /// It failed, in these words.
    Failed(String),
}

/// What all sinks have counted together at one moment.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The far side's clock, in nanoseconds since it began.
    pub(crate) at_ns: u64,
    /// Messages.
    pub(crate) received: u64,
    /// Messages that came after a later one of the same sender.
    pub(crate) out_of_order: u64,
    /// Peak resident memory of the far nodes' process, in KiB.
    pub(crate) rss_peak_kib: u64,
}

/// Runs `trial` in a fresh process and waits for its outcome, for no longer than `deadline`. The error says why there
/// is none: the trial's own words, how its process died, or that the deadline cut it.
pub(crate) fn run(trial: &Trial, deadline: Duration) -> Result<Outcome, String> {
    let mut child = spawn(trial).map_err(|error| format!("cannot start the trial: {error}"))?;
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let _ = sender.send(stdout.read_to_string(&mut text).map(|_| text));
    });
    let answer = receiver.recv_timeout(deadline);
    if answer.is_err() {
        // An error here means that it has just ended by itself.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| format!("cannot wait for the trial: {error}"))?;
    match answer {
        Err(_) => Err(format!("hung: cut after {:.1} s", deadline.as_secs_f64())),
        Ok(Err(error)) => Err(format!("the trial's answer is unreadable: {error}")),
        Ok(Ok(text)) => match from_str::<Result<Outcome, String>>(text.trim()) {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("the trial died without an answer ({status})")),
        },
    }
}

fn spawn(trial: &Trial) -> io::Result<Child> {
    let parent = std::process::id();
    let mut command = Command::new("/proc/self/exe");
    command.arg0("regatta-peers").arg(TRIAL_OPTION).arg(to_string(trial)?);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let prepare = move || {
        die_with(parent)?;
        limit(libc::RLIMIT_AS, TRIAL_BYTES_MAX)?;
        limit(libc::RLIMIT_NOFILE, descriptors_max()?)
    };
    // SAFETY: the closure makes only system calls; it takes no lock and allocates nothing unless it fails.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// Has the kernel kill what `command` starts when this process ends.
pub(crate) fn tie(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: the closure makes only system calls; it takes no lock and allocates nothing unless it fails.
    unsafe { command.pre_exec(move || die_with(parent)) };
}

/// Limits a resource of this process. Makes one system call.
fn limit(resource: libc::__rlimit_resource_t, most: libc::rlim_t) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the limit is a valid struct on this stack, and the call is async-signal-safe.
    match unsafe { libc::setrlimit(resource, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Descriptors that a process may have open if it asks: raw UDP has a socket a process. Makes one system call.
fn descriptors_max() -> io::Result<libc::rlim_t> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is a valid struct on this stack, and the call is async-signal-safe.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
        0 => Ok(limit.rlim_max),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Prints what the trial came to, as the one line that [`run`] reads.
pub(crate) fn hand_in(outcome: &Result<Outcome, String>) {
    println!("{}", to_string(outcome).expect("an outcome has only string keys"));
}

/// Ends this process when its standard input does, that is when its parent is gone.
pub(crate) fn end_with_stdin() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        exit(1);
    });
}

/// Has panics in the sources of the crate `source`, its name and version, print nothing: for those that belong to the end of
/// a trial and are not worth a backtrace each.
pub(crate) fn hush(source: &'static str) {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|at| at.file().contains(source)) {
            others(panic);
        }
    }));
}

/// Asks the kernel to kill this process when the thread that started it ends; fails if `parent` is gone already.
fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: both are plain system calls without pointers.
    let (set, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    match u32::try_from(now) == Ok(parent) {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// The far nodes in a process of their own, as its parent holds it. Dropping it ends the process and waits for its end.
#[derive(Debug)]
pub(crate) struct FarProcess {
    pid: libc::pid_t,
    writer: UnixStream,
    reader: BufReader<UnixStream>,
}

impl FarProcess {
    /// Forks a child that serves asks with what `start` makes, until its parent is gone or drops this value.
    ///
    /// # Panics
    /// When this process has more than one thread: a fork would then inherit locks that nobody holds.
    pub(crate) fn fork<F>(start: impl FnOnce() -> Result<F, Failure>) -> Result<Self, Failure>
    where
        F: FnMut(Ask) -> Answer,
    {
        let threads = fs::read_dir("/proc/self/task")?.count();
        assert_eq!(threads, 1, "a process with several threads must not fork");
        let (ours, theirs) = UnixStream::pair()?;
        let parent = std::process::id();
        // SAFETY: this process has one thread, so the child inherits no lock in the middle of its use.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error().into()),
            0 => {
                drop(ours);
                // A panic must not unwind into the parent's code, which the child has a copy of.
                let served = catch_unwind(AssertUnwindSafe(|| {
                    die_with(parent)?;
                    serve(theirs, start)
                }));
                exit(if matches!(served, Ok(Ok(()))) { 0 } else { 1 });
            }
            pid => {
                ours.set_read_timeout(Some(ANSWER_TIMEOUT))?;
                Ok(Self { pid, writer: ours.try_clone()?, reader: BufReader::new(ours) })
            }
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, ask: &Ask) -> Result<Answer, Failure> {
        writeln!(self.writer, "{}", to_string(ask).map_err(io::Error::from)?)?;
        let mut line = String::new();
        match self.reader.read_line(&mut line)? {
            0 => Err(Failure::Far("its process ended".into())),
            _ => Ok(from_str(&line).map_err(io::Error::from)?),
        }
    }
}

impl Drop for FarProcess {
    fn drop(&mut self) {
        // The child ends at the end of its input; it is killed if it has not within the time of an answer.
        let _ = self.writer.shutdown(std::net::Shutdown::Both);
        let begin = Instant::now();
        loop {
            let mut status = 0;
            // SAFETY: the child is ours and not waited for yet; the status is a valid integer on this stack.
            let ended = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) };
            if ended != 0 {
                return;
            }
            if begin.elapsed() > ANSWER_TIMEOUT {
                // SAFETY: a plain system call; the child is not waited for yet, so the id is still its own.
                unsafe { libc::kill(self.pid, libc::SIGKILL) };
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn serve<F>(stream: UnixStream, start: impl FnOnce() -> Result<F, Failure>) -> Result<(), Failure>
where
    F: FnMut(Ask) -> Answer,
{
    let mut answer = start().inspect_err(|failure| eprintln!("far nodes: {failure}"))?;
    let mut writer = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let ask = from_str(&line?).map_err(io::Error::from)?;
        writeln!(writer, "{}", to_string(&answer(ask)).map_err(io::Error::from)?)?;
    }
    Ok(())
}

/// Peak resident memory of this process so far, in KiB.
pub(crate) fn rss_peak_kib() -> u64 {
    u64::try_from(usage(libc::RUSAGE_SELF).ru_maxrss).unwrap_or(0)
}

/// Processor time of all children that were waited for, and of theirs.
pub(crate) fn children_cpu() -> Duration {
    cpu(libc::RUSAGE_CHILDREN)
}

/// Processor time of this process.
pub(crate) fn own_cpu() -> Duration {
    cpu(libc::RUSAGE_SELF)
}

fn cpu(who: libc::c_int) -> Duration {
    let usage = usage(who);
    let time = |t: libc::timeval| {
        Duration::from_secs(u64::try_from(t.tv_sec).unwrap_or(0))
            + Duration::from_micros(u64::try_from(t.tv_usec).unwrap_or(0))
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn usage(who: libc::c_int) -> libc::rusage {
    let mut usage = std::mem::MaybeUninit::zeroed();
    // SAFETY: all-zero is a valid rusage, and the call writes only within it; it cannot fail for these two.
    unsafe {
        libc::getrusage(who, usage.as_mut_ptr());
        usage.assume_init()
    }
}
