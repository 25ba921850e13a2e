//! Macros that make a test suite of a contract.

/// Checks a [`ResourceStore`](crate::store::ResourceStore) against its contract: one test for each clause, and one of
/// [histories](crate::testkit::history).
///
/// `store` is an expression, which may `.await`; `block_on` and `skip` may be left out. See
/// [`testkit::store`](crate::testkit::store).
///
/// ```
/// use fhir_devices::backend::Memory;
/// fhir_devices::resource_store_conformance!(memory, store = Memory::new());
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! resource_store_conformance {
    ($($arguments:tt)*) => {
        $crate::__conformance! { __resource_clauses resources $($arguments)* }
    };
}

/// Checks a [`BlobStore`](crate::store::BlobStore) against its contract: one test for each clause.
///
/// The arguments are those of [`resource_store_conformance!`](crate::resource_store_conformance).
///
/// ```
/// use fhir_devices::backend::Memory;
/// fhir_devices::blob_store_conformance!(memory, store = Memory::new());
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! blob_store_conformance {
    ($($arguments:tt)*) => {
        $crate::__conformance! { __blob_clauses blobs $($arguments)* }
    };
}

/// Checks a [`Ledger`](crate::store::Ledger) against its contract: one test for each clause, and one of
/// [histories](crate::testkit::history).
///
/// The arguments are those of [`resource_store_conformance!`](crate::resource_store_conformance).
///
/// ```
/// use fhir_devices::backend::Memory;
/// fhir_devices::ledger_conformance!(memory, store = Memory::new());
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! ledger_conformance {
    ($($arguments:tt)*) => {
        $crate::__conformance! { __ledger_clauses ledger $($arguments)* }
    };
}

/// Checks that the stores of an update service delete files by the rules of ownership: one test for each clause of
/// [`ownership`](crate::testkit::store::ownership).
///
/// `store` evaluates to [`ServiceStores`](crate::testkit::store::ownership::ServiceStores); the other arguments are
/// those of
/// [`resource_store_conformance!`](crate::resource_store_conformance).
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::testkit::store::ownership::ServiceStores;
/// fhir_devices::ownership_conformance!(memory, store = ServiceStores::of(Memory::new()));
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! ownership_conformance {
    ($($arguments:tt)*) => {
        $crate::__conformance! { __ownership_clauses ownership $($arguments)* }
    };
}

/// Checks a [`ResourceStore`](crate::store::ResourceStore) against R13 of its contract with a clock that jumps: one
/// test for each clause of [`clock`](crate::testkit::store::clock).
///
/// `store` evaluates to a [`TimedStore`](crate::testkit::store::clock::TimedStore); the other arguments are those of
/// [`resource_store_conformance!`](crate::resource_store_conformance).
///
/// ```
/// use fhir_devices::backend::Memory;
/// use fhir_devices::testkit::store::clock::{TestClock, TimedStore};
/// fhir_devices::resource_clock_conformance!(
///     memory,
///     store = {
///         let clock = TestClock::new();
///         TimedStore::new(clock.clone(), Memory::new().with_clock(clock))
///     }
/// );
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! resource_clock_conformance {
    ($($arguments:tt)*) => {
        $crate::__conformance! { __clock_clauses clock $($arguments)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance {
    ($list:ident $suite:ident $name:ident, store = $store:expr $(,)?) => {
        $crate::__conformance! { @ $list $suite $name, $store, None::<&str>, $crate::testkit::store::block_on }
    };
    ($list:ident $suite:ident $name:ident, store = $store:expr, block_on = $block_on:expr $(,)?) => {
        $crate::__conformance! { @ $list $suite $name, $store, None::<&str>, $block_on }
    };
    ($list:ident $suite:ident $name:ident, store = $store:expr, skip = $skip:expr $(,)?) => {
        $crate::__conformance! { @ $list $suite $name, $store, $skip, $crate::testkit::store::block_on }
    };
    ($list:ident $suite:ident $name:ident, store = $store:expr, skip = $skip:expr, block_on = $block_on:expr $(,)?) => {
        $crate::__conformance! { @ $list $suite $name, $store, $skip, $block_on }
    };
    ($list:ident $suite:ident $name:ident, store = $store:expr, block_on = $block_on:expr, skip = $skip:expr $(,)?) => {
        $crate::__conformance! { @ $list $suite $name, $store, $skip, $block_on }
    };
    (@ $list:ident $suite:ident $name:ident, $store:expr, $skip:expr, $block_on:expr) => {
        #[cfg(test)]
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $crate::$list! { $crate::__tests { $suite, $store, $skip, $block_on } }
            $crate::__history! { $suite, $store, $skip, $block_on }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ({ $suite:ident, $store:expr, $skip:expr, $block_on:expr } $($(#[doc = $doc:literal])* $name:ident)*) => {
        $(
            #[test]
            fn $name() -> ::std::result::Result<(), $crate::testkit::store::BrokenClause> {
                if let Some(reason) = $skip {
                    println!("skipped: {reason}");
                    return Ok(());
                }
                $crate::testkit::store::$suite::test(
                    async { $store },
                    |task| ($block_on)(task),
                    $crate::testkit::store::$suite::$name,
                )
            }
        )*
    };
}

/// The histories of a suite, in one test. Blobs are immutable and have none.
#[doc(hidden)]
#[macro_export]
macro_rules! __history {
    (blobs, $($arguments:tt)*) => {};
    (clock, $($arguments:tt)*) => {};
    (ownership, $($arguments:tt)*) => {};
    (publisher, $($arguments:tt)*) => {};
    ($suite:ident, $store:expr, $skip:expr, $block_on:expr) => {
        #[test]
        fn concurrent_calls_have_an_order() -> ::std::result::Result<(), $crate::testkit::store::BrokenClause> {
            if let Some(reason) = $skip {
                println!("skipped: {reason}");
                return Ok(());
            }
            $crate::testkit::store::$suite::test_history(async { $store }, |task| ($block_on)(task))
        }
    };
}

/// The public functions of a suite, from its list of clauses.
macro_rules! functions {
    ({ $Store:ty } $($(#[doc = $doc:literal])* $name:ident)*) => {
        $(
            $(#[doc = $doc])*
            ///
            /// # Errors
            #[doc = "[`BrokenClause`](super::BrokenClause) when the store breaks the clause."]
            pub fn $name(trial: &super::StoreUnderTest<'_, $Store>) -> super::ClauseResult {
                clauses::$name(trial).map_err(|broken| broken.under(stringify!($name), concat!($($doc),*)))
            }
        )*

        /// Returns the clauses on which the others rest, simplest first.
        fn foundations() -> impl Iterator<Item = &'static super::Clause<$Store>> {
            FOUNDATIONS.iter().filter_map(|name| CLAUSES.iter().find(|clause| clause.name == *name))
        }

        /// Every clause, in the order of the contract.
        pub const CLAUSES: &[super::Clause<$Store>] = &[
            $(super::Clause { name: stringify!($name), text: concat!($($doc),*).trim_ascii(), check: $name },)*
        ];
    };
}

pub(super) use functions;
