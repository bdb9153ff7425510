//! The rules of processes, one file per rule set.
//!
//! All of it but `scheduler` runs on one thread, where a process moves only while the test awaits something: what a test does between
//! two awaits happens at one instant.

mod aliases;
mod blocking;
mod exits;
mod groups;
mod hold;
mod info;
mod links;
mod mailbox;
mod monitors;
mod names;
mod panics;
mod remote;
mod scheduler;
mod shutdown;
mod spans;
mod timers;
pub(crate) mod world;
