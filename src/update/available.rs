//! Available updates of a component: reading and writing the extension `available-update`.

use crate::datatype::{Attachment, Extension, ExtensionValue, Primitive};
use crate::manifest::IngestId;
use crate::primitive::{CanonicalBase, CanonicalName, Code, DateTime, Decimal, Id, Text, UnsignedInt, Uri};
use crate::resource::DeviceComponent;
use crate::store::{BlobRef, Sha256};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;

/// URL, under the default base, of the extension for an update that is available for a component. Its definition is
/// `schemas/StructureDefinition-available-update.json`.
///
/// The caller may have chosen another base: use [`is_available_update`] rather than comparing with it.
pub const AVAILABLE_UPDATE: &str = CanonicalName::AvailableUpdate.default_url();

/// Returns whether an extension with this URL is an available update, under any [`CanonicalBase`].
///
/// ```
/// use fhir_devices::update::{AVAILABLE_UPDATE, is_available_update};
/// assert!(is_available_update(AVAILABLE_UPDATE));
/// assert!(is_available_update("https://fhir.hospital.example/StructureDefinition/fhir-devices-available-update"));
/// assert!(!is_available_update("https://vendor.example/StructureDefinition/available-update"));
/// ```
#[must_use]
pub fn is_available_update(url: &str) -> bool {
    CanonicalName::AvailableUpdate.matches(url)
}

/// Status of an available update.
///
/// ```
/// use fhir_devices::update::UpdateStatus;
/// assert_eq!("withdrawn".parse(), Ok(UpdateStatus::Withdrawn));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, SerializeDisplay, DeserializeFromStr)]
pub enum UpdateStatus {
    /// The update to install.
    Current,
    /// A later update superseded it.
    Superseded,
    /// The update was withdrawn and must not be installed.
    Withdrawn,
}

impl UpdateStatus {
    /// All statuses.
    pub const ALL: [Self; 3] = [Self::Current, Self::Superseded, Self::Withdrawn];

    /// Returns the code: `current`, `superseded` or `withdrawn`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Superseded => "superseded",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl fmt::Display for UpdateStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for UpdateStatus {
    type Err = NotAnUpdate;

    fn from_str(code: &str) -> Result<Self, NotAnUpdate> {
        Self::ALL.into_iter().find(|status| status.as_str() == code).ok_or(NotAnUpdate { part: "status" })
    }
}

/// Error for an extension with the URL of an available update that does not follow its definition.
///
/// ```
/// let error = fhir_devices::update::NotAnUpdate { part: "size" };
/// assert_eq!(error.to_string(), "the part `size` of the available update is missing or malformed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the part `{part}` of the available update is missing or malformed")]
pub struct NotAnUpdate {
    /// Name of the invalid part of the extension.
    pub part: &'static str,
}

/// File of an update.
///
/// ```
/// use fhir_devices::primitive::{Code, Text, Uri};
/// use fhir_devices::update::UpdateFile;
/// let url = Uri::new("https://cdn.example/acme/sha256/ba78")?;
/// let file = UpdateFile::new(url, Code::new("application/octet-stream")?, Text::new("pump-2.4.bin")?);
/// assert_eq!(file.title, "pump-2.4.bin");
/// # Ok::<(), fhir_devices::element::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpdateFile {
    /// URL of the bytes.
    pub url: Uri,
    /// Media type.
    pub content_type: Code,
    /// File name given at the upload: data, never a path.
    pub title: Text,
    /// Time of the upload.
    pub creation: Option<DateTime>,
}

impl UpdateFile {
    /// Creates a file from the URL of its bytes, its media type, and its name.
    #[must_use]
    pub const fn new(url: Uri, content_type: Code, title: Text) -> Self {
        Self { url, content_type, title, creation: None }
    }

    /// Sets the time of the upload.
    #[must_use]
    pub fn with_creation(self, creation: DateTime) -> Self {
        Self { creation: Some(creation), ..self }
    }
}

