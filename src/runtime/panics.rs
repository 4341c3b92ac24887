//! Containment of panics. Each panic is a defect of rillgate: it is counted, logged once with its context, and ends
//! only the work it happened in.
//!
//! Code that runs work for others (a task, a response, an access to the disk) watches that work. The innermost watcher
//! reports a panic, which then unwinds to the owner of the state that it broke. This file does not decide what happens
//! after that.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::fmt::{self, Display};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tracing::error;

/// Counts and logs panics. Cheap to clone.
#[derive(Clone)]
pub struct Panics(Arc<Reports>);

struct Reports {
    count: AtomicU64,
    observer: Box<dyn Fn(&'static str) + Send + Sync>,
}

/// The payload of a panic that has been reported and still unwinds.
struct Reported;

/// The message of a panic on another thread, on its way to the task that waits for that thread.
#[derive(Debug)]
pub struct RemotePanic(String);

impl Panics {
    /// Calls `observer` with the task's name, once for each panic.
    pub fn new(observer: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Reports { count: AtomicU64::new(0), observer: Box::new(observer) }))
    }

    /// Returns the number of panics so far.
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Runs a closure. Reports a panic, which then continues to unwind.
    pub fn watch<T>(&self, task: &'static str, doing: &dyn Display, run: impl FnOnce() -> T) -> T {
        catch_counted(run).unwrap_or_else(|panic| {
            self.report(task, doing, &*panic);
            resume_unwind(Box::new(Reported))
        })
    }

    /// Runs a closure. Reports a panic and returns `None`. The caller discards any state that the panic may have left
    /// half changed.
    pub fn catch<T>(&self, task: &'static str, doing: &dyn Display, run: impl FnOnce() -> T) -> Option<T> {
        catch_counted(run).inspect_err(|panic| self.report(task, doing, &**panic)).ok()
    }

    /// Watches a future as [`Self::watch`] does a closure, its drop after completion included.
    pub fn watched<F, D: Display>(&self, task: &'static str, doing: D, future: F) -> CaughtFuture<F, D> {
        CaughtFuture { future: Some(future), panics: self.clone(), task, doing }
    }

    fn report(&self, task: &'static str, doing: &dyn Display, panic: &(dyn Any + Send)) {
        if panic.is::<Reported>() {
            return;
        }
        self.0.count.fetch_add(1, Ordering::Relaxed);
        (self.0.observer)(task);
        let cause = cause(panic);
        error!(task, %doing, cause, "task panicked: a defect of rillgate, please report it");
    }
}

impl Default for Panics {
    /// Reports to no observer.
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panics").field(&self.count()).finish()
    }
}

/// A watched future, made by [`Panics::watched`].
pub struct CaughtFuture<F, D> {
    future: Option<F>,
    panics: Panics,
    task: &'static str,
    doing: D,
}

impl<F: Future + Unpin, D: Display + Unpin> Future for CaughtFuture<F, D> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, panics, task, doing } = self.get_mut();
        panics.watch(task, doing, || {
            let running = future.as_mut().expect("a future is not polled after completion");
            let output = ready!(Pin::new(running).poll(cx));
            // Its drop can panic as well.
            *future = None;
            Poll::Ready(output)
        })
    }
}

/// Runs a closure on behalf of another thread, which reports its panic.
///
/// # Errors
/// The closure panicked.
pub fn catch_remote<T>(run: impl FnOnce() -> T) -> Result<T, RemotePanic> {
    catch_counted(run).map_err(|panic| RemotePanic(cause(&*panic)))
}

impl RemotePanic {
    /// Continues the panic on this thread.
    pub fn resume(self) -> ! {
        resume_unwind(Box::new(self))
    }
}

thread_local! {
    /// The number of nested watchers on this thread.
    static WATCH_DEPTH: Cell<usize> = const { Cell::new(0) };
    /// The description of the last watched panic, until it is reported.
    static CAUSE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs a panic hook that keeps the description of watched panics for the log instead of writing it to standard
/// error. Call it once, in a process that rillgate owns.
pub fn install_hook() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| match WATCH_DEPTH.get() {
        0 => previous(info),
        _ => CAUSE.set(Some(describe(info))),
    }));
}

fn catch_counted<T>(run: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    WATCH_DEPTH.set(WATCH_DEPTH.get() + 1);
    let ran = catch_unwind(AssertUnwindSafe(run));
    WATCH_DEPTH.set(WATCH_DEPTH.get() - 1);
    ran
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = message(info.payload());
    let place = info.location().map_or_else(|| "an unknown location".to_owned(), ToString::to_string);
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        format!("panicked at {place}: {message}\n{backtrace}")
    } else {
        format!("panicked at {place}: {message}")
    }
}

fn cause(panic: &(dyn Any + Send)) -> String {
    match panic.downcast_ref::<RemotePanic>() {
        Some(RemotePanic(cause)) => cause.clone(),
        None => CAUSE.take().unwrap_or_else(|| format!("panicked: {}", message(panic))),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use parking_lot::Mutex;

    use super::*;

    fn noted() -> (Panics, Arc<Mutex<Vec<&'static str>>>) {
        let noted = Arc::new(Mutex::new(Vec::new()));
        let panics = Panics::new({
            let noted = noted.clone();
            move |task| noted.lock().push(task)
        });
        (panics, noted)
    }

    #[test]
    fn only_the_innermost_watcher_reports_a_panic() {
        let (panics, noted) = noted();

        let caught = panics.catch("outer", &"", || panics.watch("inner", &"", || panic!("for the test")));

        assert_eq!(caught, None::<()>);
        assert_eq!((panics.count(), noted.lock().as_slice()), (1, ["inner"].as_slice()));
        assert_eq!(panics.catch("outer", &"", || 7), Some(7));
    }

    #[tokio::test]
    async fn a_panic_in_a_futures_drop_is_reported() {
        struct Last;
        impl Drop for Last {
            fn drop(&mut self) {
                panic!("for the test");
            }
        }
        impl Future for Last {
            type Output = ();
            fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
                Poll::Ready(())
            }
        }
        let (panics, noted) = noted();

        let ended = AssertUnwindSafe(panics.watched("task", "ending", Last)).catch_unwind().await;

        assert!(ended.is_err_and(|panic| panic.is::<Reported>()));
        assert_eq!(noted.lock().as_slice(), ["task"]);
    }

    #[test]
    fn a_panic_on_another_thread_is_reported_with_its_message_by_the_waiting_thread() {
        let (panics, noted) = noted();
        let ran =
            std::thread::spawn(|| catch_remote::<()>(|| panic!("for the {}", "test"))).join().expect("it is caught");
        let elsewhere = ran.expect_err("it panicked");
        assert!(elsewhere.0.ends_with("for the test"), "{}", elsewhere.0);

        assert_eq!(panics.catch("task", &"", || elsewhere.resume()), None::<()>);

        assert_eq!(noted.lock().as_slice(), ["task"]);
    }
}
