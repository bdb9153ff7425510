//! What a user gets to see: a terminal report while it runs and after, and one JSON document.

pub mod json;
pub mod paired;
pub mod terminal;
