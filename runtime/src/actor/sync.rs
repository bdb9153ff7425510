//! The primitives that the hand-written concurrency is built of, so that a model checker can put its own in their
//! place.

pub(crate) use std::sync::atomic;

pub(crate) use parking_lot::{Mutex, MutexGuard};
