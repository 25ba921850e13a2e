//! Sum over all lanes of a rollout.

use super::lane::{Counts, LaneHead, LaneStatus, Tally};
use super::spec::MAX_CRITERIA;
use super::{Epoch, Lane, RolloutId, Spec, Wave};

/// Sum over all lanes of a rollout, read one after the other while they change.
///
/// Done deployments stay done, and a stopped lane stays stopped until the rollout decides otherwise: so the sum is
/// right about the end although the lanes were not read at the same time.
///
/// ```
/// use fhir_devices::manifest::ReleaseId;
/// use fhir_devices::update::rollout::*;
/// let spec = Spec::new(RolloutRequest::new(ReleaseId(1), "local".parse()?))?;
/// let lane = LaneHead::new(&spec, RolloutId(7), Lane(0)).unwrap();
/// let fold = Fold::of(&spec, RolloutId(7), [&lane])?;
/// assert_eq!(fold.counts.open(), 0);
/// assert_eq!(Fold::of(&spec, RolloutId(7), []), Err(NotEveryLane { read: 0, wanted: 1 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fold {
    /// Number of deployments in each state.
    pub counts: Counts,
    /// Number of deployments with each outcome.
    pub tally: Tally,
    /// Number of failures by each criterion.
    pub failures: [u32; MAX_CRITERIA],
    /// Number of devices that were ever given bytes.
    pub granted: u32,
    /// Number of deployments that are not done, in the waves that may be offered the update.
    pub open: u32,
    /// Lowest epoch of a lane.
    pub epoch: Epoch,
    /// Lowest wave that a lane may offer.
    pub wave: Wave,
    /// Whether no lane makes offers or grants bytes.
    pub stopped: bool,
    /// Whether every lane is draining, and only devices with the bytes remain in flight.
    pub quiet: bool,
    /// Whether a lane has exhausted its failure allowance.
    pub tripped: bool,
}

/// Error for lanes that are not all lanes of a rollout, each once and in order.
///
/// ```
/// use fhir_devices::update::rollout::NotEveryLane;
/// assert_eq!(NotEveryLane { read: 1, wanted: 2 }.to_string(), "1 of 2 lanes were read in order");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{read} of {wanted} lanes were read in order")]
pub struct NotEveryLane {
    /// Number of lanes read in order.
    pub read: u16,
    /// Number of lanes of the rollout.
    pub wanted: u16,
}

impl Fold {
    /// Sums the lanes of a rollout.
    ///
    /// # Errors
    /// [`NotEveryLane`] if a lane is missing, repeated, or of another rollout.
    pub fn of<'l>(
        spec: &Spec,
        rollout: RolloutId,
        lanes: impl IntoIterator<Item = &'l LaneHead>,
    ) -> Result<Self, NotEveryLane> {
        let mut fold = Self {
            counts: Counts::default(),
            tally: Tally::default(),
            failures: [0; MAX_CRITERIA],
            granted: 0,
            open: 0,
            epoch: Epoch(u64::MAX),
            wave: Wave(u16::MAX),
            stopped: true,
            quiet: true,
            tripped: false,
        };
        let (mut read, wanted) = (0_u16, spec.lane_count());
        for lane in lanes {
            if lane.lane != Lane(read) || lane.rollout != rollout {
                return Err(NotEveryLane { read, wanted });
            }
            read = read.saturating_add(1);
            fold.counts.add(&lane.counts);
            fold.tally.add(&lane.tally);
            for (sum, allowance) in fold.failures.iter_mut().zip(lane.allowances) {
                *sum = sum.saturating_add(allowance.failures);
            }
            fold.granted = fold.granted.saturating_add(lane.granted);
            fold.open = fold.open.saturating_add(lane.open_until(lane.wave));
            fold.epoch = fold.epoch.min(lane.epoch);
            fold.wave = fold.wave.min(lane.wave);
            fold.stopped &= lane.is_draining() || lane.status == LaneStatus::Stopped;
            fold.quiet &= lane.is_quiet();
            fold.tripped |= lane.is_tripped(spec);
        }
        if read == wanted { Ok(fold) } else { Err(NotEveryLane { read, wanted }) }
    }
}
