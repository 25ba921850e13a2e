//! Timestamps in records, in the text form of `instant`.

use super::Instant;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use time::OffsetDateTime;

/// Text of a time before the year 1: in a record it only means that the time has passed.
const EARLIEST: &str = "0001-01-01T00:00:00Z";

pub(crate) fn serialize<S: Serializer>(moment: &OffsetDateTime, to: S) -> Result<S::Ok, S::Error> {
    match Instant::try_from(*moment) {
        Ok(text) => text.serialize(to),
        Err(_) => to.serialize_str(EARLIEST),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<OffsetDateTime, D::Error> {
    let text = Instant::deserialize(from)?;
    text.to_offset_date_time().ok_or_else(|| D::Error::custom("the moment lies in the year 10000"))
}

/// Serde form of an optional time.
pub(crate) mod optional {
    use super::{Deserialize, Deserializer, OffsetDateTime, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(moment: &Option<OffsetDateTime>, to: S) -> Result<S::Ok, S::Error> {
        moment.map(Written).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<OffsetDateTime>, D::Error> {
        Ok(Option::<Written>::deserialize(from)?.map(|written| written.0))
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Written(#[serde(with = "super")] OffsetDateTime);
}
