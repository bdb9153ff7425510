//! What spans several links: who belongs to the cluster, who is linked with whom, names, links and monitors across nodes, and calls.

pub(crate) mod calls;
pub(crate) mod confirmed;
pub(crate) mod detector;
pub(crate) mod evidence;
pub(crate) mod health;
pub(crate) mod members;
pub(crate) mod mesh;
pub(crate) mod names;
pub(crate) mod redial;
pub(crate) mod view;
pub(crate) mod watch;
