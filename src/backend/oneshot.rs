//! A oneshot channel from a thread to a future, independent of any runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

enum State<T> {
    Waiting(Option<Waker>),
    Given(T),
    /// The answer was taken, or the thread ended without one.
    Over,
}

/// Locks even after a panic: no code of the caller runs under the lock.
fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sending end, on a thread. Dropping it without an answer resolves the future with `None`.
pub(super) struct OneshotSender<T>(Arc<Mutex<State<T>>>);

/// The receiving end, a future.
pub(super) struct OneshotReceiver<T>(Arc<Mutex<State<T>>>);

pub(super) fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    let state = Arc::new(Mutex::new(State::Waiting(None)));
    (OneshotSender(Arc::clone(&state)), OneshotReceiver(state))
}

impl<T> OneshotSender<T> {
    pub(super) fn give(self, value: T) {
        self.put(State::Given(value));
    }

    fn put(&self, next: State<T>) {
        let mut state = lock(&self.0);
        if let State::Waiting(waker) = &mut *state {
            let waker = waker.take();
            *state = next;
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for OneshotSender<T> {
    fn drop(&mut self) {
        self.put(State::Over);
    }
}

impl<T> Future for OneshotReceiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        if let State::Waiting(waker) = &mut *state {
            match waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        match std::mem::replace(&mut *state, State::Over) {
            State::Given(value) => Poll::Ready(Some(value)),
            _ => Poll::Ready(None),
        }
    }
}
