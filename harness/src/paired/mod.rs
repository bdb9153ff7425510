//! Two builds side by side: fresh processes that take turns, and what came of them.
//!
//! | File | Its one job |
//! |---|---|
//! | `arm` | one trial: a build runs the gate's scenario in a process of its own, and hands in its figures |
//! | `exactly` | tier 0: measured twice in `sim`, compared with what was accepted |
//! | `counts` | tier 1: instructions and system calls of one message, counted by valgrind and strace |
//! | `turns` | trials of all arms at once, of which one at a time measures |
//! | `round` | blocks of base, copy and head, with the machine watched |
//! | `compare` | rounds until there is a verdict |
//! | `base` | the base revision, checked out and built |
//! | `calibration` | raw quinn and raw UDP: what the machine can do |
//! | `selftest` | the gate's own false alarms and power |
//!
//! What must stay true: each trial is a process of its own; base, copy and head take turns of some milliseconds, so a slow
//! tenth of a second meets all of them; whose turn comes first is decided by chance, each time anew. Whoever waits for its turn does
//! what an idle node does, and that is not measured.

pub mod arm;
pub mod base;
pub mod calibration;
pub mod compare;
pub mod counts;
pub mod exactly;
pub mod health;
pub mod round;
pub mod selftest;
mod turns;
