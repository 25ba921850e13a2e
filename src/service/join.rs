//! Joining several futures on one task.

use std::future::{Future, poll_fn};
use std::task::Poll;

/// Returns the outputs of all futures, in order.
pub(super) async fn all_of<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut each: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        let mut is_ready = true;
        for (future, output) in each.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(cx) {
                Poll::Ready(found) => *output = Some(found),
                Poll::Pending => is_ready = false,
            }
        }
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    each.into_iter().filter_map(|(_, output)| output).collect()
}
