//! Nodes over UDP on loopback, through the public API alone.
//!
//! Nothing here sleeps: tests wait for what they want to see, and a generous deadline only keeps a fault from hanging.

mod cluster {
    pub(crate) mod world;

    mod addresses;
    mod attach;
    mod calls;
    mod confirmed;
    mod conflict;
    mod delivery;
    mod detect;
    mod discovery;
    mod groups;
    mod life;
    mod members;
    mod metrics;
    mod names;
    mod restart;
    mod send;
    mod spawn;
    mod spin;
    mod starved;
    mod supervise;
    mod unique;
    mod watch;
}
