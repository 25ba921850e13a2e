//! Lets other tasks of the same thread run.

use std::future::poll_fn;
use std::task::Poll;

/// Becomes ready at the second poll, so that the executor can run other tasks: an in-memory store never waits.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
