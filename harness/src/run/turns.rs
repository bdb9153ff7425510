//! Runs that take turns: several builds at once on one machine, of which one at a time measures.
//!
//! The speed of a shared machine wanders by the second. Builds that take turns of some milliseconds meet the same machine;
//! builds that run one after the other do not.
//!
//! The run asks for a turn, and so ends the one that it has, before each slice of a load and after the last slice of each: up
//! to the next load, or to its end, it has a turn as well. Where time is real the run has no timeout of its own.

use std::fmt;
use std::sync::Arc;

use tokio::sync::MutexGuard;

use super::stage::Stage;
use crate::scenario::World;

/// The line with which a run asks for its turn.
pub const READY: &str = "ready";
/// The line that gives it.
pub const GO: &str = "go";

/// Who gives the turns.
pub trait Turns: Send + Sync + fmt::Debug {
    /// Ends the turn, asks for the next one and waits for it; false when none will come any more.
    fn take(&self) -> bool;
}

impl Stage {
    /// Waits for the next turn, where turns are taken. Loads at the same time have one after the other.
    pub(super) async fn turn(&self) -> Result<Option<MutexGuard<'_, ()>>, String> {
        let turns = self.options.turns.clone().filter(|_| self.world != World::Sim);
        let Some(turns) = turns else { return Ok(None) };
        let turn = self.taking_turn.lock().await;
        let taken = tokio::task::spawn_blocking(move || turns.take()).await;
        if taken.unwrap_or(false) { Ok(Some(turn)) } else { Err("nobody gives turns any more".to_owned()) }
    }
}

/// Turns that an input and an output carry.
#[derive(Debug)]
pub struct Lines<R, W>(std::sync::Mutex<(R, W)>);

impl<R, W> Lines<R, W> {
    /// Asks on `output`, and is answered on `input`.
    pub fn new(input: R, output: W) -> Arc<Self> {
        Arc::new(Self(std::sync::Mutex::new((input, output))))
    }
}

impl<R, W> Turns for Lines<R, W>
where
    R: std::io::BufRead + Send + fmt::Debug,
    W: std::io::Write + Send + fmt::Debug,
{
    fn take(&self) -> bool {
        let mut both = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (input, output) = &mut *both;
        let mut line = String::new();
        let asked = writeln!(output, "{READY}").and_then(|()| output.flush());
        asked.is_ok() && input.read_line(&mut line).is_ok() && line.trim() == GO
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn each_turn_is_asked_for_and_an_input_that_ends_gives_no_more() {
        let lines = Lines::new(Cursor::new("go\ngo\n"), Vec::new());
        assert_eq!([lines.take(), lines.take(), lines.take()], [true, true, false]);
        let both = lines.0.lock().expect("nobody panicked");
        assert_eq!(both.1, b"ready\nready\nready\n");
    }
}
