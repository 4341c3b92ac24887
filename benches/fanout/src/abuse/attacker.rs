//! The process of an attacker: the harness's side, which starts it and reads its account, and its own.
//!
//! The process is of the lowest priority beside the honest clients, so that its own work is not taken for the gateway's.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::attack::{self, Attack};
use super::{hostile, wire};
use crate::Outcome;

/// The addresses under attack.
#[derive(Clone, Debug)]
pub struct Target {
    pub http1: SocketAddr,
    pub http2: SocketAddr,
    pub admin: SocketAddr,
    /// The folder with the tokens that an attack may show.
    pub folder: PathBuf,
    pub until: Instant,
}

/// The account of an attack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// Bytes that its clients sent.
    pub sent: u64,
    /// Bytes that its producer sent.
    pub produced: u64,
    /// Requests to its producer.
    pub requests: u64,
}

/// An attacker that runs.
pub struct Attacker {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
    /// The port of its producer.
    pub port: u16,
}

impl Attacker {
    /// Starts the process and its producer; the attack waits for [`Self::begin`].
    pub fn start(attack: &str, folder: &Path) -> Outcome<Self> {
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(std::env::current_exe()?).args(["attacker", attack]).arg(folder);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("an attacker without output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let port = line.trim().parse().map_err(|_| "an attacker that did not start")?;
        Ok(Self { child, output: Some(output), port })
    }

    /// Attacks for this long. The account comes when it has ended.
    pub fn begin(
        &mut self,
        [http1, http2, admin]: [SocketAddr; 3],
        duration: Duration,
    ) -> Outcome<std::thread::JoinHandle<Option<Account>>> {
        let mut input = self.child.stdin.take().ok_or("an attacker begins once")?;
        writeln!(input, "{http1} {http2} {admin} {}", duration.as_secs_f64())?;
        let mut output = self.output.take().ok_or("an attacker begins once")?;
        Ok(std::thread::spawn(move || {
            let mut line = String::new();
            output.read_line(&mut line).ok()?;
            // The process runs until its input ends.
            drop(input);
            let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
            Some(Account { sent: numbers.next()?, produced: numbers.next()?, requests: numbers.next()? })
        }))
    }

    /// Ends the process at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The process itself: `attacker NAME FOLDER`.
pub fn run(arguments: &[String]) -> Outcome<()> {
    let [name, folder] = arguments else { return Err("attacker NAME FOLDER".into()) };
    let attack = Attack::named(name).ok_or("an attack that is not known")?;
    println!("{}", hostile::serve(attack.body())?);
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let words: Vec<_> = line.split_whitespace().collect();
    let [http1, http2, admin, seconds] = words.as_slice() else { return Ok(()) };
    let target = Target {
        http1: http1.parse()?,
        http2: http2.parse()?,
        admin: admin.parse()?,
        folder: folder.into(),
        until: Instant::now() + Duration::from_secs_f64(seconds.parse()?),
    };
    attack::run(attack, &target)?;
    println!("{} {} {}", wire::sent(), hostile::sent(), hostile::requests());
    // All connections end with the process.
    Ok(())
}
