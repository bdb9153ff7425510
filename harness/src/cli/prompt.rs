//! The prompt of a run that holds: lines with a history on a terminal, plain lines from elsewhere.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::run::hold::Console;

/// Reads commands from the standard input, and writes to the standard output.
#[derive(Debug)]
pub(super) struct Prompt {
    editor: Option<Mutex<DefaultEditor>>,
}

impl Prompt {
    pub(super) fn new() -> Self {
        let by_hand = io::stdin().is_terminal() && io::stdout().is_terminal();
        // Where a terminal cannot be edited on, plain lines will do.
        let editor = if by_hand { DefaultEditor::new().ok() } else { None };
        Self { editor: editor.map(Mutex::new) }
    }
}

impl Console for Prompt {
    fn ask(&self) -> Option<String> {
        let Some(editor) = &self.editor else {
            let mut line = String::new();
            return match io::stdin().lock().read_line(&mut line) {
                Ok(0) | Err(_) => None,
                Ok(_) => Some(line),
            };
        };
        let mut editor = editor.lock().unwrap_or_else(PoisonError::into_inner);
        match editor.readline("regatta> ") {
            Ok(line) => {
                // A history without this line is a history still.
                let _ = editor.add_history_entry(&line);
                Some(line)
            }
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => Some("quit".to_owned()),
            Err(_) => None,
        }
    }

    fn say(&self, text: &str) {
        let mut out = io::stdout().lock();
        // With nobody to read there is nobody to tell.
        for line in text.lines() {
            let _ = writeln!(out, "{line}");
        }
        let _ = out.flush();
    }
}
