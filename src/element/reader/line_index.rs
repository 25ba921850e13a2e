//! Line and column of an offset.

use crate::issue::Position;

/// Converts ascending byte offsets to lines and columns in one pass.
pub(crate) struct LineIndex<'a> {
    text: &'a str,
    offset: usize,
    place: Position,
}

impl<'a> LineIndex<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, offset: 0, place: Position { line: 1, column: 1 } }
    }

    pub(crate) fn position(&mut self, offset: usize) -> Position {
        if offset < self.offset {
            *self = Self::new(self.text);
        }
        let between = self.text.get(self.offset..offset).unwrap_or_default();
        let breaks = between.bytes().filter(|byte| *byte == b'\n').count();
        if breaks > 0 {
            self.place = Position { line: self.place.line + breaks, column: 1 };
        }
        self.place.column += between.rsplit('\n').next().unwrap_or_default().chars().count();
        self.offset = offset;
        self.place
    }
}
