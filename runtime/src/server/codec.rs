//! How messages are encoded when they leave the node.

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Why a message could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct CodecError(String);

impl CodecError {
    /// An error of a codec of the application's own, as it tells it.
    pub fn new(error: impl ToString) -> Self {
        Self(error.to_string())
    }
}

/// The default: postcard.
pub(super) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    postcard::to_allocvec(message).map_err(CodecError::new)
}

/// Refuses bytes that are left over: they mean that the two sides do not agree about the type.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok((_, left)) => Err(CodecError(format!("{} bytes are left over", left.len()))),
        Err(error) => Err(CodecError::new(error)),
    }
}

/// A part of a message that cannot leave its node, as a channel or a closure: encoding it is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalOnly<T>(pub T);

impl<T> Serialize for LocalOnly<T> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom(STAYS))
    }
}

impl<'de, T> Deserialize<'de> for LocalOnly<T> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(STAYS))
    }
}

const STAYS: &str = "a part of the message cannot leave its node";
