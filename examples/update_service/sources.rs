//! Settings from a file and from the environment, converted to command-line arguments.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

/// The prefix of the names: `DEVICE_UPDATES_TLS_CERT` is `--tls-cert`.
const PREFIX: &str = "DEVICE_UPDATES_";

/// The option that names the file.
const FILE: &str = "settings";

/// The options without a value: `true` or `false` in a file and in the environment.
const FLAGS: [&str; 2] = ["adopt-store", "no-demo"];

/// The repeatable options: their values are separated by spaces.
const REPEATED: [&str; 4] = ["cors-origin", "limit", "region", "region-file"];

/// Returns all arguments: the settings of the file and of the environment, which replaces the file, then the given
/// arguments. For an option in both, the last counts.
///
/// # Errors
/// The file cannot be read, or has a line that is not a setting.
pub(crate) fn arguments(
    given: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<OsString>, String> {
    let mut set: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in environment {
        let Some(option) = name.to_str().and_then(option) else { continue };
        let value = value.into_string().map_err(|_| format!("`{PREFIX}..` for `--{option}` is not UTF-8"))?;
        set.insert(option, value);
    }
    let (mut named, mut last) = (None, Vec::new());
    let mut given = given;
    while let Some(argument) = given.next() {
        match argument.to_str().and_then(|text| text.strip_prefix("--")).and_then(|text| text.strip_prefix(FILE)) {
            Some("") => named = Some(given.next().ok_or_else(|| format!("`--{FILE}` wants a value"))?),
            Some(rest) if rest.starts_with('=') => named = rest.strip_prefix('=').map(OsString::from),
            _ => last.push(argument),
        }
    }
    let from_environment = set.remove(FILE).map(OsString::from);
    let mut all = Vec::new();
    if let Some(path) = named.or(from_environment) {
        for (option, value) in read(Path::new(&path))? {
            set.entry(option).or_insert(value);
        }
    }
    for (option, value) in &set {
        push(option, value, &mut all)?;
    }
    all.extend(last);
    Ok(all)
}

/// Returns the option of a name; `None` for a name without the prefix.
fn option(name: &str) -> Option<String> {
    Some(name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace('_', "-"))
}

/// Reads a settings file, one `NAME=VALUE` per line, in the format of systemd and containers.
fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    let wrong = |why: String| format!("`--{FILE} {}`: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let mut settings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let setting = line.split_once('=').and_then(|(name, value)| Some((option(name.trim())?, value.trim())));
        let (option, value) = setting.ok_or_else(|| wrong(format!("line {number} is no `{PREFIX}NAME=VALUE`")))?;
        if option == FILE {
            return Err(wrong(format!("line {number} names another file of settings")));
        }
        settings.push((option, value.trim_matches('"').to_owned()));
    }
    Ok(settings)
}

fn push(option: &str, value: &str, all: &mut Vec<OsString>) -> Result<(), String> {
    if FLAGS.contains(&option) {
        return match value {
            "true" => {
                all.push(format!("--{option}").into());
                Ok(())
            }
            "false" | "" => Ok(()),
            other => Err(format!("`{other}` is no value of `--{option}`, wanted `true` or `false`")),
        };
    }
    if REPEATED.contains(&option) {
        all.extend(value.split_whitespace().map(|value| format!("--{option}={value}").into()));
    } else {
        all.push(format!("--{option}={value}").into());
    }
    Ok(())
}
