//! An upstream of another kind: files of `text/event-stream` that are followed as `tail -F` does.
//!
//! The contents of a file are its backlog. An id is in them or is not, so the source always knows whether the stream
//! continues after it. A file that shrinks or is replaced ends its connection. The next one begins with the new file.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use rillgate::runtime::backoff::Backoff;
use rillgate::runtime::connect_budget::ConnectBudget;
use rillgate::runtime::workers::blocking;
use rillgate::sse::{EventId, Item, Parser};
use rillgate::stream::{
    Batch, Continuity, EventSource, Interrupted, OpenError, OpenOutcome, Opened, SourceAnswer, SourceRequest, Upstream,
    UpstreamTiming,
};
use tokio::time::sleep;

/// The time between two looks at a file.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Most bytes of a file that are its backlog. Of a longer file it is the end.
const MAX_BACKLOG: u64 = 1024 * 1024;

/// Most bytes of one event.
const MAX_EVENT: usize = 64 * 1024;

/// Most bytes of one read.
const MAX_READ: u64 = 16 * 1024;

/// A folder of event streams: the path of a request is the name of a file in it.
#[derive(Debug)]
pub struct FileUpstream {
    pub folder: PathBuf,
}

struct FollowedFile {
    path: PathBuf,
}

/// The position in an open file.
struct Follower {
    path: PathBuf,
    file: File,
    inode: u64,
    position: u64,
    parser: Parser,
}

impl Upstream for FileUpstream {
    fn name(&self) -> &str {
        "files"
    }

    fn timing(&self) -> UpstreamTiming {
        let backoff = Backoff { initial: Duration::from_millis(10), max: Duration::from_millis(100) };
        UpstreamTiming { open_timeout: Duration::from_secs(5), backoff }
    }

    fn identity(&self) -> [u8; 32] {
        // One folder for each gateway of these tests.
        [1; 32]
    }

    fn credentials(&self) -> [u8; 32] {
        [0; 32]
    }

    fn can_resume_after(&self, _: &EventId) -> bool {
        true
    }

    fn source(self: Arc<Self>, request: &Arc<SourceRequest>, _: &ConnectBudget) -> Arc<dyn EventSource> {
        Arc::new(FollowedFile { path: self.folder.join(request.path.trim_start_matches('/')) })
    }
}

impl EventSource for FollowedFile {
    fn open(&self, after: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        let path = self.path.clone();
        blocking(move || open(&path, after.as_ref())).boxed()
    }
}

fn open(path: &Path, after: Option<&EventId>) -> Result<OpenOutcome, OpenError> {
    if path.is_dir() {
        // As a server of files does, which has a listing for it.
        let content_type = Some("application/json".to_owned());
        return Ok(OpenOutcome::Answer(SourceAnswer { status: 200, content_type, retry_after: None, content: None }));
    }
    let (follower, mut retained) = Follower::open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            OpenError::NotFound(format!("there is no file {}", path.display()))
        } else {
            OpenError::Unreachable(format!("cannot read {}: {error}", path.display()))
        }
    })?;
    let is_after = |item: &Item| match item {
        Item::Event(event) => event.id.as_ref() == after,
        Item::Id(id) | Item::Skipped(Some(id)) => Some(id) == after,
        Item::Skipped(None) | Item::Retry(_) | Item::Comment(_) => false,
    };
    let continuity = match after.map(|_| retained.iter().rposition(is_after)) {
        Some(Some(found)) => {
            retained.drain(..=found);
            Continuity::Continued
        }
        Some(None) => Continuity::Gap,
        None => Continuity::Unknown,
    };
    let items = stream::unfold(Some(follower), |follower| async {
        let (batch, follower) = follower?.next().await;
        Some((batch, follower))
    });
    Ok(OpenOutcome::Stream(Opened { retained, items: items.boxed(), continuity }))
}

impl Follower {
    /// Opens a file and reads its backlog.
    fn open(path: &Path) -> io::Result<(Self, Vec<Item>)> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let start = metadata.len().saturating_sub(MAX_BACKLOG);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_BACKLOG).read_to_end(&mut bytes)?;
        let position = start + bytes.len() as u64;
        // In the middle of a file, events begin after an empty line.
        let cut = if start == 0 { Some(0) } else { bytes.windows(2).position(|two| two == b"\n\n").map(|at| at + 2) };
        let (mut parser, mut items) = (Parser::new(MAX_EVENT), Vec::new());
        parser.push(&bytes[cut.unwrap_or(bytes.len())..], &mut items);
        Ok((Self { path: path.to_owned(), file, inode: metadata.ino(), position, parser }, items))
    }

    /// Waits until the file has more. Returns itself unless the file is no longer the one that was opened.
    async fn next(self) -> (Result<Batch, Interrupted>, Option<Self>) {
        let mut follower = self;
        loop {
            let read = blocking(move || {
                let batch = follower.read();
                (batch, follower)
            });
            let (batch, same) = read.await;
            match batch {
                Ok(Some(batch)) => return (Ok(batch), Some(same)),
                Ok(None) => follower = same,
                Err(error) => return (Err(Interrupted::Broken(error.to_string())), None),
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn read(&mut self) -> io::Result<Option<Batch>> {
        let found = fs::metadata(&self.path)?;
        if found.ino() != self.inode || found.len() < self.position {
            return Err(io::Error::other("the file was replaced or truncated"));
        }
        let mut bytes = Vec::new();
        self.file.by_ref().take(MAX_READ).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.position += bytes.len() as u64;
        let mut batch = Batch { items: Vec::new(), bytes: bytes.len(), ..Batch::default() };
        self.parser.push(&bytes, &mut batch.items);
        Ok(Some(batch))
    }
}
