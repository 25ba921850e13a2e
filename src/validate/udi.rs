//! Rules for `Device.udi`: its carriers can be read, and say what the record says.
//!
//! FHIR 3.0.2 demands that what the record says outside `udi` agrees with the carrier. Published records, the
//! specification's own examples among them, break that, and carriers are written wrongly in the field: the findings are
//! warnings.

use crate::datatype::Primitive;
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::{DateTime, Text, Uri};
use crate::resource::Device;
use crate::resource::device::Udi as Recorded;
use crate::udi::{Agency, Day, ParseMode, Parsed, SecondarySymbol, Udi};

/// The type of an identifier that is a serial number.
const SERIAL: (&str, &str) = ("http://hl7.org/fhir/identifier-type", "SNO");

/// Checks the carriers of a device, and what the record says beside them.
pub(super) fn device(device: &Device, at: &Path<'_>, report: &mut Report) {
    let Some(recorded) = &device.udi else { return };
    let udi = at.child("udi");
    let mut find = |rule: &'static str, at: &Path<'_>, message: String| {
        report.push(Issue::new(rule, Severity::Warning, IssueType::BusinessRule, at, message).with_row("Device.udi"));
    };
    let year = year(device);
    let hrf = text(&recorded.carrier_hrf).map(|text| Udi::parse(text, ParseMode::Lenient, year));
    let aidc = recorded.carrier_aidc.as_ref().and_then(|carrier| carrier.value.as_ref());
    let aidc = aidc.map(|carrier| Udi::parse_bytes(&carrier.decode(), ParseMode::Lenient, year));
    let second = |text: &str| SecondarySymbol::parse(text, ParseMode::Lenient, year).ok().map(|read| read.fragment);
    let fragment = match (&hrf, &aidc) {
        (Some(Err(_)), _) => text(&recorded.carrier_hrf).and_then(second),
        (_, Some(Err(_))) => recorded
            .carrier_aidc
            .as_ref()
            .and_then(|carrier| carrier.value.as_ref())
            .and_then(|carrier| String::from_utf8(carrier.decode()).ok())
            .and_then(|carrier| second(&carrier)),
        _ => None,
    };
    for (name, read) in [("carrierHRF", &hrf), ("carrierAIDC", &aidc)] {
        let findings = match read {
            Some(Ok(Parsed { warnings, .. })) => warnings,
            Some(Err(report)) => report,
            None => continue,
        };
        for issue in findings {
            find("udi-carrier", &udi.child(name), format!("{} ({})", issue.message, issue.rule));
        }
    }
    let of = |read: Option<Result<Parsed, Report>>| read.and_then(Result::ok).map(|read| read.udi);
    let (hrf, aidc) = (of(hrf), of(aidc));
    if let (Some(hrf), Some(aidc)) = (&hrf, &aidc)
        && let Some(message) = difference(hrf, aidc)
    {
        find("udi-carriers", &udi.child("carrierAIDC"), message);
    }
    let whole = hrf.or(aidc);
    if let Some(carrier) = &whole {
        identified(recorded, &udi, carrier, &mut find);
    }
    if let Some(stated) = whole.as_ref().map(Stated::of).or_else(|| fragment.as_ref().map(Stated::of_fragment)) {
        produced(device, at, &stated, &mut find);
    }
}

type Find<'f> = dyn FnMut(&'static str, &Path<'_>, String) + 'f;

/// Holds what the record says of the device identifier to the carrier.
fn identified(recorded: &Recorded, udi: &Path<'_>, carrier: &Udi, find: &mut Find<'_>) {
    if let Some(found) = text(&recorded.device_identifier)
        && !carrier.di().is_empty()
        && found != carrier.di()
    {
        let message = format!("found `{found}`, and the carrier says `{}`", carrier.di());
        find("udi-di", &udi.child("deviceIdentifier"), message);
    }
    if let Some(found) = issuer(recorded).filter(|found| *found != carrier.agency()) {
        let message = format!("the issuer is {found}, and the carrier is of {}", carrier.agency());
        find("udi-issuer", &udi.child("issuer"), message);
    }
}

/// What a carrier says of the production, whether it is a whole one or the second symbol of a label.
struct Stated<'u> {
    lot: Option<&'u str>,
    serial: Option<&'u str>,
    manufactured: Option<Day>,
    expires: Option<Day>,
}

impl<'u> Stated<'u> {
    fn of(udi: &'u Udi) -> Self {
        Self { lot: udi.lot(), serial: udi.serial(), manufactured: udi.manufactured(), expires: udi.expires() }
    }

    fn of_fragment(fragment: &'u SecondarySymbol) -> Self {
        let (lot, serial) = (fragment.lot(), fragment.serial());
        Self { lot, serial, manufactured: fragment.manufactured(), expires: fragment.expires() }
    }
}