/// Update that is available for a component.
///
/// ```
/// use fhir_devices::update::{AvailableUpdate, UpdateFile, UpdateStatus};
/// use fhir_devices::manifest::IngestId;
/// use fhir_devices::store::BlobRef;
///
/// let url = "https://cdn.example/pump".parse()?;
/// let file = UpdateFile::new(url, "application/octet-stream".parse()?, "pump-2.4.bin".parse()?);
/// let update = AvailableUpdate::new(IngestId(7), BlobRef::of(b"firmware"), file)
///     .with_version("2.4".parse()?)
///     .with_sequence(20_240_117_001);
/// assert_eq!(update.status, UpdateStatus::Current);
/// assert_eq!(AvailableUpdate::from_extension(&update.to_extension())?, update);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AvailableUpdate {
    /// Id of the upload.
    pub id: IngestId,
    /// Version, as named by the manufacturer. Versions are not ordered as text.
    pub version: Option<Text>,
    /// Sequence number, higher for later updates of the component.
    pub sequence: Option<u64>,
    /// Status of the update.
    pub status: UpdateStatus,
    /// SHA-256 digest of the bytes.
    pub sha256: Sha256,
    /// Size in bytes.
    pub size: u64,
    /// File of the update.
    pub file: UpdateFile,
    /// Number of times that the update was made current again after being superseded.
    pub restored: u32,
    /// Whether the file is known to be damaged: it is not served until the same bytes are uploaded again.
    pub damaged: bool,
}

impl AvailableUpdate {
    /// Creates a current update without version and sequence number.
    #[must_use]
    pub const fn new(id: IngestId, bytes: BlobRef, file: UpdateFile) -> Self {
        Self {
            id,
            version: None,
            sequence: None,
            status: UpdateStatus::Current,
            sha256: bytes.digest,
            size: bytes.size,
            file,
            restored: 0,
            damaged: false,
        }
    }

