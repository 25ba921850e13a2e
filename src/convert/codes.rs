//! The codes of required bindings that differ from version to version, and which of them a step carries.

/// The ways by which a UDI was entered. R4 has not the last one, which the guide for personal health devices requires there.
pub(super) const UDI_ENTRY: &[&str] =
    &["barcode", "rfid", "manual", "card", "self-reported", "unknown", ELECTRONIC_TRANSMISSION];
const ELECTRONIC_TRANSMISSION: &str = "electronic-transmission";
pub(super) const UDI_ENTRY_STU3: &[&str] = &["barcode", "rfid", "manual", "card", "self-reported", "unknown"];
/// What R5 has more.
pub(super) const UDI_ENTRY_ADDED: &[&str] = &[ELECTRONIC_TRANSMISSION];

pub(super) const STATUS_R4: &[&str] = &["active", "inactive", "entered-in-error", "unknown"];
pub(super) const STATUS_R5: &[&str] = &["active", "inactive", "entered-in-error"];
/// What R4 has more than R5.
pub(super) const STATUS_DROPPED: &[&str] = &["unknown"];

pub(super) const NAME_R4: &[&str] =
    &["udi-label-name", "user-friendly-name", "patient-reported-name", "manufacturer-name", "model-name", "other"];
pub(super) const NAME_R5: &[&str] = &["registered-name", "user-friendly-name", "patient-reported-name"];

