//! Supervisors: processes that start other processes, watch them, and start them again (OTP's `supervisor`).
//!
//! | File | Its one job |
//! |---|---|
//! | `spec` | what is supervised, and how |
//! | `strategy` | who is stopped and started when a child ends: a pure function |
//! | `intensity` | how often is too often: a pure window |
//! | `children` | the children, in the order of their start, found by id and by pid |
//! | `run` | the supervisor's process: a server |
//! | `leaving` | children that were asked to end |
//! | `tree` | the tree as it is |
//! | `control` | asking and changing a supervisor, from anywhere |
//!
//! # What must stay true
//! - **No child outlives its supervisor**, unless that is killed: children are linked to it, and it stops them before it ends.
//! - **No end is missed**: while a child is being stopped, the ends of others wait in the mailbox and are handled after. The
//!   end of a child that was stopped on purpose is not handled again.
//! - **Children start one after the other, in their order, and stop in the reverse order.**

mod children;
mod control;
mod intensity;
mod leaving;
mod run;
mod spec;
mod strategy;
#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests;
mod tree;

pub use control::{ChildInfo, ChildState, ControlError, Counts, Order, Outcome, Refused};
pub use run::Supervisor;
pub use spec::{ChildKind, ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec};
pub use tree::{Branch, Twig};
