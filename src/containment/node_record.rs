//! Data of each node: 64 bytes, with the links for walking the tree kept apart.

use crate::nomenclature::{DevicePart, Level};
use crate::reference::item::Item;

/// Number that stands for no node.
pub(super) const NONE: u32 = u32::MAX;
/// Maximum number of nodes: one bit of a number is reserved.
pub(super) const MOST: u32 = 1 << 31;

/// State of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    /// No reference.
    Absent,
    /// `Type/id` of the right type, not resolved yet.
    Plain,
    /// Any other form, not resolved yet.
    Open,
    Linked,
    Missing,
    Ambiguous,
    WrongType,
    /// The link closes a cycle and is ignored.
    Cut,
}

/// Resource type of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Device,
    Component,
    Metric,
}

impl Target {
    pub(super) const ALL: [Self; 3] = [Self::Device, Self::Component, Self::Metric];

    pub(super) const fn of(item: Item<'_>) -> Self {
        match item {
            Item::Device(_) => Self::Device,
            Item::Component(_) => Self::Component,
            Item::Metric(_) => Self::Metric,
        }
    }

    pub(super) const fn type_name(self) -> &'static str {
        match self {
            Self::Device => "Device",
            Self::Component => "DeviceComponent",
            Self::Metric => "DeviceMetric",
        }
    }
}

/// Origin of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) document: u32,
    /// Index of the entry in its Bundle, or of a contained resource in its container.
    pub(super) entry: u32,
    /// Node of the container.
    pub(super) container: u32,
    /// Id space of relative references.
    pub(super) space: u32,
}

/// Links of a node: 32 bytes, half a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct NodeRecord {
    pub(super) up: u32,
    pub(super) first: u32,
    pub(super) next: u32,
    /// Node of the node's own source, or an [`EXTERNAL`](super::reference_index::EXTERNAL) number for a source that is
    /// not among the resources.
    pub(super) source: u32,
    /// Source that applies to the node: its own, or its parent's.
    pub(super) device: u32,
    /// Root component of the node's tree; the node itself where no component is above it.
    pub(super) top: u32,
    pub(super) depth: u32,
    pub(super) marks: NodeFlags,
}

impl NodeRecord {
    pub(super) const fn new(marks: NodeFlags) -> Self {
        Self { up: NONE, first: NONE, next: NONE, source: NONE, device: NONE, top: NONE, depth: 0, marks }
    }

    pub(super) fn stated(&self) -> Option<Level> {
        self.marks.by_code().or(self.marks.by_name())
    }

    pub(super) fn level(&self) -> Option<Level> {
        self.stated().or(self.marks.by_place())
    }
}

/// Flags of a node, in 32 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NodeFlags(u32);

macro_rules! marks {
    (levels { $($level:ident $set_level:ident $level_at:literal;)* } flags { $($flag:ident $set_flag:ident $flag_at:literal;)* }) => {
        $(
            pub(super) const fn $level(self) -> Option<Level> {
                match self.bits($level_at, 2) {
                    1 => Some(Level::Mds),
                    2 => Some(Level::Vmd),
                    3 => Some(Level::Channel),
                    _ => None,
                }
            }

            pub(super) const fn $set_level(&mut self, level: Option<Level>) {
                let bits = match level {
                    None => 0,
                    Some(Level::Mds) => 1,
                    Some(Level::Vmd) => 2,
                    Some(Level::Channel) => 3,
                };
                self.put($level_at, 2, bits);
            }
        )*
        $(
            pub(super) const fn $flag(self) -> bool {
                self.bits($flag_at, 1) == 1
            }

            pub(super) const fn $set_flag(&mut self, is: bool) {
                self.put($flag_at, 1, is as u32);
            }
        )*
    };
}

impl NodeFlags {
    pub(super) const fn of(kind: Target) -> Self {
        Self((kind as u32) << 16)
    }

    const fn bits(self, at: u32, width: u32) -> u32 {
        (self.0 >> at) & ((1 << width) - 1)
    }

    const fn put(&mut self, at: u32, width: u32, bits: u32) {
        self.0 = (self.0 & !(((1 << width) - 1) << at)) | (bits << at);
    }

    const fn tie(self, at: u32) -> LinkState {
        match self.bits(at, 3) {
            1 => LinkState::Plain,
            2 => LinkState::Open,
            3 => LinkState::Linked,
            4 => LinkState::Missing,
            5 => LinkState::Ambiguous,
            6 => LinkState::WrongType,
            7 => LinkState::Cut,
            _ => LinkState::Absent,
        }
    }

    pub(super) const fn parent_state(self) -> LinkState {
        self.tie(8)
    }

    pub(super) const fn set_parent_state(&mut self, tie: LinkState) {
        self.put(8, 3, tie as u32);
    }

    pub(super) const fn source_state(self) -> LinkState {
        self.tie(12)
    }

