//! Local resolver with an asynchronous one as fallback.

use super::resolve::{AsyncResolver, ReferenceLookup, Resolution, ResolveFuture, Resolver};
use std::borrow::Cow;
use std::fmt;

/// Resolver that tries a local resolver first, and passes all unresolved references to another in one call.
///
/// ```
/// use fhir_devices::reference::{ResolverChain, ReferenceLookup, Resolution, AsyncResolver, ResolveFuture, LocalThenRemote};
///
/// /// A resolver without resources.
/// struct Nothing;
/// impl AsyncResolver for Nothing {
///     type Error = std::convert::Infallible;
///     fn resolve_all<'a>(&'a self, links: &'a [ReferenceLookup<'a>]) -> ResolveFuture<'a, Self::Error> {
///         Box::pin(async { Ok(links.iter().map(|_| Resolution::Absent).collect()) })
///     }
/// }
///
/// let near = fhir_devices::reference::Contained(&[]);
/// let both = LocalThenRemote { near: &near, far: Nothing };
/// # let _ = both.resolve_all(&[]);
/// ```
pub struct LocalThenRemote<'r, F> {
    /// Local resolver.
    pub near: &'r (dyn Resolver + Sync),
    /// Fallback resolver, such as a store.
    pub far: F,
}

impl<F> fmt::Debug for LocalThenRemote<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalThenRemote").finish_non_exhaustive()
    }
}

impl<F: AsyncResolver> AsyncResolver for LocalThenRemote<'_, F> {
    type Error = F::Error;

    fn resolve_all<'a>(&'a self, links: &'a [ReferenceLookup<'a>]) -> ResolveFuture<'a, F::Error> {
        Box::pin(async move {
            let mut answers: Vec<Resolution<_>> =
                links.iter().map(|link| self.near.resolve(link).map(Cow::into_owned)).collect();
            let (places, open): (Vec<usize>, Vec<ReferenceLookup<'_>>) = answers
                .iter()
                .zip(links)
                .enumerate()
                .filter(|(_, (answer, _))| answer.is_unresolved())
                .map(|(place, (_, link))| (place, *link))
                .unzip();
            if open.is_empty() {
                return Ok(answers);
            }
            let rest = self.far.resolve_all(&open).await?;
            for (place, answer) in places.into_iter().zip(rest) {
                if let Some(slot) = answers.get_mut(place)
                    && (answer != Resolution::Absent || *slot == Resolution::Absent)
                {
                    *slot = answer;
                }
            }
            Ok(answers)
        })
    }
}
