//! The rules of processes, one file per rule set.
