//! An async mutex, independent of a runtime.
//!
//! Written by hand: the default build has no runtime with a mutex, and `async-lock` would add `event-listener` and its
//! dependencies for these 60 lines.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A mutex whose guard may be held across await points.
#[derive(Debug)]
pub(super) struct AsyncMutex<T>(Mutex<Place<T>>);

#[derive(Debug)]
struct Place<T> {
    /// `None` while the mutex is locked.
    value: Option<T>,
    waiting: Vec<Waker>,
}

impl<T: Default> Default for AsyncMutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> AsyncMutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Mutex::new(Place { value: Some(value), waiting: Vec::new() }))
    }

    /// Waits for the lock. Dropping the future ends the wait.
    pub(super) async fn take(&self) -> Held<'_, T> {
        poll_fn(|cx| self.poll_take(cx)).await
    }

    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Held<'_, T>> {
        let mut place = self.place();
        match place.value.take() {
            Some(value) => Poll::Ready(Held { turn: self, value: Some(value) }),
            None => {
                if !place.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    place.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Waits for the lock, or until it is no longer needed: `None` then.
    pub(super) async fn take_unless(&self, is_needless: impl Fn() -> bool) -> Option<Held<'_, T>> {
        poll_fn(|cx| if is_needless() { Poll::Ready(None) } else { self.poll_take(cx).map(Some) }).await
    }

    fn place(&self) -> MutexGuard<'_, Place<T>> {
        // Nothing panics while the inner lock is held: waiting tasks are woken afterwards.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The guard: unlocks on drop.
pub(super) struct Held<'t, T> {
    turn: &'t AsyncMutex<T>,
    /// `Some` until the drop.
    value: Option<T>,
}

impl<T> Held<'_, T> {
    pub(super) fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    pub(super) fn set(&mut self, value: T) {
        self.value = Some(value);
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        let waiting = {
            let mut place = self.turn.place();
            place.value = self.value.take();
            std::mem::take(&mut place.waiting)
        };
        // Wake all of them: a single one may have stopped waiting.
        waiting.into_iter().for_each(Waker::wake);
    }
}
