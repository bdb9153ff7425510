//! Callers: who is let in, who must prove its address first, and who is turned away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::Incoming;

use super::Engine;
use super::link::{Phase, Side};
use crate::host::{Event, Host};
use crate::transport;

impl Engine {
    /// Somebody dials: accept, ask for proof of the address, or turn away.
    pub(super) fn incoming(&mut self, now: Instant, incoming: Incoming, host: &mut impl Host) {
        let addr = incoming.remote_address();
        let (mut all, mut same_address) = (0, 0);
        for link in self.links.iter().flatten() {
            if link.side == Side::Acceptor && link.phase < Phase::Live {
                all += 1;
                same_address += usize::from(link.addr.ip() == addr.ip());
            }
        }
        let limits = &self.limits;
        let mut response = Vec::new();
        if !incoming.remote_address_validated()
            && (all >= limits.half_open_retry || same_address >= limits.half_open_retry_per_address)
            && incoming.may_retry()
        {
            if let Ok(transmit) = self.endpoint.retry(incoming, &mut response) {
                self.stray.push_back((transmit, response));
            }
            return;
        }
        if all >= limits.half_open_max || same_address >= limits.half_open_max_per_address {
            let transmit = self.endpoint.refuse(incoming, &mut response);
            self.stray.push_back((transmit, response));
            return self.rejected(addr, "too many half-open links".to_owned(), host);
        }
        let (transport, witness) = transport::config(&self.limits, now);
        let mut server = self.server.clone();
        server.transport_config(transport);
        match self.endpoint.accept(incoming, now, &mut response, Some(Arc::new(server))) {
            Ok((handle, connection)) => {
                self.add(now, handle, (connection, witness), addr, Side::Acceptor);
            }
            Err(error) => {
                self.stray.extend(error.response.map(|transmit| (transmit, response)));
                self.rejected(addr, error.cause.to_string(), host);
            }
        }
    }

    pub(super) fn rejected(&mut self, addr: SocketAddr, detail: String, host: &mut impl Host) {
        self.stats.handshakes_refused += 1;
        host.event(Event::Rejected { addr, detail });
    }
}
