//! Threads for long work, so that the threads which answer other clients stay free.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads that take jobs from one queue. Each is started when first needed, and ends when this value
/// is dropped.
///
/// There are few, and they live long, because the system's allocator keeps memory that a thread has freed for that
/// thread: each thread that ever worked on something large holds about as much memory forever.
pub(super) struct Workers {
    name: &'static str,
    most: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No job runs while the lock is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut queue = self.queue();
            let job = loop {
                if let Some(job) = queue.jobs.pop_front() {
                    break job;
                }
                if queue.closed {
                    return;
                }
                queue.idle += 1;
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            };
            drop(queue);
            // The end of its channel tells the waiting caller of a panic.
            drop(catch_unwind(AssertUnwindSafe(job)));
        }
    }
}

impl Workers {
    /// Creates up to `most` threads, at least one.
    pub(super) fn new(name: &'static str, most: usize) -> Self {
        Self { name, most: most.max(1), shared: Arc::default() }
    }

    /// Runs a job in its turn. A job whose caller no longer waits is not started.
    ///
    /// `None` where the job panicked, or no thread could be started.
    pub(super) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, result) = oneshot::channel();
        let job = Box::new(move || {
            if !done.is_closed() {
                drop(done.send(job()));
            }
        });
        self.submit(job);
        result.await.ok()
    }

    fn submit(&self, job: Job) {
        let mut queue = self.shared.queue();
        queue.jobs.push_back(job);
        if queue.jobs.len() > queue.idle && queue.threads < self.most {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name(self.name.to_owned());
            match thread.spawn(move || shared.work()) {
                Ok(_) => queue.threads += 1,
                Err(error) if queue.threads == 0 => {
                    tracing::error!(%error, "no thread can be started for a request");
                    queue.jobs.clear();
                }
                Err(_) => {}
            }
        }
        drop(queue);
        self.shared.changed.notify_one();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.closed = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.changed.notify_all();
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("name", &self.name).field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::mpsc;
    use std::thread::ThreadId;

    #[tokio::test]
    async fn jobs_share_a_bounded_number_of_threads() {
        let workers = Arc::new(Workers::new("test", 2));
        let jobs: Vec<_> = (0..20)
            .map(|_| {
                let workers = Arc::clone(&workers);
                tokio::spawn(async move { workers.run(|| std::thread::current().id()).await.unwrap() })
            })
            .collect();
        let mut threads: BTreeSet<String> = BTreeSet::new();
        for job in jobs {
            let id: ThreadId = job.await.unwrap();
            threads.insert(format!("{id:?}"));
        }
        assert!(threads.len() <= 2, "{threads:?}");
    }

    #[tokio::test]
    async fn panicked_job_does_not_stop_its_thread() {
        let workers = Workers::new("test", 1);
        assert_eq!(workers.run(|| -> u8 { std::panic::resume_unwind(Box::new("test")) }).await, None);
        assert_eq!(workers.run(|| 7).await, Some(7));
    }

    #[tokio::test]
    async fn abandoned_job_is_not_started() {
        let workers = Arc::new(Workers::new("test", 1));
        let (release, held) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.run(move || held.recv().is_ok()).await }
        });
        tokio::task::yield_now().await;
        let (begun, told) = mpsc::channel();
        {
            let mut second = Box::pin(workers.run(move || begun.send(()).is_ok()));
            let waited = tokio::time::timeout(std::time::Duration::from_millis(10), second.as_mut()).await;
            assert!(waited.is_err());
        }
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Some(true));
        assert_eq!(workers.run(|| 7).await, Some(7));
        assert!(told.try_recv().is_err());
    }
}
