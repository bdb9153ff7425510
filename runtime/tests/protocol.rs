//! The protocol between nodes, with real certificates, in virtual time and without sockets.
//!
//! Each test builds a tiny world of engines, acts, lets virtual time pass, and looks. Loss and jitter come from a seed,
//! which every failure names.

mod protocol {
    pub(crate) mod world;

    mod acked;
    mod calls;
    mod chaos;
    mod confirmed;
    mod delivery;
    mod detection;
    mod formation;
    mod groups;
    mod healing;
    mod lanes;
    mod leaving;
    mod links;
    mod loss;
    mod names;
    mod restart;
    mod scale;
    mod tail;
    mod trust;
    mod unordered;
}
