//! Regions with one defect each.

use super::{each_holds, each_is_caught};
use fhir_devices::backend::{Memory, Slots};
use fhir_devices::publish::{
    ActionNumber, Content, DeviceAddress, Found, PublishError, Publisher, PublisherCapabilities, Receipt, Slot,
    SlotVersion,
};
use fhir_devices::store::{BoxFuture, Tenant};
use fhir_devices::testkit::store::publisher::CLAUSES;
use std::sync::{Arc, Mutex};

/// A region over a correct one, which breaks a clause.
struct Wrong {
    defect: &'static str,
    inner: Memory,
    /// The last write of any caller.
    last: Mutex<Option<(Slot, Content)>>,
    puts: Mutex<u32>,
}

impl Wrong {
    fn new(defect: &'static str) -> Self {
        Self { defect, inner: Memory::new(), last: Mutex::default(), puts: Mutex::default() }
    }

    fn has(&self, defect: &str) -> bool {
        self.defect == defect
    }

    /// Writes whatever the slot holds.
    async fn force(&self, tenant: &Tenant, slot: &Slot, content: &Content) -> Result<Receipt, PublishError> {
        loop {
            let seen = self.inner.read(tenant, slot).await?.map(|found| found.version);
            match self.inner.put(tenant, slot, content, seen.as_ref()).await {
                Err(PublishError::Changed) => {}
                done => return done,
            }
        }
    }
}

fn everybody() -> Tenant {
    "everybody".parse().unwrap()
}

fn without_links(content: &Content) -> Content {
    let mut content = content.clone();
    if let Content::Offer(offer) = &mut content {
        offer.files.iter_mut().for_each(|file| file.sha1 = None);
    }
    content
}

impl Publisher for Wrong {
    fn capabilities(&self) -> PublisherCapabilities {
        let limit = if self.has("g8_largest_content_is_accepted_and_a_larger_one_refused") { 1 << 20 } else { 4 << 10 };
        self.inner.capabilities().with_max_content(limit)
    }

    fn connection(&self) -> Option<u64> {
        self.inner.connection()
    }

    fn put<'a>(
        &'a self,
        tenant: &'a Tenant,
        slot: &'a Slot,
        content: &'a Content,
        seen: Option<&'a SlotVersion>,
    ) -> BoxFuture<'a, Result<Receipt, PublishError>> {
        Box::pin(async move {
            *self.last.lock().unwrap() = Some((slot.clone(), content.clone()));
            let known = self.inner.read(tenant, slot).await?;
            match self.defect {
                "g1_repeated_put_changes_nothing" if known.is_some() && seen.is_none() => Err(PublishError::Changed),
                "g2_put_needs_the_newest_version" | "g2_of_concurrent_writers_one_wins" => {
                    self.force(tenant, slot, content).await
                }
                "g3_older_content_is_stale" if known.is_some() => {
                    *self.puts.lock().unwrap() += 1;
                    Ok(Receipt::new(SlotVersion::new("1"), false))
                }
                "g3_newer_content_is_accepted" if matches!(content, Content::Offer(_)) && known.is_some() => {
                    Err(PublishError::Stale { action: ActionNumber(1) })
                }
                "g4_acknowledged_content_is_read" => Ok(Receipt::new(SlotVersion::new("1"), true)),
                "g5_calls_are_isolated_by_tenant" => self.inner.put(&everybody(), slot, content, seen).await,
                "g6_dropped_put_is_atomic" if known.is_some() => {
                    let Content::Tombstone { key, .. } = content else { panic!() };
                    let other = Content::Tombstone { key: *key, action: ActionNumber(1_000_000) };
                    self.force(tenant, slot, &other).await
                }
                "g7_content_is_read_as_written" => self.inner.put(tenant, slot, &without_links(content), seen).await,
                "g8_refusal_is_not_applied" => match self.inner.put(tenant, slot, content, seen).await {
                    Err(_) => Err(PublishError::Indeterminate { source: None }),
                    done => done,
                },
                _ => self.inner.put(tenant, slot, content, seen).await,
            }
        })
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, slot: &'a Slot) -> BoxFuture<'a, Result<Option<Found>, PublishError>> {
        Box::pin(async move {
            let tenant = if self.has("g5_calls_are_isolated_by_tenant") { &everybody() } else { tenant };
            self.inner.read(tenant, slot).await
        })
    }

    fn notify<'a>(&'a self, tenant: &'a Tenant, device: &'a DeviceAddress) -> BoxFuture<'a, Result<(), PublishError>> {
        self.inner.notify(tenant, device)
    }
}

#[test]
fn every_publisher_clause_catches_a_faulty_region() {
    each_is_caught::<dyn Publisher, _>(CLAUSES, Wrong::new, |wrong| wrong);
}

#[test]
fn correct_publisher_passes_every_clause() {
    each_holds::<dyn Publisher>(CLAUSES, &Memory::new());
    each_holds::<dyn Publisher>(CLAUSES, &Wrong::new("nothing"));
    each_holds::<dyn Publisher>(CLAUSES, &Slots::new(Arc::new(Memory::new()), "local".parse().unwrap()));
}
