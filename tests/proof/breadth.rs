//! Breadth-first search over any state space, with interned states.

use super::machines::Map;
use std::fmt::{Debug, Write as _};
use std::hash::Hash;

/// An event in a world.
pub(crate) struct Edge<W> {
    pub(crate) what: String,
    pub(crate) to: W,
    /// Whether it is certain to happen eventually, if nothing else does.
    pub(crate) fair: bool,
    /// The fault.
    pub(crate) wrong: Option<&'static str>,
}

pub(crate) trait Model {
    type World: Clone + Eq + Hash;

    fn start(&mut self) -> Self::World;
    fn next(&mut self, world: &Self::World, out: &mut Vec<Edge<Self::World>>);
    /// Returns the fault of a world.
    fn wrong(&mut self, world: &Self::World) -> Option<&'static str>;
    /// Returns whether everything has come to its end.
    fn finished(&mut self, world: &Self::World) -> bool;
}

pub(crate) struct Found {
    pub(crate) states: usize,
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

/// Returns every reachable world once, and the shortest path to the first fault. A world from which no fair path leads
/// to an end is a fault as well.
pub(crate) fn explore<M: Model>(model: &mut M) -> Found {
    let start = model.start();
    let mut index: Map<M::World, u32> = Map::default();
    index.insert(start.clone(), 0);
    let (mut worlds, mut parents) = (vec![start], vec![0_u32]);
    let mut fair: Vec<(u32, u32)> = Vec::new();
    let (mut at, mut out) = (0, Vec::new());
    while at < worlds.len() {
        let world = worlds[at].clone();
        out.clear();
        model.next(&world, &mut out);
        for edge in out.drain(..) {
            let known = worlds.len() as u32;
            let to = *index.entry(edge.to.clone()).or_insert(known);
            let fresh = to == known;
            if fresh {
                worlds.push(edge.to.clone());
                parents.push(at as u32);
            }
            if edge.fair {
                fair.push((at as u32, to));
            }
            if let Some(what) = edge.wrong.or_else(|| if fresh { model.wrong(&edge.to) } else { None }) {
                let mut steps = way(model, &worlds, &parents, at);
                steps.push(edge.what);
                return Found { states: worlds.len(), fault: Some((what, steps)) };
            }
        }
        at += 1;
    }
    let stuck = stuck(model, &worlds, &fair);
    let fault = stuck.map(|at| ("it never comes to its end", way(model, &worlds, &parents, at)));
    Found { states: worlds.len(), fault }
}

fn way<M: Model>(model: &mut M, worlds: &[M::World], parents: &[u32], mut at: usize) -> Vec<String> {
    let mut steps = Vec::new();
    while at > 0 {
        let from = parents[at] as usize;
        let mut out = Vec::new();
        model.next(&worlds[from], &mut out);
        steps.push(out.into_iter().find(|edge| edge.to == worlds[at]).unwrap().what);
        at = from;
    }
    steps.reverse();
    steps
}

/// Returns the first world from which no fair path leads to an end.
fn stuck<M: Model>(model: &mut M, worlds: &[M::World], fair: &[(u32, u32)]) -> Option<usize> {
    let mut back: Vec<Vec<u32>> = vec![Vec::new(); worlds.len()];
    fair.iter().for_each(|(from, to)| back[*to as usize].push(*from));
    let mut ends: Vec<bool> = worlds.iter().map(|world| model.finished(world)).collect();
    let mut open: Vec<usize> = (0..ends.len()).filter(|at| ends[*at]).collect();
    while let Some(at) = open.pop() {
        for from in &back[at] {
            if !std::mem::replace(&mut ends[*from as usize], true) {
                open.push(*from as usize);
            }
        }
    }
    ends.iter().position(|end| !end)
}

/// Numbers for large values, so that a world is small.
pub(crate) struct Pool<T> {
    pub(crate) all: Vec<T>,
    index: Map<T, u16>,
}

impl<T: Clone + Eq + Hash + Debug> Pool<T> {
    pub(crate) fn new() -> Self {
        Self { all: Vec::new(), index: Map::default() }
    }

    pub(crate) fn number(&mut self, one: T) -> u16 {
        let next = u16::try_from(self.all.len()).unwrap();
        let number = *self.index.entry(one.clone()).or_insert(next);
        if number == next {
            self.all.push(one);
        }
        number
    }

    pub(crate) fn get(&self, number: u16) -> &T {
        &self.all[usize::from(number)]
    }
}
