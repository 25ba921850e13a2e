//! Late, repeated and invalid inputs for every reached state.

use super::machines::{LATE, Machines, NOW, TORN};
use fhir_devices::audit::Holder;
use fhir_devices::audit::UploadFailure;
use fhir_devices::primitive::Id;
use fhir_devices::store::{BlobRef, Generation};
use fhir_devices::update::blob::{self};
use fhir_devices::update::ingest::{self, Input, State, Step};
use time::Duration;

impl Machines {
    /// Repeats every input in every state, and some inputs that no correct driver sends. The refusals are noted.
    pub(crate) fn say_all_again(&mut self) {
        let said: Vec<_> = self.steps.keys().map(|(ingest, _, said)| (*ingest, *said)).collect();
        for (ingest, said) in said {
            for state in 1..self.states[usize::from(ingest)].len() {
                self.step(ingest.into(), state as u8, said);
            }
        }
        let told: Vec<_> = self.blob_steps.keys().map(|(digest, _, told)| (*digest, *told)).collect();
        for (digest, told) in told {
            for entry in 0..self.entries[usize::from(digest)].len() {
                self.tell(digest.into(), entry as u8, told);
            }
        }
        self.say_what_is_confused();
        self.tell_what_is_confused();
    }

    fn say_what_is_confused(&mut self) {
        let other: Id = "monitor".parse().unwrap();
        let confused = [
            (Input::CheckFailed { reason: UploadFailure::Withdrawn }, LATE),
            (Input::BytesHeld { blob: BlobRef::of(TORN), generation: Generation(1) }, LATE),
            (
                Input::ReferenceWritten { component: other.clone(), version: fhir_devices::store::VersionId::FIRST },
                LATE,
            ),
            (Input::Conflicted { attempt: 99 }, LATE),
            (Input::ReferenceDropped { component: other }, LATE),
            (Input::DeadlineReached, NOW - Duration::days(9)),
        ];
        for ingest in 0..2 {
            for state in self.states[ingest].iter().flatten() {
                for (input, now) in &confused {
                    match ingest::step(&self.record(ingest as u8, Some(state.clone())), input, *now) {
                        Err(refusal) => {
                            self.refusals.insert(format!("{refusal:?}"));
                        }
                        Ok(Step::Unchanged) => {}
                        // Only records of format 1 were written to a component before it was fixed.
                        Ok(Step::Transition(_) | Step::Perform(_)) => {
                            let unfixed = matches!(state, State::Stored { target: None, .. });
                            assert!(unfixed && matches!(input, Input::ReferenceWritten { .. }), "{state:?} {input:?}");
                        }
                    }
                }
            }
        }
    }

    fn tell_what_is_confused(&mut self) {
        let kept = Holder::Retention { pin: "ten-years".parse().unwrap(), until: LATE + Duration::days(3650) };
        let held =
            |blob, by, fresh| blob::Input::Held { blob, by, fresh: Generation(fresh), max_holders: 1, actor: None };
        for entry in self.entries.iter().flatten().flatten() {
            let other = BlobRef { size: entry.blob.size + 1, ..entry.blob };
            let used = entry.generation.0;
            let retain = held(entry.blob, kept.clone(), 0);
            let retained = match blob::step(Some(entry), &retain, LATE) {
                Ok(blob::Step::Transition(to)) => Some(to.entry),
                _ => None,
            };
            let confused = [
                (Some(entry), held(other, kept.clone(), 99)),
                (Some(entry), held(entry.blob, Holder::Ingest(fhir_devices::manifest::IngestId(9)), used)),
                (Some(entry), retain),
                (Some(entry), blob::Input::CollectionDue { grace: std::time::Duration::from_secs(1) }),
                (retained.as_ref(), blob::Input::Released { by: kept.clone(), actor: None }),
            ];
            for (entry, input) in &confused {
                if let Err(refusal) = blob::step(*entry, input, LATE) {
                    self.blob_refusals.insert(format!("{refusal:?}"));
                }
            }
        }
    }
}