    pub(super) const fn set_source_state(&mut self, tie: LinkState) {
        self.put(12, 3, tie as u32);
    }

    pub(super) const fn kind(self) -> Target {
        match self.bits(16, 2) {
            0 => Target::Device,
            1 => Target::Component,
            _ => Target::Metric,
        }
    }

    pub(super) const fn is_component(self) -> bool {
        matches!(self.kind(), Target::Component)
    }

    /// Returns the part of an MDS that the component is, outside the levels.
    pub(super) const fn part(self) -> Option<DevicePart> {
        match self.bits(18, 2) {
            1 => Some(DevicePart::Battery),
            2 => Some(DevicePart::Clock),
            3 => Some(DevicePart::Sco),
            _ => None,
        }
    }

    pub(super) const fn set_part(&mut self, part: Option<DevicePart>) {
        let bits = match part {
            None => 0,
            Some(DevicePart::Battery) => 1,
            Some(DevicePart::Clock) => 2,
            Some(DevicePart::Sco) => 3,
        };
        self.put(18, 2, bits);
    }

    marks! {
        levels {
            by_code set_by_code 0;
            by_name set_by_name 2;
            by_place set_by_place 4;
            above_level set_above_level 6;
        }
        flags {
            is_void set_void 20;
            is_doubled set_doubled 21;
            is_nested set_nested 22;
            is_composite set_composite 23;
            source_differs set_source_differs 24;
            has_vmd set_has_vmd 25;
            has_channel set_has_channel 26;
            has_component set_has_component 27;
            is_suspect set_suspect 28;
        }
    }
}

/// Nodes of a tree, in input order.
#[derive(Default)]
pub(super) struct Nodes<'a> {
    items: Vec<Item<'a>>,
    origins: Vec<Origin>,
    records: Vec<NodeRecord>,
}

impl<'a> Nodes<'a> {
    pub(super) fn reserve(&mut self, more: usize) {
        self.items.reserve(more);
        self.origins.reserve(more);
        self.records.reserve(more);
    }

    pub(super) fn shrink(&mut self) {
        self.items.shrink_to_fit();
        self.origins.shrink_to_fit();
        self.records.shrink_to_fit();
    }

    pub(super) fn push(&mut self, item: Item<'a>, origin: Origin, record: NodeRecord) {
        self.items.push(item);
        self.origins.push(origin);
        self.records.push(record);
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.items.len()).unwrap_or(MOST)
    }

    pub(super) fn items(&self) -> &[Item<'a>] {
        &self.items
    }

    pub(super) fn records(&self) -> &[NodeRecord] {
        &self.records
    }

    pub(super) fn item(&self, at: u32) -> Option<Item<'a>> {
        self.items.get(at as usize).copied()
    }

    pub(super) fn origin(&self, at: u32) -> Option<&Origin> {
        self.origins.get(at as usize)
    }

    pub(super) fn record(&self, at: u32) -> Option<&NodeRecord> {
        self.records.get(at as usize)
    }

    pub(super) fn record_mut(&mut self, at: u32) -> Option<&mut NodeRecord> {
        self.records.get_mut(at as usize)
    }

    pub(super) fn kind(&self, at: u32) -> Target {
        self.record(at).map_or(Target::Device, |record| record.marks.kind())
    }

    pub(super) fn mark(&mut self, at: u32, set: impl FnOnce(&mut NodeFlags)) {
        if let Some(record) = self.record_mut(at) {
            set(&mut record.marks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_do_not_overlap() {
        let mut marks = NodeFlags::of(Target::Metric);
        marks.set_by_code(Some(Level::Channel));
        marks.set_above_level(Some(Level::Mds));
        for tie in [
            LinkState::Plain,
            LinkState::Open,
            LinkState::Linked,
            LinkState::Missing,
            LinkState::Ambiguous,
            LinkState::WrongType,
            LinkState::Cut,
        ] {
            marks.set_parent_state(tie);
            marks.set_source_state(LinkState::Absent);
            assert_eq!((marks.parent_state(), marks.source_state()), (tie, LinkState::Absent));
            marks.set_source_state(tie);
            assert_eq!((marks.parent_state(), marks.source_state()), (tie, tie));
        }
        marks.set_part(Some(DevicePart::Sco));
        marks.set_suspect(true);
        marks.set_void(true);
        marks.set_void(false);
        assert_eq!((marks.kind(), marks.part()), (Target::Metric, Some(DevicePart::Sco)));
        assert_eq!((marks.by_code(), marks.by_name()), (Some(Level::Channel), None));
        assert_eq!((marks.by_place(), marks.above_level()), (None, Some(Level::Mds)));
        assert_eq!((marks.is_suspect(), marks.is_void(), marks.is_doubled()), (true, false, false));
        assert_eq!(size_of::<NodeRecord>(), 32);
        assert_eq!(size_of::<Origin>() + size_of::<Item<'_>>(), 32);
    }
}
