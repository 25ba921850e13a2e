//! Locating issues in the source text.

use crate::element::{LineIndex, Read, ReadMode, Reader, Stop};
use crate::issue::{Path, Report};
use crate::resource::BYTE_ORDER_MARK;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

/// The places that are wanted, by their hashes, as the places above a deep one are long together; and where in the text each
/// was found.
#[derive(Default)]
struct Wanted {
    hasher: RandomState,
    /// How many have not been found yet.
    missing: usize,
    offsets: HashMap<u64, Option<usize>>,
}

impl Wanted {
    fn offset(&self, place: &str) -> Option<usize> {
        self.offsets.get(&self.hasher.hash_one(place)).copied().flatten()
    }
}

/// Gives each finding its line and column: those of its place, or of the nearest place above it that the text has.
pub(super) fn locate(report: &mut Report, json: &[u8]) {
    let Ok(text) = std::str::from_utf8(json) else { return };
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    locate_in(report, text, text, |offset| offset);
}

/// The same for a document of which `json` is the JSON form; `origin` is the place in it from which a place in the form comes.
pub(super) fn locate_in(report: &mut Report, json: &str, document: &str, origin: impl Fn(usize) -> usize) {
    let mut wanted = Wanted::default();
    for issue in report.iter() {
        for place in above(&issue.at) {
            wanted.offsets.entry(wanted.hasher.hash_one(place)).or_default();
        }
    }
    wanted.missing = wanted.offsets.len();
    let mut r = Reader::new(json, ReadMode::Strict);
    let root = report.issues().first().and_then(|issue| issue.at.split('.').next()).unwrap_or_default();
    let mut at = root.to_owned();
    // The text was read to its end before; the search stops where nothing is left to be found.
    let _ = search(&mut r, &mut at, &mut wanted);
    let found = report.iter().map(|issue| above(&issue.at).find_map(|place| wanted.offset(place)));
    let mut found: Vec<(usize, usize)> =
        found.enumerate().filter_map(|(index, offset)| offset.map(|offset| (origin(offset), index))).collect();
    found.sort_unstable();
    let mut places = LineIndex::new(document);
    for (offset, index) in found {
        if let Some(issue) = report.issues_mut().get_mut(index) {
            issue.position = Some(places.position(offset));
        }
    }
}

/// Returns a place and those above it, from the innermost.
fn above(at: &str) -> impl Iterator<Item = &str> {
    let ends = at.rmatch_indices(['.', '[']).filter_map(|(end, _)| at.get(..end));
    std::iter::once(at).chain(ends)
}

/// Walks over the text, noting where the wanted places are. `at` is the place of the value that comes next.
fn search(r: &mut Reader<'_>, at: &mut String, wanted: &mut Wanted) -> Read<()> {
    let first = r.peek();
    let Some(slot) = wanted.offsets.get_mut(&wanted.hasher.hash_one(at.as_str())) else {
        return r.skip(&Path::root(""));
    };
    if slot.is_none() {
        *slot = Some(r.offset());
        wanted.missing = wanted.missing.saturating_sub(1);
    }
    if wanted.missing == 0 {
        return Err(Stop);
    }
    let length = at.len();
    match first {
        Some(b'{') => {
            r.enter()?;
            let mut first = true;
            while r.more(b'}', first)? {
                first = false;
                let key = r.key()?;
                at.push('.');
                at.push_str(key.strip_prefix('_').unwrap_or(&key));
                search(r, at, wanted)?;
                at.truncate(length);
            }
            Ok(())
        }
        Some(b'[') => {
            r.enter()?;
            let mut index = 0;
            while r.more(b']', index == 0)? {
                at.push_str(&format!("[{index}]"));
                search(r, at, wanted)?;
                at.truncate(length);
                index += 1;
            }
            Ok(())
        }
        _ => r.skip(&Path::root("")),
    }
}