    /// Sets the version, as named by the manufacturer.
    #[must_use]
    pub fn with_version(self, version: Text) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Sets its sequence number.
    #[must_use]
    pub fn with_sequence(self, sequence: u64) -> Self {
        Self { sequence: Some(sequence), ..self }
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(self, status: UpdateStatus) -> Self {
        Self { status, ..self }
    }

    /// Sets the file.
    #[must_use]
    pub fn with_file(self, file: UpdateFile) -> Self {
        Self { file, ..self }
    }

    /// Sets how often the update was made current again after being superseded.
    #[must_use]
    pub fn with_restored(self, restored: u32) -> Self {
        Self { restored, ..self }
    }

    /// Sets whether the file is known to be damaged.
    #[must_use]
    pub fn with_damaged(self, damaged: bool) -> Self {
        Self { damaged, ..self }
    }

    /// Converts the update into an extension of a component, under the default base.
    #[must_use]
    pub fn to_extension(&self) -> Extension {
        self.to_extension_under(&CanonicalBase::default())
    }

    /// Converts the update into an extension of a component, with its URL under this base.
    #[must_use]
    pub fn to_extension_under(&self, base: &CanonicalBase) -> Extension {
        let text = |text: String| Text::new(text).ok().map(Primitive::from);
        let parts = [
            part("id", Id::new(self.id.to_string()).ok().map(Primitive::from)),
            part("version", self.version.clone().map(Primitive::from)),
            part("sequence", self.sequence.and_then(number)),
            part("status", Code::new(self.status.as_str()).ok().map(Primitive::from)),
            part("sha-256", text(self.sha256.to_string())),
            part("size", number(self.size)),
            part("file", Some(Box::new(self.attachment()))),
            part("restored", number(self.restored.into()).filter(|_| self.restored > 0)),
            part("damaged", self.damaged.then(|| Primitive::from(true))),
        ];
        let parts = parts.into_iter().flatten().collect();
        Extension::complex(base.url(CanonicalName::AvailableUpdate), parts)
    }

    fn attachment(&self) -> Attachment {
        let size = u32::try_from(self.size).ok().and_then(|size| UnsignedInt::try_from(size).ok());
        Attachment {
            content_type: Some(self.file.content_type.clone().into()),
            url: Some(self.file.url.clone().into()),
            size: size.map(Primitive::from),
            title: Some(self.file.title.clone().into()),
            creation: self.file.creation.clone().map(Primitive::from),
            ..Attachment::default()
        }
    }

    /// Parses the extension. Parts that the definition does not name are ignored.
    ///
    /// # Errors
    /// [`NotAnUpdate`] when a part is missing or violates the definition.
    pub fn from_extension(extension: &Extension) -> Result<Self, NotAnUpdate> {
        let value = |url: &'static str| extension.part(url).and_then(|part| part.value.as_ref());
        let wrong = |part: &'static str| move || NotAnUpdate { part };
        let optional_version = match value("version") {
            None => None,
            Some(ExtensionValue::String(Primitive { value: Some(version), .. })) => Some(version.clone()),
            Some(_) => return Err(NotAnUpdate { part: "version" }),
        };
        let sequence = match value("sequence") {
            None => None,
            Some(number) => Some(whole(number).ok_or_else(wrong("sequence"))?),
        };
        let restored = match value("restored") {
            None => Some(0),
            Some(number) => whole(number).and_then(|number| u32::try_from(number).ok()),
        };
        let status = match value("status") {
            Some(ExtensionValue::Code(Primitive { value: Some(code), .. })) => code.as_str().parse().ok(),
            _ => None,
        };
        let sha256 = match value("sha-256") {
            Some(ExtensionValue::String(Primitive { value: Some(digest), .. })) => digest.as_str().parse().ok(),
            _ => None,
        };
        let damaged = match value("damaged") {
            None => Some(false),
            Some(ExtensionValue::Boolean(damaged)) => damaged.value,
            Some(_) => None,
        };
        let file = match value("file") {
            Some(ExtensionValue::Attachment(attachment)) => read_file(attachment),
            _ => None,
        };
        Ok(Self {
            id: update_id(extension).ok_or_else(wrong("id"))?,
            version: optional_version,
            sequence,
            status: status.ok_or_else(wrong("status"))?,
            sha256: sha256.ok_or_else(wrong("sha-256"))?,
            size: value("size").and_then(whole).ok_or_else(wrong("size"))?,
            file: file.ok_or_else(wrong("file"))?,
            restored: restored.ok_or_else(wrong("restored"))?,
            damaged: damaged.ok_or_else(wrong("damaged"))?,
        })
    }
}

/// Parses an extension that holds nothing but the update: no part twice, and none that the definition does not name. Ids
/// of elements are ignored, as a server may add them.
pub(crate) fn exactly(extension: &Extension) -> Option<AvailableUpdate> {
    let mut extension = extension.clone();
    extension.id = None;
    extension.extension.iter_mut().for_each(|part| part.id = None);
    AvailableUpdate::from_extension(&extension).ok().filter(|update| states(&extension, update))
}

/// Returns whether an extension is the update as this crate writes it, under any base and in any order of its parts.
pub(crate) fn states(extension: &Extension, update: &AvailableUpdate) -> bool {
    let parts = |extension: &Extension| {
        let mut parts = extension.extension.clone();
        parts.sort_by(|one, two| one.url.as_str().cmp(two.url.as_str()));
        parts
    };
    let written = update.to_extension();
    let is_alone = Extension { url: written.url.clone(), extension: Vec::new(), ..extension.clone() }
        == Extension { extension: Vec::new(), ..written.clone() };
    is_alone && parts(extension) == parts(&written)
}

/// Removes the part `damaged` from the extension of an update: it is shown, but never stored.
pub(crate) fn remove_damage(update: &mut Extension) {
    update.extension.retain(|part| part.url.as_str() != "damaged");
}

/// Returns whether the JSON of a component may contain an available update: by its name, or by an escape that could
/// hide it.
pub(crate) fn may_have_updates(json: &[u8]) -> bool {
    std::str::from_utf8(json).is_ok_and(|json| json.contains("available-update") || json.contains("\\u"))
}

/// Returns the id of an available update, even if other parts are invalid.
pub(crate) fn update_id(extension: &Extension) -> Option<IngestId> {
    match extension.part("id").and_then(|part| part.value.as_ref()) {
        Some(ExtensionValue::Id(Primitive { value: Some(id), .. })) => id.as_str().parse().ok(),
        _ => None,
    }
}

fn number(n: u64) -> Option<Primitive<Decimal>> {
    Decimal::new(n.to_string()).ok().map(Primitive::from)
}

fn part<V: Into<ExtensionValue>>(url: &'static str, value: Option<V>) -> Option<Extension> {
    Some(Extension::new(Uri::new(url).ok()?, value?))
}

fn whole(value: &ExtensionValue) -> Option<u64> {
    match value {
        ExtensionValue::Decimal(Primitive { value: Some(number), .. }) => number.as_str().parse().ok(),
        _ => None,
    }
}

fn read_file(attachment: &Attachment) -> Option<UpdateFile> {
    Some(UpdateFile {
        url: attachment.url.as_ref()?.value.clone()?,
        content_type: attachment.content_type.as_ref()?.value.clone()?,
        title: attachment.title.as_ref()?.value.clone()?,
        creation: attachment.creation.as_ref().and_then(|creation| creation.value.clone()),
    })
}

/// Parses the available updates of a component, in the order of its extensions.
///
/// ```
/// # use fhir_devices::{DeviceComponent, update::available};
/// # let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"}}"#;
/// let component = DeviceComponent::from_json(json)?;
/// assert_eq!(available(&component).count(), 0);
/// # Ok::<(), fhir_devices::Report>(())
/// ```
///
/// The updates are not borrowed from the component, which may be changed meanwhile:
///
/// ```
/// # use fhir_devices::{DeviceComponent, manifest::IngestId, store::BlobRef};
/// # use fhir_devices::update::{AvailableUpdate, UpdateFile, attach, available, detach};
/// # let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"}}"#;
/// # let mut component = DeviceComponent::from_json(json)?;
/// # let file = UpdateFile::new("https://cdn.example/a".parse()?, "application/zip".parse()?, "a.zip".parse()?);
/// # attach(&mut component, &AvailableUpdate::new(IngestId(7), BlobRef::of(b"firmware"), file));
/// for update in available(&component).flatten() {
///     detach(&mut component, update.id);
/// }
/// assert_eq!(available(&component).len(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn available(
    component: &DeviceComponent,
) -> impl ExactSizeIterator<Item = Result<AvailableUpdate, NotAnUpdate>> + DoubleEndedIterator + use<> {
    let ours = component.extension.iter().filter(|extension| is_available_update(extension.url.as_str()));
    ours.map(AvailableUpdate::from_extension).collect::<Vec<_>>().into_iter()
}

