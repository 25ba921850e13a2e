//! Where resources and update files are kept, as the command line says.

use crate::app::Stores;
use crate::settings::Settings;

/// Opens the stores.
///
/// # Errors
/// What is asked for is not in this build, or cannot be opened.
pub(crate) async fn open(settings: &Settings) -> Result<Stores, String> {
    for (asked, name, feature) in [
        (settings.data.is_some(), "--data", "redb"),
        (settings.postgres.is_some(), "--postgres", "postgres"),
        (settings.blobs.is_some(), "--blobs", "object-store"),
    ] {
        if asked {
            return Err(format!("`{name}` needs a build with the feature `{feature}`, and this one is without it"));
        }
    }
    Ok(Stores::in_memory(settings.max_upload))
}
