//! Calls that a test double of a resource store forwards.

/// Forwards calls of [`ResourceStore`](fhir_devices::store::ResourceStore) to the store in a field, as in
/// `passed_on!(below: capabilities, read);`.
macro_rules! passed_on {
    ($below:tt: $($call:ident),+) => { $(passed_on! { @ $below $call })+ };
    (@ $below:tt capabilities) => {
        fn capabilities(&self) -> fhir_devices::store::Capabilities {
            self.$below.capabilities()
        }
    };
    (@ $below:tt read) => {
        fn read<'a>(
            &'a self,
            tenant: &'a fhir_devices::store::Tenant,
            key: &'a fhir_devices::store::Key,
        ) -> fhir_devices::store::BoxFuture<'a, fhir_devices::store::Result<fhir_devices::store::Version>> {
            self.$below.read(tenant, key)
        }
    };
    (@ $below:tt vread) => {
        fn vread<'a>(
            &'a self,
            tenant: &'a fhir_devices::store::Tenant,
            key: &'a fhir_devices::store::Key,
            version: fhir_devices::store::VersionId,
        ) -> fhir_devices::store::BoxFuture<'a, fhir_devices::store::Result<fhir_devices::store::Version>> {
            self.$below.vread(tenant, key, version)
        }
    };
    (@ $below:tt commit) => {
        fn commit<'a>(
            &'a self,
            tenant: &'a fhir_devices::store::Tenant,
            writes: Vec<fhir_devices::store::Write>,
        ) -> fhir_devices::store::BoxFuture<
            'a,
            Result<Vec<fhir_devices::store::Version>, fhir_devices::store::CommitError>,
        > {
            self.$below.commit(tenant, writes)
        }
    };
    (@ $below:tt search) => {
        fn search<'a>(
            &'a self,
            tenant: &'a fhir_devices::store::Tenant,
            search: &'a fhir_devices::store::Search,
        ) -> fhir_devices::store::BoxFuture<
            'a,
            fhir_devices::store::Result<fhir_devices::store::Page<fhir_devices::store::Version>>,
        > {
            self.$below.search(tenant, search)
        }
    };
    (@ $below:tt history) => {
        fn history<'a>(
            &'a self,
            tenant: &'a fhir_devices::store::Tenant,
            key: &'a fhir_devices::store::Key,
            limit: std::num::NonZeroU32,
            after: Option<&'a fhir_devices::store::PageToken>,
        ) -> fhir_devices::store::BoxFuture<
            'a,
            fhir_devices::store::Result<fhir_devices::store::Page<fhir_devices::store::Version>>,
        > {
            self.$below.history(tenant, key, limit, after)
        }
    };
    (@ $below:tt prune_history) => {
        fn prune_history<'a>(
            &'a self,
            tenant: &'a fhir_devices::store::Tenant,
            key: &'a fhir_devices::store::Key,
            keep: std::num::NonZeroU32,
        ) -> fhir_devices::store::BoxFuture<'a, fhir_devices::store::Result<u64>> {
            self.$below.prune_history(tenant, key, keep)
        }
    };
}
