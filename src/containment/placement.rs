//! Placement of nodes once their parents are known.

use super::hash_index::BATCH;
use super::node_record::{LinkState, NONE, Nodes, Target};
use crate::nomenclature::Level;

/// Marks a node on the path being walked.
const WALKED: u32 = NONE;

/// Sets the place of each node and lists children in input order. A cycle is cut above its first member in input order,
/// so that every component is below a root; the result lists these members, each with its former parent.
///
/// The walk goes from each node up to the first placed one: most nodes have no children, and their ancestors are
/// cached.
pub(super) fn place(nodes: &mut Nodes<'_>) -> Vec<(u32, u32)> {
    let mut cuts = Vec::new();
    let mut way: Vec<u32> = Vec::new();
    let count = nodes.count();
    for start in 0..count {
        if (start as usize).is_multiple_of(BATCH) {
            let next = nodes.records().iter().skip(start as usize).take(BATCH);
            fetch(nodes, next.map(|record| record.up));
        }
        let mut at = start;
        while let Some(record) = nodes.record_mut(at) {
            if record.top != NONE {
                if record.depth == WALKED {
                    cuts.push(cut(nodes, &mut way, at));
                }
                break;
            }
            (record.top, record.depth) = (at, WALKED);
            if record.up == NONE && record.source < count {
                record.up = record.source;
            }
            way.push(at);
            at = record.up;
        }
        while let Some(at) = way.pop() {
            if way.len() % BATCH == BATCH - 1 {
                fetch(nodes, way.iter().rev().take(BATCH).copied());
            }
            place_one(nodes, at);
        }
    }
    for at in (0..count).rev() {
        let Some(up) = nodes.record(at).map(|record| record.up) else { continue };
        let Some(above) = nodes.record_mut(up) else { continue };
        let next = std::mem::replace(&mut above.first, at);
        if let Some(record) = nodes.record_mut(at) {
            record.next = next;
        }
    }
    cuts.sort_unstable();
    cuts
}

/// Prefetches the next nodes together.
fn fetch(nodes: &Nodes<'_>, next: impl Iterator<Item = u32>) {
    std::hint::black_box(next.fold(0, |all, at| all ^ nodes.record(at).map_or(0, |record| record.depth)));
}

/// Cuts the cycle at the end of a path, which came back to `at`, and rotates that end so that the path continues from
/// the new root of the cycle.
fn cut(nodes: &mut Nodes<'_>, way: &mut [u32], at: u32) -> (u32, u32) {
    let circle = way.iter().rposition(|one| *one == at).and_then(|from| way.get_mut(from..)).unwrap_or_default();
    let first = circle.iter().copied().min().unwrap_or(at);
    let turn = circle.iter().position(|one| *one == first).map_or(0, |place| place + 1);
    circle.rotate_left(turn);
    let count = nodes.count();
    let Some(record) = nodes.record_mut(first) else { return (first, NONE) };
    record.marks.set_parent_state(LinkState::Cut);
    let device = if record.source < count { record.source } else { NONE };
    (first, std::mem::replace(&mut record.up, device))
}

/// Sets the place of one node, whose parent is placed already.
fn place_one(nodes: &mut Nodes<'_>, at: u32) {
    let Some(mut record) = nodes.record(at).copied() else { return };
    let is_component = record.marks.is_component();
    let above = nodes.record(record.up).filter(|above| above.marks.is_component());
    let by_place = match above {
        _ if !is_component || record.marks.part().is_some() => None,
        Some(above) => above.level().and_then(Level::below),
        None => (record.marks.parent_state() == LinkState::Absent).then_some(Level::Mds),
    };
    let above_level = above.and_then(|above| above.level());
    let is_nested = record.stated() == Some(Level::Mds) && above_level == Some(Level::Mds);
    // The own source differs from the parent's; a metric may also have that of the root component.
    let is_above = |source: u32| {
        let top = || above.and_then(|above| nodes.record(above.top)).map(|top| top.device);
        above.is_none_or(|above| above.device == NONE || above.device == source)
            || (!is_component && top() == Some(source))
    };
    let source_differs = record.source != NONE && !is_nested && !is_above(record.source);
    record.marks.set_source_differs(source_differs);
    record.marks.set_by_place(by_place);
    record.marks.set_above_level(above_level);
    record.marks.set_nested(is_nested);
    record.marks.set_composite(is_nested || above.is_some_and(|above| above.marks.is_composite()));
    // The applicable device: the node's own source, or its parent's device.
    record.device = match (record.source, above) {
        (NONE, Some(above)) => above.device,
        (source, _) => source,
    };
    record.top = above.map_or(at, |above| above.top);
    record.depth = match record.marks.kind() {
        Target::Device => 0,
        Target::Component | Target::Metric => above.map_or(0, |above| above.depth) + 1,
    };
    if is_component {
        let level = record.level();
        nodes.mark(record.up, |above| {
            above.set_has_component(true);
            above.set_has_vmd(above.has_vmd() || level == Some(Level::Vmd));
            above.set_has_channel(above.has_channel() || level == Some(Level::Channel));
        });
    }
    if let Some(slot) = nodes.record_mut(at) {
        *slot = record;
    }
}