/// Returns the current update of a component: neither superseded nor withdrawn.
///
/// ```
/// # use fhir_devices::{DeviceComponent, update::current};
/// # let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"}}"#;
/// let component = DeviceComponent::from_json(json)?;
/// assert_eq!(current(&component), None);
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[must_use]
pub fn current(component: &DeviceComponent) -> Option<AvailableUpdate> {
    available(component).flatten().find(|update| update.status == UpdateStatus::Current)
}

/// Adds an update to a component and marks every current one as superseded. Nothing else changes.
///
/// An update whose id is present already is not added again.
///
/// ```
/// # use fhir_devices::{DeviceComponent, manifest::IngestId, store::BlobRef, update::*};
/// # let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"}}"#;
/// # let mut component = DeviceComponent::from_json(json)?;
/// # let file = UpdateFile::new("https://cdn.example/a".parse()?, "application/zip".parse()?, "a.zip".parse()?);
/// let update = AvailableUpdate::new(IngestId(7), BlobRef::of(b"firmware"), file);
/// attach(&mut component, &update);
/// attach(&mut component, &update);
/// assert_eq!(available(&component).count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn attach(component: &mut DeviceComponent, update: &AvailableUpdate) {
    attach_under(component, update, &CanonicalBase::default());
}

/// Adds an update like [`attach`], with the URL of the extension under this base.
///
/// ```
/// use fhir_devices::primitive::CanonicalBase;
/// # use fhir_devices::{DeviceComponent, manifest::IngestId, store::BlobRef, update::*};
/// # let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"}}"#;
/// # let mut component = DeviceComponent::from_json(json)?;
/// # let file = UpdateFile::new("https://cdn.example/a".parse()?, "application/zip".parse()?, "a.zip".parse()?);
/// # let update = AvailableUpdate::new(IngestId(7), BlobRef::of(b"firmware"), file);
/// let ours = CanonicalBase::new("https://acme.example/fhir/")?;
/// attach_under(&mut component, &update, &ours);
/// assert!(component.to_json().contains(r#""url":"https://acme.example/fhir/"#));
/// assert_eq!(available(&component).count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn attach_under(component: &mut DeviceComponent, update: &AvailableUpdate, base: &CanonicalBase) {
    if available(component).flatten().any(|there| there.id == update.id) {
        return;
    }
    supersede_current(component);
    component.extension.push(update.to_extension_under(base));
}

