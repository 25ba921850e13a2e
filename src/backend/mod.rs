//! Store implementations: in memory, one that discards everything, and real engines behind features of their own.

mod checks;
#[cfg(any(feature = "redb", feature = "postgres"))]
mod codes;
#[cfg(feature = "cosmos")]
pub mod cosmos;
mod discard;
#[cfg(feature = "fhir-http")]
pub mod fhir_http;
#[cfg(feature = "redb")]
mod files;
#[cfg(feature = "iot-hub")]
pub mod iot_hub;
pub mod memory;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "object-store")]
pub mod object_store;
#[cfg(feature = "redb")]
mod oneshot;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redb")]
mod private_file;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(feature = "encryption")]
pub mod sealed;
mod slots;

#[cfg(feature = "postgres")]
pub use self::postgres::Postgres;
#[cfg(feature = "redb")]
pub use self::redb::Redb;
#[cfg(feature = "cosmos")]
pub use cosmos::Cosmos;
pub use discard::Discard;
#[cfg(feature = "fhir-http")]
pub use fhir_http::FhirServer;
#[cfg(feature = "redb")]
pub use files::Files;
#[cfg(feature = "iot-hub")]
pub use iot_hub::IotHub;
pub use memory::Memory;
#[cfg(feature = "mqtt")]
pub use mqtt::Mqtt;
#[cfg(feature = "object-store")]
pub use object_store::Objects;
pub use slots::Slots;
