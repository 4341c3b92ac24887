//! Attacks by readers: of a hostile producer, or slower than the events.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::{Target, again, hold};
use crate::Outcome;
use crate::abuse::wire::Wire;

/// Reads one stream of the attacker's producer.
pub fn read_one(target: &Target) -> Outcome<()> {
    again(target, || {
        let mut wire = Wire::connect(target.http1, 1, None)?;
        wire.send(b"GET /open/a HTTP/1.1\r\nhost: x\r\n\r\n")?;
        let mut part = [0; 64 * 1024];
        while Instant::now() < target.until {
            match wire.read(&mut part) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                read => drop(read?),
            }
        }
        Ok(())
    })
}

/// Subscribes 250 times within five seconds to events of 1 MB, and takes 64 bytes of each response per second.
pub fn read_slowly(target: &Target) -> Outcome<()> {
    let mut readers: Vec<Wire> = Vec::new();
    let mut last = Instant::now();
    while Instant::now() < target.until {
        if readers.len() < 250 {
            let mut wire = Wire::connect(target.http1, (readers.len() % 10 + 1) as u16, Some(4096))?;
            if wire.send(b"GET /open/a HTTP/1.1\r\nhost: x\r\n\r\n").is_ok() {
                readers.push(wire);
            }
        }
        if last.elapsed() > Duration::from_secs(1) {
            last = Instant::now();
            readers.retain(|wire| !wire.read_now(&mut [0; 64]));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Asks for the past after 16 different ids and reads nothing of it.
pub fn leave_backlogs(target: &Target) -> Outcome<()> {
    let ids = RefCell::new(0);
    let connect = |_| {
        *ids.borrow_mut() += 1;
        let mut wire = Wire::connect(target.http1, 1, Some(2048))?;
        let id = ids.borrow();
        wire.send(format!("GET /past/a HTTP/1.1\r\nhost: x\r\nlast-event-id: {id}\r\n\r\n").as_bytes())?;
        Ok(wire)
    };
    hold(target, 16, 64, connect, |wire| wire.is_closed())
}