/// Adds an update like [`attach_under`], but leaves current updates alone for which `is_foreign` returns true.
pub(crate) fn attach_beside(
    component: &mut DeviceComponent,
    update: &AvailableUpdate,
    base: &CanonicalBase,
    is_foreign: impl Fn(&Extension) -> bool,
) {
    if available(component).flatten().any(|there| there.id == update.id) {
        return;
    }
    supersede_current_but(component, is_foreign);
    component.extension.push(update.to_extension_under(base));
}

/// Writes the correct reference of an update into a component: in the place of an existing one, or else after those
/// with lower sequence numbers.
pub(crate) fn put_back(component: &mut DeviceComponent, update: &AvailableUpdate, base: &CanonicalBase) {
    let truth = update.to_extension_under(base);
    let is_own =
        |extension: &Extension| is_available_update(extension.url.as_str()) && update_id(extension) == Some(update.id);
    let mut places = (0..).zip(&component.extension).filter(|(_, extension)| is_own(extension)).map(|(at, _)| at);
    if let Some(place) = places.next() {
        let mut at = 0_usize;
        component.extension.retain(|extension| {
            at = at.saturating_add(1);
            at.saturating_sub(1) <= place || !is_own(extension)
        });
        if let Some(own) = component.extension.get_mut(place) {
            *own = truth;
        }
        return;
    }
    let updates = component.extension.iter().enumerate().filter_map(|(at, extension)| {
        let is_update = is_available_update(extension.url.as_str());
        is_update.then(|| AvailableUpdate::from_extension(extension).ok()).flatten().map(|other| (at, other))
    });
    let (mut behind, mut first_current) = (None, None);
    for (at, other) in updates {
        if other.sequence.is_some_and(|sequence| update.sequence.is_some_and(|own| sequence < own)) {
            behind = Some(at.saturating_add(1));
        }
        if other.status == UpdateStatus::Current && first_current.is_none() {
            first_current = Some(at);
        }
    }
    let end = component.extension.len();
    let before_current = first_current.filter(|_| update.status != UpdateStatus::Current);
    component.extension.insert(behind.or(before_current).unwrap_or(end).min(end), truth);
}

/// Marks every current update of a component as superseded.
fn supersede_current(component: &mut DeviceComponent) {
    supersede_current_but(component, |_| false);
}

fn supersede_current_but(component: &mut DeviceComponent, is_foreign: impl Fn(&Extension) -> bool) {
    for extension in component.extension.iter_mut().filter(|extension| is_available_update(extension.url.as_str())) {
        if has_status(extension, UpdateStatus::Current) && !is_foreign(extension) {
            set_status(extension, UpdateStatus::Superseded);
        }
    }
}

fn has_status(extension: &Extension, wanted: UpdateStatus) -> bool {
    let status = extension.part("status").and_then(|part| part.value.as_ref());
    matches!(status, Some(ExtensionValue::Code(code)) if code.value.as_ref().is_some_and(|code| code.as_str() == wanted.as_str()))
}

pub(crate) fn set_status(extension: &mut Extension, status: UpdateStatus) {
    for part in extension.extension.iter_mut().filter(|part| part.url == "status") {
        part.value = Code::new(status.as_str()).ok().map(|code| ExtensionValue::from(Primitive::from(code)));
    }
}

fn is_of(extension: &Extension, id: IngestId) -> bool {
    is_available_update(extension.url.as_str())
        && AvailableUpdate::from_extension(extension).is_ok_and(|update| update.id == id)
}

