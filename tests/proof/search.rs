//! Breadth-first search: every reachable state once, and the shortest path to the first fault.

use super::machines::Map;
use super::world::{Act, Model, Next, Packed, World};
use std::collections::hash_map::Entry;
use std::fmt::Write as _;

pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) edges: usize,
    /// The fault, and the shortest path to it.
    pub(crate) fault: Option<(&'static str, Vec<String>)>,
}

impl Found {
    pub(crate) fn trace(&self) -> String {
        let mut text = String::new();
        if let Some((what, steps)) = &self.fault {
            let _ = writeln!(text, "{what}, after {} steps:", steps.len());
            for (at, step) in steps.iter().enumerate() {
                let _ = writeln!(text, "{:4}. {step}", at + 1);
            }
        }
        text
    }
}

struct Search {
    index: Map<Packed, u32>,
    worlds: Vec<World>,
    parents: Vec<u32>,
    /// From a world to one that is certain to come eventually.
    fair: Vec<(u32, u32)>,
}

pub(crate) fn explore(model: &mut Model) -> Found {
    let start = World::default();
    let mut search = Search { index: Map::default(), worlds: vec![start], parents: vec![0], fair: Vec::new() };
    search.index.insert(start.pack(), 0);
    let (mut at, mut edges, mut next) = (0, 0, Vec::new());
    while at < search.worlds.len() {
        let world = search.worlds[at];
        next.clear();
        model.next(&world, &mut next);
        edges += next.len();
        for one in &next {
            let known = search.worlds.len();
            let to = match search.index.entry(one.world.pack()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(slot) => {
                    slot.insert(known as u32);
                    search.worlds.push(one.world);
                    search.parents.push(at as u32);
                    known as u32
                }
            };
            if one.act.fair {
                search.fair.push((at as u32, to));
            }
            let fresh = to as usize == known;
            let wrong = one.violation.or_else(|| fresh.then(|| model.violation(&one.world)).flatten());
            if let Some(what) = wrong {
                let mut steps = search.way(model, at);
                steps.push(describe(&one.act));
                return Found { states: search.worlds.len(), edges, fault: Some((what, steps)) };
            }
        }
        at += 1;
    }
    let fault = search.stuck(model).map(|(at, what)| (what, search.way(model, at)));
    Found { states: search.worlds.len(), edges, fault }
}

fn describe(act: &Act) -> String {
    format!("{} {}: {}", act.who, act.at, act.what)
}

impl Search {
    fn way(&self, model: &mut Model, mut at: usize) -> Vec<String> {
        let mut steps = Vec::new();
        while at > 0 {
            let from = self.parents[at] as usize;
            let mut next: Vec<Next> = Vec::new();
            model.next(&self.worlds[from], &mut next);
            let act = next.iter().find(|one| one.world == self.worlds[at]).unwrap().act;
            steps.push(describe(&act));
            at = from;
        }
        steps.reverse();
        steps
    }

    /// Returns the first world from which no fair path leads to an end, if there is one, and the missing work where all
    /// fair paths stop.
    fn stuck(&self, model: &mut Model) -> Option<(usize, &'static str)> {
        let count = self.worlds.len();
        let mut starts = vec![0_u32; count + 1];
        for (_, to) in &self.fair {
            starts[*to as usize + 1] += 1;
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let mut fill = starts.clone();
        let mut back = vec![0_u32; self.fair.len()];
        for (from, to) in &self.fair {
            back[fill[*to as usize] as usize] = *from;
            fill[*to as usize] += 1;
        }
        let mut ends = vec![false; count];
        let mut open: Vec<usize> = (0..count).filter(|at| model.finished(&self.worlds[*at])).collect();
        open.iter().for_each(|at| ends[*at] = true);
        while let Some(at) = open.pop() {
            for from in &back[starts[at] as usize..starts[at + 1] as usize] {
                if !std::mem::replace(&mut ends[*from as usize], true) {
                    open.push(*from as usize);
                }
            }
        }
        let first = (0..count).find(|at| !ends[*at])?;
        // Where nothing more is sure to happen, what is left is left forever.
        let mut moves = vec![false; count];
        self.fair.iter().filter(|(from, to)| from != to).for_each(|(from, _)| moves[*from as usize] = true);
        let last = (0..count).find(|at| !ends[*at] && !moves[*at]).unwrap_or(first);
        Some((last, model.unfinished(&self.worlds[last]).unwrap_or("it goes round for ever")))
    }
}
