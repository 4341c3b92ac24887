//! The one source of randomness for everything that is spread over time: delays, drains, reconnection times.
//!
//! Pure code takes the number as an argument and does not call this.

/// Returns a random number, uniform in `0.0..1.0`.
pub fn unit() -> f64 {
    let random = getrandom::u32().expect("the system provides random numbers");
    f64::from(random) / (f64::from(u32::MAX) + 1.0)
}
