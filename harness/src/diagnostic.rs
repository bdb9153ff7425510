//! What is wrong with a file, and where: the one form in which the harness speaks about scenario files.
//!
//! A diagnostic owns the line that it speaks of, so it can be printed, sorted or sent as JSON after the file is gone.
//! Text from a file never reaches the terminal as control characters.

use std::fmt::{self, Write as _};
use std::ops::Range;

use owo_colors::{OwoColorize, Style};
use serde::Serialize;

/// One finding in one file.
///
/// Prints as text without colour; [`Diagnostic::render`] chooses. Ordered by file, then place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    /// The file, as the caller named it.
    pub file: String,
    /// Where in the file; `None` when it is about the file as a whole (missing, unreadable).
    pub place: Option<Place>,
    /// What is wrong: a lowercase fragment.
    pub message: String,
    /// What stands under the caret, in a few words.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

/// A stretch of one line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column of the first character, from 1, counted in characters (Unicode scalar values), a tab as one.
    pub column: usize,
    /// How many characters are meant; at least 1, and never past the line's end unless the end itself is meant.
    pub length: usize,
    /// The whole line, without its line end.
    pub source: String,
}

impl Place {
    /// The place of the bytes `span` in `text`. A span over several lines is cut at the end of its first one; a span
    /// past the end of the text is the end of the text.
    #[must_use]
    pub fn in_text(text: &str, span: Range<usize>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let source = text[line_start..line_end].trim_end_matches('\r');
        let end = floor_char_boundary(text, span.end)
            .clamp(start, line_start + source.len().max(start - line_start));
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            length: text[start..end].chars().count().max(1),
            source: source.to_owned(),
        }
    }
}

impl Diagnostic {
    /// A finding about the file as a whole.
    #[must_use]
    pub fn whole_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), place: None, message: message.into(), label: None, help: None }
    }

    /// The finding as a terminal shows it, with or without colour; no line end after the last line.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let paint = |text: &dyn fmt::Display, style: Style| {
            if colour { text.style(style).to_string() } else { text.to_string() }
        };
        let red = Style::new().red().bold();
        let blue = Style::new().blue().bold();
        let bold = Style::new().bold();

        let message = printable(&self.message);
        let mut out = format!("{}{}", paint(&"error", red), paint(&format_args!(": {message}"), bold));
        let file = printable(&self.file);
        let gutter = self.place.as_ref().map_or(1, |place| place.line.to_string().len());
        let indent = " ".repeat(gutter);
        match &self.place {
            None => {
                let _ = write!(out, "\n{indent}{} {file}", paint(&"-->", blue));
            }
            Some(place) => {
                let bar = paint(&"|", blue);
                let (source, before, under) = place.layout();
                let label = self.label.as_deref().map(|label| format!(" {}", printable(label)));
                let caret = format!("{}{}", "^".repeat(under), label.unwrap_or_default());
                let _ =
                    write!(out, "\n{indent}{} {file}:{}:{}", paint(&"-->", blue), place.line, place.column);
                let _ = write!(out, "\n{indent} {bar}");
                let _ = write!(out, "\n{} {bar} {source}", paint(&place.line, blue));
                let _ = write!(out, "\n{indent} {bar} {}{}", " ".repeat(before), paint(&caret, red));
            }
        }
        if let Some(help) = &self.help {
            if let Some(_place) = &self.place {
                let _ = write!(out, "\n{indent} {}", paint(&"|", blue));
            }
            for (index, line) in help.lines().enumerate() {
                let line = printable(line);
                if index == 0 {
                    let _ = write!(out, "\n{indent} {} {} {line}", paint(&"=", blue), paint(&"help:", bold));
                } else {
                    let _ = write!(out, "\n{indent}         {line}");
                }
            }
        }
        // Empty source lines and empty labels leave blanks at line ends, which nobody wants in a log.
        out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

