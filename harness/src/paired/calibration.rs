//! What the machine can do without us: raw quinn ping-pong on one bidirectional stream, and raw UDP ping-pong.
//!
//! Two threads with a single-threaded runtime each, on a core of their own, as the nodes of the gate's scenario have. When these times move as
//! ours do, quinn or the machine got slower; when they stay, we did.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use quinn::{ClientConfig, Endpoint, ServerConfig};
use regatta::Identity;
use regatta::cluster::tls::TlsConfigs;
use rustls::time_provider::DefaultTimeProvider;
use schemars::JsonSchema;
use serde::Serialize;

use crate::gate::shift::median;
use crate::world::pin;

/// Median round trips, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct Calibration {
    /// Raw quinn, one stream.
    pub quinn_p50_us: f64,
    /// Raw UDP, blocking.
    pub udp_p50_us: f64,
}

/// Bytes of each message.
const PAYLOAD: [u8; 64] = [7; 64];

/// Measures both, for `time` each.
///
/// # Errors
/// What a socket, quinn or TLS said, in words: a machine where this fails measures nothing.
pub fn calibrate(time: Duration) -> Result<Calibration, String> {
    let both = move || {
        keep_on_core_of(NEAR)?;
        let udp_p50_us = udp(time).map_err(|error| error.to_string())?;
        Ok(Calibration { quinn_p50_us: quinn(time)?, udp_p50_us })
    };
    // A thread of its own: what the caller starts later is not to stay on one core.
    thread::spawn(both).join().unwrap_or_else(|_| Err("the calibration panicked".to_owned()))
}

fn keep_on_core_of(place: usize) -> Result<(), String> {
    pin::to_core_of(place).map_err(|error| format!("a thread cannot be kept on one core: {error}"))
}

/// The places of both ends.
const NEAR: usize = 0;
const FAR: usize = 1;

fn udp(time: Duration) -> std::io::Result<f64> {
    let (near, far) = (UdpSocket::bind(LOOPBACK)?, UdpSocket::bind(LOOPBACK)?);
    near.connect(far.local_addr()?)?;
    far.connect(near.local_addr()?)?;
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(WITHIN))?;
    }
    let echo = thread::spawn(move || -> std::io::Result<()> {
        pin::to_core_of(FAR)?;
        let mut buffer = PAYLOAD;
        // An empty datagram is the end.
        while far.recv(&mut buffer)? > 0 {
            far.send(&buffer)?;
        }
        Ok(())
    });
    let (mut times, mut buffer) = (Vec::new(), PAYLOAD);
    let begun = Instant::now();
    while begun.elapsed() < time {
        let sent = Instant::now();
        near.send(&PAYLOAD)?;
        near.recv(&mut buffer)?;
        times.push(sent.elapsed().as_nanos() as f64 / 1e3);
    }
    near.send(&[])?;
    // It ends with the empty datagram; what it says then is told by our own calls.
    let _ = echo.join();
    Ok(median(&times).unwrap_or(0.0))
}

fn quinn(time: Duration) -> Result<f64, String> {
    let identity = Identity::generate().map_err(|error| error.to_string())?;
    let tls = TlsConfigs::new(&identity, Arc::new(DefaultTimeProvider)).map_err(|error| error.to_string())?;
    let (client, server_name) = (ClientConfig::new(tls.client.clone()), tls.server_name.clone());
    let server_config = ServerConfig::with_crypto(tls.server);
    let (tell, told) = std::sync::mpsc::channel();
    let server = thread::spawn(move || -> Result<(), String> {
        keep_on_core_of(FAR)?;
        runtime()?.block_on(async move {
            let endpoint = Endpoint::server(server_config, LOOPBACK).map_err(|error| error.to_string())?;
            let addr = endpoint.local_addr().map_err(|error| error.to_string())?;
            // The other thread waits for it, or is gone.
            let _ = tell.send(addr);
            let incoming = endpoint.accept().await.ok_or("no connection came")?;
            let connection = incoming.await.map_err(|error| error.to_string())?;
            let (mut send, mut receive) = connection.accept_bi().await.map_err(|error| error.to_string())?;
            let mut buffer = PAYLOAD;
            while receive.read_exact(&mut buffer).await.is_ok() {
                send.write_all(&buffer).await.map_err(|error| error.to_string())?;
            }
            connection.closed().await;
            Ok(())
        })
    });
    let addr: SocketAddr = told.recv_timeout(WITHIN).map_err(|_| "raw quinn did not start".to_owned())?;
    let times = runtime()?.block_on(async move {
        let endpoint = Endpoint::client(LOOPBACK).map_err(|error| error.to_string())?;
        let connecting =
            endpoint.connect_with(client, addr, &server_name).map_err(|error| error.to_string())?;
        let connection = connecting.await.map_err(|error| error.to_string())?;
        let (mut send, mut receive) = connection.open_bi().await.map_err(|error| error.to_string())?;
        let (mut times, mut buffer) = (Vec::new(), PAYLOAD);
        let begun = Instant::now();
        while begun.elapsed() < time {
            let sent = Instant::now();
            send.write_all(&PAYLOAD).await.map_err(|error| error.to_string())?;
            receive.read_exact(&mut buffer).await.map_err(|error| error.to_string())?;
            times.push(sent.elapsed().as_nanos() as f64 / 1e3);
        }
        connection.close(0u32.into(), b"");
        endpoint.wait_idle().await;
        Ok::<_, String>(times)
    })?;
    server.join().map_err(|_| "raw quinn panicked".to_owned())??;
    Ok(median(&times).unwrap_or(0.0))
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How long a single answer may take.
const WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_answer_and_times_are_taken() {
        let calibration = calibrate(Duration::from_millis(20)).expect("loopback works");
        assert!(calibration.quinn_p50_us > 0.0 && calibration.udp_p50_us > 0.0, "{calibration:?}");
    }
}
