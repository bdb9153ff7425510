//! Where a server is.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use regatta_proto::id::{Name, NodeName, ParseIdError, Pid};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Server;

/// Where a server of type `S` is: by pid, or by a name that is looked up at each call.
///
/// It can be cloned, compared, and sent in messages. Whoever makes one by pid or name vouches for the type: to a server of
/// another type on this node a call is [`NoServer`](super::CallError::NoServer); on another node it is decoded as a request of
/// that server's type, or refused ([`BadRequest`](super::CallError::BadRequest)).
pub struct ServerRef<S> {
    place: ServerPlace,
    kind: PhantomData<fn() -> S>,
}

/// How a server is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ServerPlace {
    /// By its pid, wherever it lives.
    Pid(Pid),
    /// By a name of the runtime that makes the call. In a message to another node it means that node's.
    Local(Name),
    /// By a local name of a node, which may be the caller's own.
    Node(NodeName, Name),
    /// By a global name.
    Global(Name),
}

impl<S: Server> ServerRef<S> {
    /// The server that is this process.
    #[must_use]
    pub const fn pid(pid: Pid) -> Self {
        Self::at(ServerPlace::Pid(pid))
    }

    /// Whoever holds the name in the caller's runtime.
    ///
    /// # Errors
    /// The text is no name.
    pub fn named(name: impl AsRef<str>) -> Result<Self, ParseIdError> {
        Ok(Self::at(ServerPlace::Local(Name::new(name)?)))
    }

    /// Whoever holds the local name on a node.
    ///
    /// # Errors
    /// One of the texts is no name.
    pub fn on(node: impl AsRef<str>, name: impl AsRef<str>) -> Result<Self, ParseIdError> {
        Ok(Self::at(ServerPlace::Node(NodeName::new(node)?, Name::new(name)?)))
    }

    /// Whoever holds the global name, as the caller's node sees it.
    ///
    /// # Errors
    /// The text is no name.
    pub fn global(name: impl AsRef<str>) -> Result<Self, ParseIdError> {
        Ok(Self::at(ServerPlace::Global(Name::new(name)?)))
    }

    /// The server at this place.
    #[must_use]
    pub const fn at(place: ServerPlace) -> Self {
        Self { place, kind: PhantomData }
    }

    /// The place.
    #[must_use]
    pub const fn place(&self) -> &ServerPlace {
        &self.place
    }

    /// The process, if it is known by its pid.
    #[must_use]
    pub const fn to_pid(&self) -> Option<Pid> {
        if let ServerPlace::Pid(pid) = self.place { Some(pid) } else { None }
    }
}

impl<S> Clone for ServerRef<S> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), kind: PhantomData }
    }
}

impl<S> PartialEq for ServerRef<S> {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl<S> Eq for ServerRef<S> {}

impl<S> Hash for ServerRef<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place.hash(state);
    }
}

impl<S> fmt::Debug for ServerRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerRef").field(&self.place).finish()
    }
}

impl<S> Serialize for ServerRef<S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        self.place.serialize(serializer)
    }
}

impl<'de, S> Deserialize<'de> for ServerRef<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { place: ServerPlace::deserialize(deserializer)?, kind: PhantomData })
    }
}
