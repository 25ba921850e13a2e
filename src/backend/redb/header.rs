//! The length of a file according to its header. The engine asserts it, so that a difference would end in a panic.

use std::fmt;

/// Number of header bytes needed for the length.
pub(super) const LENGTH: usize = 32;

/// The size of a page, by default of the builder.
const PAGE: u64 = 4_096;

/// Maximum size of the pages of a region: page numbers and offsets in a region have 32 bits.
const MAX_REGION: u64 = 1 << 32;

/// The reason why the engine cannot use a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    Foreign,
    Header,
    Truncated { length: u64, wanted: u64 },
    PartOfPage,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("is no such store: it begins with other bytes"),
            Self::Header => f.write_str("is damaged: its header says what cannot be"),
            Self::Truncated { length, wanted } => {
                write!(f, "is truncated: it has {length} bytes, and its header says at least {wanted}")
            }
            Self::PartOfPage => f.write_str("is damaged: it ends within a page"),
        }
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u32::from_le_bytes(*bytes.first_chunk()?).into())
}

/// Checks the length of a file against its first bytes.
pub(super) fn check(head: &[u8; LENGTH], length: u64) -> Result<(), Damage> {
    let (magic, rest) = head.split_at(9);
    if magic != b"redb\x1A\x0A\xA9\x0D\x0A" {
        return Err(Damage::Foreign);
    }
    let flags = rest.first().copied().unwrap_or_default();
    let numbers: Option<Vec<u64>> = rest.get(3..).map(|rest| rest.chunks_exact(4).filter_map(number).collect());
    let Some(&[page, header_pages, max_pages, regions, last_pages]) = numbers.as_deref() else {
        return Err(Damage::Header);
    };
    let is_possible = page == PAGE && max_pages > 0 && last_pages <= max_pages && regions + last_pages > 0;
    if !is_possible || (header_pages + max_pages).saturating_mul(PAGE) > MAX_REGION {
        return Err(Damage::Header);
    }
    let region = (header_pages + max_pages) * PAGE;
    let last = if last_pages > 0 { (header_pages + last_pages) * PAGE } else { 0 };
    // At most 2^32 regions of 2^32 bytes each.
    let wanted = u128::from(regions) * u128::from(region) + u128::from(last) + u128::from(PAGE);
    if u128::from(length) < wanted {
        return Err(Damage::Truncated { length, wanted: u64::try_from(wanted).unwrap_or(u64::MAX) });
    }
    let needs_recovery = flags & 2 != 0 || u128::from(length) != wanted;
    let beyond = (length - PAGE) % region;
    let is_whole = beyond == 0 || (beyond.is_multiple_of(PAGE) && beyond >= (header_pages + 1) * PAGE);
    if needs_recovery && !is_whole { Err(Damage::PartOfPage) } else { Ok(()) }
}
