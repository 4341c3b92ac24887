//! The time for which a stream stands still after its owner was killed, as a client of another gateway sees it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gateways::Gateways;
use crate::Outcome;
use crate::control::Instruction;
use crate::report::rounded;

/// Kills the owner of one stream again and again.
pub fn measure(gateways: &mut Gateways, lease: Duration, kills: usize) -> Outcome<Value> {
    gateways.send(Instruction::Rate(100.0))?;
    let mut times = Vec::new();
    for _ in 0..kills {
        // A gateway that was just started follows the stream only while somebody reads it there.
        let readers = (0..gateways.count()).map(|index| read(gateways, index)).collect::<Outcome<Vec<_>>>()?;
        let owner = wait_for_owner(gateways)?;
        let reader = &readers[(owner + 1) % readers.len()];
        reader.recv_timeout(Duration::from_secs(20))?;
        let killed = Instant::now();
        gateways.kill(owner)?;
        times.push(first_after_silence(reader, killed, lease)?.as_secs_f64());
        gateways.restart(owner)?;
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| rounded(times[((times.len() - 1) as f64 * part).round() as usize]);
    let all: Vec<_> = times.iter().copied().map(rounded).collect();
    Ok(json!({ "lease_seconds": lease.as_secs(), "kills": kills, "p50_seconds": at(0.5), "p99_seconds": at(0.99),
        "seconds": all }))
}

fn wait_for_owner(gateways: &Gateways) -> Outcome<usize> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(owner) = gateways.owner() {
            return Ok(owner);
        }
        if Instant::now() > until {
            return Err("nobody owns the stream".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the time from the kill until the first event after a silence of at least half a lease.
fn first_after_silence(reader: &Receiver<Instant>, killed: Instant, lease: Duration) -> Outcome<Duration> {
    let mut last = killed;
    loop {
        let arrived = reader.recv_timeout(lease * 5 + Duration::from_secs(30)).map_err(|_| "no event after a kill")?;
        if arrived > killed && arrived.duration_since(last) >= lease / 2 {
            return Ok(arrived.duration_since(killed));
        }
        last = last.max(arrived);
    }
}

/// Reads the first stream at a gateway. Yields the time at which each piece with an event arrived.
fn read(gateways: &Gateways, index: usize) -> Outcome<Receiver<Instant>> {
    let client_settings = gateways.client_settings(index);
    let mut socket = TcpStream::connect(client_settings.to)?;
    let mut request = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n", client_settings.paths[0]);
    for (name, value) in &client_settings.fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    socket.write_all((request + "\r\n").as_bytes())?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut piece = [0; 65536];
        // Ends with the gateway, or when nobody listens any more.
        while let Ok(count) = socket.read(&mut piece)
            && count > 0
        {
            let is_event = memchr::memmem::find(&piece[..count], b"data:").is_some();
            if is_event && sender.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
