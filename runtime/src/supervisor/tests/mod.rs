//! What a supervisor promises. The restart cases are those of OTP's `supervisor_SUITE`, in our words; times are virtual.

mod control;
mod restarts;
mod shutdown;
mod tree;
mod world;
