//! Messages that are sent in another way than the ordered one. To a process of this runtime there is one way only.

use std::time::Duration;

use bytes::Bytes;
use regatta_proto::id::Pid;

use super::error::{AckError, SendError};
use super::remote::Way;
use super::runtime::Runtime;

impl Runtime {
    pub(crate) async fn send_unordered_from(
        &self,
        from: u64,
        to: Pid,
        payload: Bytes,
    ) -> Result<(), SendError> {
        if self.is_here(to) {
            return self.send_to(to.serial(), payload);
        }
        let remote = self.remote().ok_or(SendError::NoConnection)?;
        loop {
            match remote.message(from, to, payload.clone(), Way::Unordered) {
                Err(SendError::Busy) => remote.ready(to).await,
                sent => return sent,
            }
        }
    }

    pub(crate) fn send_datagram_from(&self, from: u64, to: Pid, payload: Bytes) -> Result<(), SendError> {
        if self.is_here(to) {
            return self.send_to(to.serial(), payload);
        }
        self.remote().ok_or(SendError::NoConnection)?.message(from, to, payload, Way::Datagram)
    }

    pub(crate) async fn send_acked_from(
        &self,
        from: u64,
        to: Pid,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<(), AckError> {
        if self.is_here(to) {
            return self.send_to(to.serial(), payload).map_err(|error| match error {
                SendError::NoProc => AckError::NoProc,
                SendError::MailboxFull => AckError::MailboxFull,
                error => AckError::NotSent(error),
            });
        }
        let remote = self.remote().ok_or(SendError::NoConnection)?;
        remote.acked(from, to, payload, timeout).await
    }
}
