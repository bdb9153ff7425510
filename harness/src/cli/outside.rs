//! What comes from outside while a verb works: an interruption, and readers that go away.

use std::cell::Cell;
use std::io::{self, Write};
use std::thread;

use tokio::sync::watch;

use crate::exit;

/// Turns true at the first interruption (SIGINT). The second one ends the process at once.
pub(super) fn interruption() -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(false);
    let listen = move || {
        // Without a listener the system does what it always does: it ends the process.
        let Ok(tokio) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        tokio.block_on(async {
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            tell.send_replace(true);
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(exit::INTERRUPTED.into());
            }
        });
    };
    // It waits for as long as the process lives; nobody joins it.
    let _ = thread::Builder::new().name("interruption".to_owned()).spawn(listen);
    told
}

/// An output whose reader may go away, as that of `| head` does: what is written then goes nowhere, so that what was
/// begun comes to its end and its exit code stays true.
pub(super) struct Pipe<'a> {
    pub(super) out: &'a mut dyn Write,
    /// Whether the reader has gone.
    pub(super) gone: &'a Cell<bool>,
}

impl Pipe<'_> {
    fn unless_gone<T>(&self, done: io::Result<T>, nothing: T) -> io::Result<T> {
        match done {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone.set(true);
                Ok(nothing)
            }
            done => done,
        }
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.out.write(bytes);
        self.unless_gone(done, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.out.flush();
        self.unless_gone(done, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes some bytes, and then nobody reads any more.
    struct Head(usize);

    impl Write for Head {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_noticed_and_stops_nobody() {
        let (gone, mut head) = (Cell::new(false), Head(4));
        let mut pipe = Pipe { out: &mut head, gone: &gone };
        writeln!(pipe, "one").expect("read");
        assert!(!gone.get());
        writeln!(pipe, "two").expect("goes nowhere");
        assert!(gone.get());
    }
}