impl Place {
    /// The line as it is shown (tabs as four blanks, control characters replaced), how many columns stand before the
    /// caret, and how many carets there are.
    fn layout(&self) -> (String, usize, usize) {
        let mut shown = String::new();
        let (mut before, mut under) = (0, 0);
        let first = self.column - 1;
        for (index, character) in self.source.chars().enumerate() {
            let text = shown_char(character);
            let width = text.chars().map(columns).sum::<usize>();
            if index < first {
                before += width;
            } else if index < first + self.length {
                under += width;
            }
            shown.push_str(&text);
        }
        (shown, before, under.max(1))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostic {}

/// Everything that is wrong with one or several files, in order. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// The findings, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// How many findings there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All findings as a terminal shows them, with an empty line between two.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        self.iter().map(|diagnostic| diagnostic.render(colour)).collect::<Vec<_>>().join("\n\n")
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl From<Vec<Diagnostic>> for Diagnostics {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        debug_assert!(!diagnostics.is_empty(), "a failure has at least one finding");
        Self(diagnostics)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// The known name that is closest to a misspelt one, if any is close enough to be meant.
#[must_use]
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase();
    let letters = lower.chars().count();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name.chars().count(), name))
        // A third of the letters may differ, one always may: more than that is another word.
        .filter(|(distance, length, _)| *distance <= ((*length).max(letters) / 3).max(1))
        .min_by_key(|(distance, length, name)| (*distance, length.abs_diff(letters), *name))
        .map(|(.., name)| name)
}

/// "did you mean `x`?" when a name is near, otherwise the list of what is known.
#[must_use]
pub fn suggestion<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>, what: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(wrong, known.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    match known.as_slice() {
        [] => format!("this file declares no {what}"),
        known => format!("known {what}: {}", known.join(", ")),
    }
}

/// The text with every control character replaced, so that a file cannot drive the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn shown_char(character: char) -> String {
    match character {
        '\t' => "    ".to_owned(),
        c if c.is_control() => '\u{fffd}'.to_string(),
        c => c.to_string(),
    }
}

/// How many columns a character takes on a terminal: combining marks none, East Asian wide letters and emoji two.
const fn columns(character: char) -> usize {
    match character as u32 {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caret(text: &str, needle: &str) -> String {
        let at = text.find(needle).expect("the needle is in the text");
        let place = Place::in_text(text, at..at + needle.len());
        let diagnostic =
            Diagnostic { place: Some(place), ..Diagnostic::whole_file("a.toml", "something is wrong") };
        diagnostic.to_string()
    }

    #[test]
    fn the_caret_stands_under_what_is_meant_behind_tabs_and_wide_letters() {
        insta::assert_snapshot!(caret("x = 1\n\ty = \"日本é\" # z\n", "z"), @r#"
        error: something is wrong
         --> a.toml:2:14
          |
        2 |     y = "日本é" # z
          |                   ^
        "#);
    }

    #[test]
    fn a_span_over_several_lines_is_cut_at_the_end_of_the_first() {
        let place = Place::in_text("abc\r\ndef\n", 1..8);
        assert_eq!((place.line, place.column, place.length, place.source.as_str()), (1, 2, 2, "abc"));
    }

    #[test]
    fn the_end_of_a_text_is_a_place_too() {
        let place = Place::in_text("ab\n", 3..3);
        assert_eq!((place.line, place.column, place.length, place.source.as_str()), (2, 1, 1, ""));
        let beyond = Place::in_text("ab", 7..9);
        assert_eq!((beyond.line, beyond.column, beyond.length), (1, 3, 1));
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        assert!(!caret("x = \u{1b}[31m y\n", "y").contains('\u{1b}'));
    }

    #[test]
    fn colour_changes_no_word() {
        let place = Place::in_text("node = 1", 0..4);
        let diagnostic = Diagnostic {
            place: Some(place),
            help: Some("did you mean `name`?".into()),
            ..Diagnostic::whole_file("a.toml", "unknown key")
        };
        let coloured = diagnostic.render(true);
        assert!(coloured.contains("\u{1b}["));
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some(at) = rest.find('\u{1b}') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            rest = &rest[rest.find('m').expect("a colour code ends") + 1..];
        }
        plain.push_str(rest);
        assert_eq!(plain, diagnostic.render(false));
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(nearest("behavior", ["behaviour", "global"]), Some("behaviour"));
        assert_eq!(nearest("xyz", ["behaviour", "global"]), None);
        assert_eq!(suggestion("zzz", ["n1", "n2"], "nodes"), "known nodes: n1, n2");
    }
}