/// Makes an update of a component current again and marks every other current one as superseded. `restored` is how
/// often the update was made current again, including this time. Returns whether the update is present; nothing else
/// changes.
///
/// ```
/// # use fhir_devices::{DeviceComponent, manifest::IngestId, store::BlobRef, update::*};
/// # let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"}}"#;
/// # let mut component = DeviceComponent::from_json(json)?;
/// # let file = UpdateFile::new("https://cdn.example/a".parse()?, "application/zip".parse()?, "a.zip".parse()?);
/// let one = AvailableUpdate::new(IngestId(7), BlobRef::of(b"firmware"), file.clone());
/// let two = AvailableUpdate::new(IngestId(8), BlobRef::of(b"later"), file);
/// attach(&mut component, &one);
/// attach(&mut component, &two);
/// assert!(make_current(&mut component, one.id, 1));
/// let status: Vec<_> = available(&component).flatten().map(|update| update.status).collect();
/// assert_eq!(status, [UpdateStatus::Current, UpdateStatus::Superseded]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn make_current(component: &mut DeviceComponent, id: IngestId, restored: u32) -> bool {
    make_current_beside(component, id, restored, |_| false)
}

/// Makes an update current like [`make_current`], but leaves current updates alone for which `is_foreign` returns true.
pub(crate) fn make_current_beside(
    component: &mut DeviceComponent,
    id: IngestId,
    restored: u32,
    is_foreign: impl Fn(&Extension) -> bool,
) -> bool {
    if !component.extension.iter().any(|extension| is_of(extension, id)) {
        return false;
    }
    supersede_current_but(component, is_foreign);
    for extension in component.extension.iter_mut().filter(|extension| is_of(extension, id)) {
        set_status(extension, UpdateStatus::Current);
        extension.extension.retain(|part| part.url != "restored");
        extension.extension.extend(part("restored", number(restored.into())));
    }
    true
}

/// Marks an update of a component as withdrawn: it must not be installed, and no other becomes current instead. Returns
/// whether the update is present; nothing else changes.
///
/// ```
/// # use fhir_devices::{DeviceComponent, manifest::IngestId, store::BlobRef, update::*};
/// # let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"}}"#;
/// # let mut component = DeviceComponent::from_json(json)?;
/// # let file = UpdateFile::new("https://cdn.example/a".parse()?, "application/zip".parse()?, "a.zip".parse()?);
/// # let update = AvailableUpdate::new(IngestId(7), BlobRef::of(b"firmware"), file);
/// attach(&mut component, &update);
/// assert!(withdraw(&mut component, update.id));
/// let found = available(&component).flatten().next().unwrap();
/// assert_eq!(found.status, UpdateStatus::Withdrawn);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn withdraw(component: &mut DeviceComponent, id: IngestId) -> bool {
    let mut there = false;
    for extension in component.extension.iter_mut().filter(|extension| is_of(extension, id)) {
        set_status(extension, UpdateStatus::Withdrawn);
        there = true;
    }
    there
}

/// Removes an update from a component. Nothing else changes: updates that it superseded stay superseded.
///
/// ```
/// # use fhir_devices::{DeviceComponent, manifest::IngestId, store::BlobRef, update::*};
/// # let json = br#"{"resourceType":"DeviceComponent","identifier":{"value":"1"},"type":{"text":"pump"}}"#;
/// # let mut component = DeviceComponent::from_json(json)?;
/// # let file = UpdateFile::new("https://cdn.example/a".parse()?, "application/zip".parse()?, "a.zip".parse()?);
/// # let update = AvailableUpdate::new(IngestId(7), BlobRef::of(b"firmware"), file);
/// attach(&mut component, &update);
/// detach(&mut component, update.id);
/// assert_eq!(available(&component).count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn detach(component: &mut DeviceComponent, id: IngestId) {
    component.extension.retain(|extension| {
        !is_available_update(extension.url.as_str())
            || AvailableUpdate::from_extension(extension).map(|update| update.id) != Ok(id)
    });
}

/// Changes the URL of the file of an update; returns `false` if nothing changed.
pub(crate) fn move_file(component: &mut DeviceComponent, id: IngestId, url: &Uri) -> bool {
    for extension in &mut component.extension {
        if !is_available_update(extension.url.as_str())
            || AvailableUpdate::from_extension(extension).map(|update| update.id) != Ok(id)
        {
            continue;
        }
        for part in extension.extension.iter_mut().filter(|part| part.url == "file") {
            if let Some(ExtensionValue::Attachment(attachment)) = &mut part.value
                && attachment.url.as_ref().and_then(|known| known.value.as_ref()) != Some(url)
            {
                attachment.url = Some(url.clone().into());
                return true;
            }
        }
    }
    false
}
