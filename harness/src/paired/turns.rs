//! Trials that take turns: the processes of all arms live at the same time, and one of them at a time measures.
//!
//! The speed of a shared machine wanders by a tenth and more from one tenth of a second to the next. Trials one after the
//! other put that into their ratio; with turns of some milliseconds, in an order that chance decides anew each time, every
//! arm meets the same machine.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::arm::{Arm, Figures, IN_TURNS, TRIAL_WITHIN, TrialError, code, listen, read};
use crate::random::Random;
use crate::run::turns::{GO, READY};

/// Runs one trial of each arm, all at once; their figures, in the order of the arms.
///
/// # Errors
/// [`TrialError`] of the first that failed; all processes have ended in every case.
pub(super) fn run<const N: usize>(
    arms: [&Arm; N],
    seed: u64,
    random: &mut Random,
) -> Result<[Figures; N], TrialError> {
    let mut trials = Vec::new();
    for arm in arms {
        // Dropped, those that were started end.
        trials.push(Trial::start(arm, seed)?);
    }
    for trial in &mut trials {
        trial.wait()?;
    }
    loop {
        let mut waiting: Vec<&mut Trial> = trials.iter_mut().filter(|trial| trial.ended.is_none()).collect();
        if waiting.is_empty() {
            break;
        }
        random.shuffle(&mut waiting);
        for trial in waiting {
            trial.go()?;
        }
    }
    let mut figures = std::array::from_fn(|_| Figures::new());
    for (figures, trial) in figures.iter_mut().zip(trials) {
        *figures = trial.figures()?;
    }
    Ok(figures)
}

/// What a process did.
enum Told {
    /// It waits for its turn.
    Ready,
    /// Its output has ended: the document, and what it said beside it.
    Ended(String, String),
}

/// A process that takes turns.
struct Trial {
    child: Child,
    input: Option<ChildStdin>,
    told: Receiver<Told>,
    ended: Option<(String, String)>,
}

impl Trial {
    fn start(arm: &Arm, seed: u64) -> Result<Self, TrialError> {
        let mut command = arm.command(seed);
        command.arg(IN_TURNS).stdin(Stdio::piped());
        let mut child =
            command.spawn().map_err(|source| TrialError::Start { program: arm.program.clone(), source })?;
        let (input, out) = (child.stdin.take(), child.stdout.take());
        let (tell, told) = mpsc::channel();
        let said = listen(child.stderr.take());
        thread::spawn(move || {
            let mut text = String::new();
            for line in out.map(BufReader::new).into_iter().flat_map(BufReader::lines) {
                let Ok(line) = line else { break };
                if line == READY {
                    // Nobody may listen any more.
                    let _ = tell.send(Told::Ready);
                } else {
                    text.push_str(&line);
                    text.push('\n');
                }
            }
            let _ = tell.send(Told::Ended(text, said.join().unwrap_or_default()));
        });
        Ok(Self { child, input, told, ended: None })
    }

    /// Waits until it is ready for its next turn, or has ended.
    fn wait(&mut self) -> Result<(), TrialError> {
        match self.told.recv_timeout(TRIAL_WITHIN) {
            Ok(Told::Ready) => {}
            Ok(Told::Ended(text, said)) => self.ended = Some((text, said)),
            Err(_) => return Err(TrialError::Hung(TRIAL_WITHIN.as_secs())),
        }
        Ok(())
    }

    /// Gives it one turn, and waits for the end of it.
    fn go(&mut self) -> Result<(), TrialError> {
        if let Some(input) = &mut self.input {
            // If it has ended meanwhile, its output has too.
            let _ = writeln!(input, "{GO}").and_then(|()| input.flush());
        }
        self.wait()
    }

    fn figures(mut self) -> Result<Figures, TrialError> {
        let (text, said) = self.ended.take().unwrap_or_default();
        let first = read(&text, &said, code(&mut self.child))?.into_iter().next();
        let nothing = || TrialError::Unreadable { code: "0".to_owned(), detail: "no run at all".to_owned() };
        first.map(|run| run.figures).ok_or_else(nothing)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    /// A program that takes turns as a build does, and notes them in a file that all share.
    fn arm(folder: &Path, name: &str, turns: u64, p50: f64) -> Arm {
        let path = folder.join(name);
        let text = format!(
            r#"#!/bin/sh
turn=0
while [ "$turn" -lt {turns} ]; do
    echo ready
    read -r word || exit 9
    echo "{name} begins $word" >> {folder}/notes
    turn=$((turn + 1))
    echo "{name} ends" >> {folder}/notes
done
echo '{{"scenarios":[{{"outcome":"pass","figures":{{"latency":{{"p50_us":{p50}}}}}}}]}}'
"#,
            folder = folder.display()
        );
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("may be run");
        Arm { program: path, scenario: folder.join("any.toml"), world: None }
    }

    #[test]
    fn one_at_a_time_has_its_turn_and_each_has_one_before_any_has_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let arms = [arm(folder.path(), "a", 3, 1.0), arm(folder.path(), "b", 3, 2.0)];
        let mut random = Random::apart(1, "turns");
        let figures = run([&arms[0], &arms[1]], 1, &mut random).expect("figures");
        let p50: Vec<f64> = figures.iter().map(|figures| figures["latency.p50_us"]).collect();
        assert_eq!(p50, [1.0, 2.0]);
        let notes = fs::read_to_string(folder.path().join("notes")).expect("notes");
        let lines: Vec<&str> = notes.lines().collect();
        assert_eq!(lines.len(), 12, "{notes}");
        for round in lines.chunks(4) {
            let (first, second) = (&round[0][..1], &round[2][..1]);
            assert_ne!(first, second, "each has one turn a round: {notes}");
            let expected = [first, second]
                .iter()
                .flat_map(|name| [format!("{name} begins go"), format!("{name} ends")])
                .collect::<Vec<_>>();
            assert_eq!(round, expected, "{notes}");
        }
    }

    #[test]
    fn one_that_fails_is_told_and_the_others_are_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let good = arm(folder.path(), "good", 1_000_000, 1.0);
        let bad = folder.path().join("bad");
        let says =
            "error: unexpected argument '--in-turns' found\n\nUsage: regatta run\n\nFor more, try '--help'.";
        fs::write(&bad, format!("#!/bin/sh\ncat >&2 <<'E'\n{says}\nE\nexit 64\n")).expect("written");
        fs::set_permissions(&bad, fs::Permissions::from_mode(0o755)).expect("may be run");
        let bad = Arm { program: bad, ..good.clone() };
        let mut random = Random::apart(1, "turns");
        let error = run([&bad, &bad], 1, &mut random).expect_err("no figures");
        assert_eq!(
            error.to_string(),
            "the build printed no results (exit code 64); error: unexpected argument '--in-turns' found; it is too old to \
             take turns with others"
        );
        let missing = Arm { program: folder.path().join("nowhere"), ..good.clone() };
        assert!(matches!(run([&good, &missing], 1, &mut random), Err(TrialError::Start { .. })));
    }
}