pub(super) const METRIC_STATUS: &[&str] = &["on", "off", "standby", "entered-in-error"];
pub(super) const METRIC_CATEGORY: &[&str] = &["measurement", "setting", "calculation", "unspecified"];
pub(super) const CALIBRATION_TYPE: &[&str] = &["unspecified", "offset", "gain", "two-point"];
pub(super) const CALIBRATION_STATE: &[&str] = &["not-calibrated", "calibration-required", "calibrated", "unspecified"];
pub(super) const COLOR_R4: &[&str] = &["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

pub(super) const IDENTIFIER_USE: &[&str] = &["usual", "official", "temp", "secondary", "old"];
pub(super) const IDENTIFIER_USE_STU3: &[&str] = &["usual", "official", "temp", "secondary"];
pub(super) const IDENTIFIER_USE_ADDED: &[&str] = &["old"];

pub(super) const ADDRESS_USE: &[&str] = &["home", "work", "temp", "old", "billing"];
pub(super) const ADDRESS_USE_STU3: &[&str] = &["home", "work", "temp", "old"];
pub(super) const ADDRESS_USE_ADDED: &[&str] = &["billing"];

pub(super) const COMPARATOR_R4: &[&str] = &["<", "<=", ">=", ">"];
pub(super) const COMPARATOR_R5: &[&str] = &["<", "<=", ">=", ">", "ad"];
pub(super) const COMPARATOR_ADDED: &[&str] = &["ad"];

pub(super) const EVENT_STU3: &[&str] = &[
    "MORN", "AFT", "EVE", "NIGHT", "PHS", "HS", "WAKE", "C", "CM", "CD", "CV", "AC", "ACM", "ACD", "ACV", "PC", "PCM",
    "PCD", "PCV",
];
/// What R4 has more than STU3.
pub(super) const EVENT_ADDED: &[&str] =
    &["MORN.early", "MORN.late", "NOON", "AFT.early", "AFT.late", "EVE.early", "EVE.late"];
/// What R5 has more than R4.
pub(super) const EVENT_ADDED_R5: &[&str] = &["IMD"];

pub(super) const VERB: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"];
pub(super) const VERB_STU3: &[&str] = &["GET", "POST", "PUT", "DELETE"];
pub(super) const VERB_ADDED: &[&str] = &["HEAD", "PATCH"];

pub(super) const SEARCH_MODE: &[&str] = &["match", "include", "outcome"];

pub(super) const BUNDLE_R4: &[&str] = &[
    "document",
    "message",
    "transaction",
    "transaction-response",
    "batch",
    "batch-response",
    "history",
    "searchset",
    "collection",
];
pub(super) const BUNDLE_R5: &[&str] = &[
    "document",
    "message",
    "transaction",
    "transaction-response",
    "batch",
    "batch-response",
    "history",
    "searchset",
    "collection",
    "subscription-notification",
];
pub(super) const BUNDLE_ADDED: &[&str] = &["subscription-notification"];

/// Returns whether a colour is one of R5: a name of CSS or `#RRGGBB`, in any case.
pub(super) fn is_color_of_r5(code: &str) -> bool {
    match code.strip_prefix('#') {
        Some(digits) => digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        None => {
            let name = code.to_ascii_lowercase();
            COLOR_NAMES.split_ascii_whitespace().any(|known| known == name)
        }
    }
}

/// The code system `http://hl7.org/fhir/color-names`.
const COLOR_NAMES: &str = "\
    aliceblue antiquewhite aqua aquamarine azure beige bisque black blanchedalmond blue blueviolet brown burlywood \
    cadetblue chartreuse chocolate coral cornflowerblue cornsilk crimson cyan darkblue darkcyan darkgoldenrod \
    darkgray darkgreen darkgrey darkkhaki darkmagenta darkolivegreen darkorange darkorchid darkred darksalmon \
    darkseagreen darkslateblue darkslategray darkslategrey darkturquoise darkviolet deeppink deepskyblue dimgray \
    dimgrey dodgerblue firebrick floralwhite forestgreen fuchsia gainsboro ghostwhite gold goldenrod gray green \
    greenyellow grey honeydew hotpink indianred indigo ivory khaki lavender lavenderblush lawngreen lemonchiffon \
    lightblue lightcoral lightcyan lightgoldenrodyellow lightgray lightgreen lightgrey lightpink lightsalmon \
    lightseagreen lightskyblue lightslategray lightslategrey lightsteelblue lightyellow lime limegreen linen \
    magenta maroon mediumaquamarine mediumblue mediumorchid mediumpurple mediumseagreen mediumslateblue \
    mediumspringgreen mediumturquoise mediumvioletred midnightblue mintcream mistyrose moccasin navajowhite navy \
    oldlace olive olivedrab orange orangered orchid palegoldenrod palegreen paleturquoise palevioletred papayawhip \
    peachpuff peru pink plum powderblue purple rebeccapurple red rosybrown royalblue saddlebrown salmon sandybrown \
    seagreen seashell sienna silver skyblue slateblue slategray slategrey snow springgreen steelblue tan teal \
    thistle tomato turquoise violet wheat white whitesmoke yellow yellowgreen";

/// The link relations of R5: those registered at IANA, and those that HL7 added.
pub(super) const RELATION_R5: &[&str] = &[
    "about",
    "acl",
    "alternate",
    "amphtml",
    "appendix",
    "apple-touch-icon",
    "apple-touch-startup-image",
    "archives",
    "author",
    "blocked-by",
    "bookmark",
    "canonical",
    "chapter",
    "cite-as",
    "collection",
    "contents",
    "convertedFrom",
    "copyright",
    "create-form",
    "current",
    "describedby",
    "describes",
    "disclosure",
    "dns-prefetch",
    "duplicate",
    "edit",
    "edit-form",
    "edit-media",
    "enclosure",
    "external",
    "first",
    "glossary",
    "help",
    "hosts",
    "hub",
    "icon",
    "index",
    "intervalAfter",
    "intervalBefore",
    "intervalContains",
    "intervalDisjoint",
    "intervalDuring",
    "intervalEquals",
    "intervalFinishedBy",
    "intervalFinishes",
    "intervalIn",
    "intervalMeets",
    "intervalMetBy",
    "intervalOverlappedBy",
    "intervalOverlaps",
    "intervalStartedBy",
    "intervalStarts",
    "item",
    "last",
    "latest-version",
    "license",
    "linkset",
    "lrdd",
    "manifest",
    "mask-icon",
    "media-feed",
    "memento",
    "micropub",
    "modulepreload",
    "monitor",
    "monitor-group",
    "next",
    "next-archive",
    "nofollow",
    "noopener",
    "noreferrer",
    "opener",
    "openid2.local_id",
    "openid2.provider",
    "original",
    "P3Pv1",
    "payment",
    "pingback",
    "preconnect",
    "predecessor-version",
    "prefetch",
    "preload",
    "prerender",
    "prev",
    "preview",
    "previous",
    "prev-archive",
    "privacy-policy",
    "profile",
    "publication",
    "related",
    "restconf",
    "replies",
    "ruleinput",
    "search",
    "section",
    "self",
    "service",
    "service-desc",
    "service-doc",
    "service-meta",
    "sponsored",
    "start",
    "status",
    "stylesheet",
    "subsection",
    "successor-version",
    "sunset",
    "tag",
    "terms-of-service",
    "timegate",
    "timemap",
    "type",
    "ugc",
    "up",
    "version-history",
    "via",
    "webmention",
    "working-copy",
    "working-copy-of",
];
