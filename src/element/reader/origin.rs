//! The document in another format from which the JSON that is read was made.

use crate::issue::Issue;

/// A document in another format, of which the reader has the JSON form: where its findings are in that document, and what
/// was found out while the JSON was made.
#[cfg_attr(not(feature = "xml"), allow(dead_code, reason = "XML is the one such format"))]
pub(crate) struct Origin<'a> {
    /// The document.
    pub(crate) text: &'a str,
    /// Places in the JSON, rising, each with its place in the document.
    pub(crate) marks: &'a [(u32, u32)],
    /// The findings of the format, each with its place in the document.
    pub(crate) findings: Vec<(usize, Issue)>,
    /// How many of them were not kept, and how grave the gravest of those is.
    pub(crate) omitted: Option<(usize, crate::issue::Severity)>,
    /// What ended the document before its end, so that the JSON ends there too.
    pub(crate) fault: Option<(usize, Issue)>,
}

impl Origin<'_> {
    /// The place in the document from which the JSON at `offset` comes.
    pub(crate) fn offset(&self, offset: usize) -> usize {
        let after = self.marks.partition_point(|(json, _)| *json as usize <= offset);
        let mark = after.checked_sub(1).and_then(|index| self.marks.get(index));
        mark.map_or(0, |(_, place)| *place as usize)
    }
}
