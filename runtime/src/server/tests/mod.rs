//! What a server promises, on one node. Across nodes: `runtime/tests/cluster/calls.rs`.

mod calls;
mod life;
mod world;