/// Holds what the record says of the production to the carrier.
fn produced(device: &Device, at: &Path<'_>, carrier: &Stated<'_>, find: &mut Find<'_>) {
    if let (Some(found), Some(stated)) = (text(&device.lot_number), carrier.lot)
        && found != stated
    {
        find("udi-lot", &at.child("lotNumber"), format!("found `{found}`, and the carrier says `{stated}`"));
    }
    for (name, found, stated) in [
        ("manufactureDate", &device.manufacture_date, carrier.manufactured),
        ("expirationDate", &device.expiration_date, carrier.expires),
    ] {
        if let (Some(found), Some(stated)) = (date(found), stated)
            && !agrees(found, stated)
        {
            find("udi-date", &at.child(name), format!("found `{found}`, and the carrier says `{stated}`"));
        }
    }
    if let Some(stated) = carrier.serial {
        let serials = device.identifier.iter().enumerate().filter(|(_, identifier)| {
            let codings = identifier.r#type.iter().flat_map(|concept| &concept.coding);
            codings.into_iter().any(|coding| coding.is(SERIAL.0, SERIAL.1))
        });
        let serials: Vec<_> =
            serials.filter_map(|(index, identifier)| Some((index, text(&identifier.value)?))).collect();
        if let Some((index, found)) = serials.first()
            && serials.iter().all(|(_, found)| *found != stated)
        {
            let message = format!("found the serial number `{found}`, and the carrier says `{stated}`");
            find("udi-serial", &at.item("identifier", *index).child("value"), message);
        }
    }
}

/// Returns the year by which the two digits of GS1's years are read: one that the record itself states, as what is
/// compared with it is all that the year is for.
fn year(device: &Device) -> u16 {
    let stated = date(&device.expiration_date).or_else(|| date(&device.manufacture_date));
    stated.and_then(|date| date.get(..4)).and_then(|year| year.parse().ok()).unwrap_or(2000)
}

fn text(primitive: &Option<Primitive<Text>>) -> Option<&str> {
    primitive.as_ref().and_then(|primitive| primitive.value.as_ref()).map(Text::as_str)
}

/// Returns a date, or the day of a moment.
fn date(primitive: &Option<Primitive<DateTime>>) -> Option<&str> {
    let text = primitive.as_ref().and_then(|primitive| primitive.value.as_ref()).map(DateTime::as_str)?;
    text.get(..10).or(Some(text))
}

/// Returns whether two days agree as far as both are stated.
fn agrees(found: &str, stated: Day) -> bool {
    let stated = stated.to_string();
    let stated = stated.get(..10).unwrap_or(&stated);
    stated.starts_with(found) || found.starts_with(stated)
}

/// Returns the agency that the issuer stands for, in any of the spellings in use.
fn issuer(recorded: &Recorded) -> Option<Agency> {
    let issuer = recorded.issuer.as_ref().and_then(|issuer| issuer.value.as_ref()).map(Uri::as_str)?;
    let name = issuer.rsplit(['/', ':']).next().unwrap_or(issuer).to_ascii_lowercase();
    match name.as_str() {
        "2.51.1.1" => Some(Agency::Gs1),
        "1.0.15961.10.816" => Some(Agency::Hibcc),
        "2.16.840.1.113883.6.18.1.17" | "2.16.840.1.113883.6.18.1.34" => Some(Agency::Iccbba),
        _ if name.starts_with("gs1") => Some(Agency::Gs1),
        _ if name.starts_with("hibcc") => Some(Agency::Hibcc),
        _ if name.starts_with("iccbba") => Some(Agency::Iccbba),
        _ if name.starts_with("ifa") => Some(Agency::Ifa),
        _ => None,
    }
}

/// In what the two carriers differ.
fn difference(hrf: &Udi, aidc: &Udi) -> Option<String> {
    if hrf.agency() != aidc.agency() {
        return Some(format!("the carrier is of {}, and the human readable one of {}", aidc.agency(), hrf.agency()));
    }
    let day = |day: Option<Day>| day.map(|day| day.to_string());
    let parts = |udi: &Udi| {
        let owned = |part: Option<&str>| part.map(str::to_owned);
        [
            ("device identifier", Some(udi.di().to_owned())),
            ("lot", owned(udi.lot())),
            ("serial number", owned(udi.serial())),
            ("day of manufacture", day(udi.manufactured())),
            ("last day of use", day(udi.expires())),
            ("donation number", owned(udi.donation_id())),
        ]
    };
    let different = parts(hrf).into_iter().zip(parts(aidc)).find(|(hrf, aidc)| hrf != aidc);
    different.map(|((name, hrf), (_, aidc))| {
        let words = |part: Option<String>| part.map_or_else(|| "none".to_owned(), |part| format!("`{part}`"));
        format!("the {name} is {}, and the human readable carrier says {}", words(aidc), words(hrf))
    })
}
