//! What a user gets to see: a terminal report while it runs and after, one JSON document, and a folder
//! for each run that did not pass.

pub mod bench;
mod columns;
pub(crate) mod folder;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
pub mod paired;
mod pcap;
mod perfetto;
mod scale;
pub mod schema;
mod sequence;
pub mod terminal;
