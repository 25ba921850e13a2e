//! Threads for blocking disk access, so that no executor blocks.

use super::super::oneshot::{OneshotReceiver, oneshot};
use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
pub(super) struct Threads {
    jobs: Option<Sender<Job>>,
    all: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn start(count: NonZeroUsize) -> io::Result<Self> {
        let (jobs, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let start = |_| {
            let waiting = Arc::clone(&waiting);
            Builder::new().name("blob-files".into()).spawn(move || serve(&waiting))
        };
        let all = (0..count.get()).map(start).collect::<io::Result<_>>()?;
        Ok(Self { jobs: Some(jobs), all })
    }

    /// Runs the work on one of the threads, whether or not anyone waits for the answer.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> OneshotReceiver<T> {
        let (answer, awaited) = oneshot();
        if let Some(jobs) = &self.jobs {
            // Without a running thread, the answer is dropped with the job.
            drop(jobs.send(Box::new(move || answer.give(work()))));
        }
        awaited
    }
}

fn serve(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // Work in progress is finished, and then the folder is unlocked. No job holds the threads themselves.
        self.all.drain(..).for_each(|thread| drop(thread.join()));
    }
}
