//! The one source of randomness for what is spread out in time: delays, departures, reconnection times.
//!
//! Pure code takes the number as an argument and does not ask here.

/// Uniform in `0.0..1.0`.
pub fn unit() -> f64 {
    let random = getrandom::u32().expect("the system has random numbers");
    f64::from(random) / (f64::from(u32::MAX) + 1.0)
}
