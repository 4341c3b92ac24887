//! Tickets and revocations of several gateways, with a real engine: each gateway has a connection of its own.

mod clock_skew;
mod fixture;
mod gateways;
mod revocations;
mod tickets;
