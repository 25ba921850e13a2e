//! Where a page of a search ended, as a token of the next link.

use super::problem::{Problem, Result};
use super::query::Query;
use crate::store::{PageKey, PageToken, Search, Sha256, Tenant};

/// Where a page ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// How many resources were shown before.
    pub(super) seen: usize,
    /// Whether only their number is known: they are passed over.
    pub(super) skips: bool,
    /// The sort key of the last one shown.
    pub(super) last: String,
    /// The store's token for the place behind which the next one is found.
    pub(super) from: Option<PageToken>,
}

impl Place {
    /// Returns the place behind so many resources, which are passed over.
    pub(super) fn behind(seen: usize) -> Self {
        Self { seen, skips: true, ..Self::default() }
    }

    /// Seals the place for a query of a tenant.
    pub(super) fn seal(&self, key: &PageKey, tenant: &Tenant, query: &Query) -> Result<PageToken> {
        let seen = format!("{}{}", if self.skips { "+" } else { "" }, self.seen);
        let text = |from: &str| format!("{}\n{seen}\n{}\n{from}", fingerprint(query), self.last);
        let of = search(query);
        // What others meet may have changed by then, and with it what the store is asked.
        let from = self.from.as_ref().filter(|_| query.chains.is_empty());
        let whole = text(from.map(PageToken::as_str).unwrap_or_default());
        let sealed = key.seal(tenant, crate::store::PageQuery::Search(&of), whole.as_bytes());
        // Where the store's token is too long, the store is read from its start, and what was shown is passed over.
        sealed
            .or_else(|_| key.seal(tenant, crate::store::PageQuery::Search(&of), text("").as_bytes()))
            .map_err(|error| Problem::of_store(&error, "the next page"))
    }

    /// Opens a token that was sealed for this query of this tenant.
    pub(super) fn open(key: &PageKey, tenant: &Tenant, query: &Query, token: &str) -> Result<Self> {
        let refused = || Problem::bad("page", "`_page` is damaged, or belongs to another search");
        let token = token.parse::<PageToken>().map_err(|_| refused())?;
        let of = search(query);
        let bytes = key.open(tenant, crate::store::PageQuery::Search(&of), &token).map_err(|_| refused())?;
        let text = String::from_utf8(bytes).map_err(|_| refused())?;
        let mut lines = text.splitn(4, '\n');
        let (Some(print), Some(seen), Some(last), Some(from)) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(refused());
        };
        if print != fingerprint(query) {
            return Err(refused());
        }
        let from = if from.is_empty() { None } else { Some(from.parse().map_err(|_| refused())?) };
        let (skips, seen) = seen.strip_prefix('+').map_or((false, seen), |seen| (true, seen));
        Ok(Self { seen: seen.parse().map_err(|_| refused())?, skips, last: last.to_owned(), from })
    }
}

fn search(query: &Query) -> Search {
    Search { all_of: query.plan.all_of.clone(), ..Search::new(query.resource_type) }
}

/// Returns what tells one query from another, the size of its pages aside.
fn fingerprint(query: &Query) -> String {
    let mut text = String::new();
    for (name, value) in query.used.iter().filter(|(name, _)| name != "_count") {
        text += &format!("{}:{name}{}:{value}", name.len(), value.len());
    }
    let mut digest = Sha256::of(text.as_bytes()).to_string();
    digest.truncate(16);
    digest
}
