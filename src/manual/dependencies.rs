//! Public dependencies: crates whose types are part of this interface, and the meaning of their major versions.
//!
//! | crate | version | where its types stand | feature |
//! |---|---|---|---|
//! | `time` | 0.3 | times of records, versions and clocks: `OffsetDateTime` | |
//! | `url` | 2 | addresses of update files: `Url` | |
//! | `bytes` | 1 | bodies of resources, records and update files: `Bytes` | |
//! | `futures-core` | 0.3 | [`ByteStream`](crate::store::ByteStream) is a boxed `Stream` | |
//! | `serde` | 1 | resources, records and ids implement `Serialize` and `Deserialize` | |
//! | `smol_str` | 0.3 | texts of [`Criterion`](crate::search::Criterion), [`Token`](crate::search::Token) and index entries: `SmolStr` | |
//! | `axum` | 0.8 | `server`: the router | `server` |
//! | `tokio` | 1 | `server`: listeners and connections | `server` |
//! | `tokio-rustls` | 0.26 | `server`: `TlsAcceptor` | `server` |
//! | `proptest` | 1 | `testkit`: strategies | `testkit` |
//! | `rustls` | 0.23 | the provider of cryptography that a program gives | `fhir-http`, `iot-hub`, `mqtt`, `object-store` |
//! | `tokio-postgres` | 0.7 | the TLS connector of `Postgres` | `postgres` |
//! | `object_store` | 0.14 | the driver of `Objects` | `object-store` |
//!
//! `bytes`, `time` and `url` are re-exported at the root of the crate, so that a program needs no dependency of its own
//! on them: `fhir_devices::time::OffsetDateTime`. The other crates of the first six rows are only needed by a program
//! that implements a store or builds a criterion by hand.
//!
//! # What a new major version means
//!
//! - **Without a feature** (the first six rows): a new major version of this crate.
//! - **Behind a feature**: engines and frameworks release majors often, and do not decide the major version of this
//!   crate. A new major of one of them comes with a minor release, listed in the changelog under *Dependencies*. A
//!   program that names such types itself pins the minor version of this crate.
//! - **All others** are private: none of their types is part of the interface, and they change in any release.

#[cfg(test)]
mod tests {
    /// Returns crate and version of each row of the table.
    fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
        include_str!("dependencies.rs").lines().filter_map(|line| {
            let mut cells = line.strip_prefix("//! | `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`'), cells.next()?))
        })
    }

    #[test]
    fn public_dependencies_have_the_versions_of_the_package() {
        let package = include_str!("../../Cargo.toml").split("[dev-dependencies]").next().unwrap_or_default();
        assert!(rows().count() > 10);
        for (name, version) in rows() {
            let line = package.lines().find(|line| line.split(" = ").next() == Some(name));
            let found = line.and_then(|line| line.split('"').nth(1));
            assert_eq!(found, Some(version), "{name}");
        }
    }
}
