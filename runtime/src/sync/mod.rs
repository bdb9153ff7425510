//! The primitives that the hand-written concurrency is built of. With the feature `model` they are a model checker's, which
//! tries out how threads may interleave (`models`); what each does is the same.

#[cfg(feature = "model")]
mod model;

#[cfg(not(feature = "model"))]
pub(crate) use std::hint::spin_loop;
#[cfg(not(feature = "model"))]
pub(crate) use std::sync::atomic;
#[cfg(not(feature = "model"))]
pub(crate) use std::thread_local;

#[cfg(feature = "model")]
pub(crate) use model::{Mutex, MutexGuard, RwLock, atomic, spin_loop, thread_local};
#[cfg(not(feature = "model"))]
pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
