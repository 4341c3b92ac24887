//! The attacks: one function each, bounded in count and time.
//!
//! An attacker that is disconnected comes back after [`PAUSE`], as a determined one would.

mod connects;
mod readers;
mod streams;
mod tokens;

pub use tokens::{BAD_SIGNATURE, UNKNOWN_KEYS};

use std::io;
use std::time::{Duration, Instant};

use super::attacker::Target;
use super::hostile::Body;
use crate::Outcome;

/// The pause of an attacker that was disconnected.
const PAUSE: Duration = Duration::from_millis(20);

macro_rules! attacks {
    ($($name:literal $variant:ident $body:ident $run:expr;)*) => {
        /// An attack; its name is the argument of the attacker's process.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Attack { $($variant,)* }

        impl Attack {
            /// Returns the attack with this name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// Returns its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns what its producer sends.
            pub fn body(self) -> Body {
                match self { $(Self::$variant => Body::$body,)* }
            }
        }

        /// Runs an attack to its end.
        pub fn run(attack: Attack, target: &Target) -> Outcome<()> {
            match attack { $(Attack::$variant => $run(target),)* }
        }
    };
}

attacks! {
    "resets" Resets Quiet streams::reset_without_window;
    "greeted" Greeted Greeting streams::hold_greeted;
    "comments" Comments Comments readers::read_one;
    "keys" Keys Quiet streams::reset_unreachable_keys;
    "subscriptions" Subscriptions Quiet streams::hold_many;
    "connects" Connects Quiet connects::connect_and_reset;
    "refusals" Refusals Quiet connects::be_refused;
    "names" Names Quiet streams::resolve_names;
    "trickle" Trickle Large readers::read_slowly;
    "bad-tokens" BadTokens Quiet tokens::show_bad_signatures;
    "key-ids" KeyIds Quiet tokens::show_unknown_keys;
    "idle" Idle Quiet connects::stay_silent;
    "opens" Opens Quiet streams::reset_new_keys;
    "backlogs" Backlogs Quiet readers::leave_backlogs;
    "store" Store Greeting streams::fill_store;
    "pipelines" Pipelines Quiet connects::leave_pipelines;
    "windows" Windows Quiet streams::hold_without_window;
}

/// Calls `attempt` until the time is up, with a pause after each.
fn again(target: &Target, mut attempt: impl FnMut() -> io::Result<()>) -> Outcome<()> {
    while Instant::now() < target.until {
        // Being refused or disconnected is the gateway's right.
        let _ = attempt();
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Keeps connections open until the time is up. One that `is_closed` is replaced, at most `replacements` times in all.
fn hold<C>(
    target: &Target,
    count: usize,
    mut replacements: usize,
    connect: impl Fn(usize) -> io::Result<C>,
    mut is_closed: impl FnMut(&mut C) -> bool,
) -> Outcome<()> {
    let mut held: Vec<Option<C>> = (0..count).map(|number| connect(number).ok()).collect();
    while Instant::now() < target.until {
        for (number, slot) in held.iter_mut().enumerate() {
            if slot.as_mut().is_none_or(&mut is_closed) && replacements > 0 && Instant::now() < target.until {
                replacements -= 1;
                *slot = connect(number).ok();
            }
        }
        std::thread::sleep(10 * PAUSE);
    }
    Ok(())
}
