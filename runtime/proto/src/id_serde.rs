//! Identities and exit reasons inside of a program's own messages: text where people read it, numbers where not.
//!
//! A pid in a message means the same process on every node.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{Incarnation, Name, NodeName, Pid, Reference};
use crate::reason::ExitReason;

impl Serialize for Pid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.incarnation().raw(), self.serial()).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Pid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            let (incarnation, serial) = <(u64, u64)>::deserialize(deserializer)?;
            Ok(Self::new(Incarnation::from_raw(incarnation), serial))
        }
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::from_raw)
    }
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.as_str().serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    )*};
}

text!(Name, NodeName);

/// An exit reason as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename = "ExitReason")]
enum Reason {
    Normal,
    Killed,
    Shutdown,
    NoConnection,
    NoProc,
    Panic(String),
    Custom(Vec<u8>),
}

impl Serialize for ExitReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reason = match self {
            Self::Normal => Reason::Normal,
            Self::Killed => Reason::Killed,
            Self::Shutdown => Reason::Shutdown,
            Self::NoConnection => Reason::NoConnection,
            Self::NoProc => Reason::NoProc,
            Self::Panic(text) => Reason::Panic(text.to_string()),
            Self::Custom(payload) => Reason::Custom(payload.to_vec()),
        };
        reason.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ExitReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Reason::deserialize(deserializer)? {
            Reason::Normal => Self::Normal,
            Reason::Killed => Self::Killed,
            Reason::Shutdown => Self::Shutdown,
            Reason::NoConnection => Self::NoConnection,
            Reason::NoProc => Self::NoProc,
            Reason::Panic(text) => Self::Panic(text.into()),
            Reason::Custom(payload) => Self::Custom(payload.into()),
        })
    }
}
