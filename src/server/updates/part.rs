//! The headers of one part of a form: its name, whether it is a file, and its text encoding.
//!
//! RFC 7578 defines the form and its lenient reading, RFC 8187 (formerly 5987) defines `filename*`. The multipart
//! reader keeps the headers as bytes, so they are parsed here.

use super::super::answer::{Problem, Result};
use axum::extract::multipart::Field;
use axum::http::{HeaderMap, header};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use percent_encoding::percent_decode;
use std::borrow::Cow;

/// The header of a part. A file has a file name, a field has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// The name of the field; empty where the part has none.
    pub(crate) name: String,
    /// The name of the file; empty where a browser sends a file field without a chosen file.
    pub(crate) file_name: Option<String>,
    /// The text encoding that the part itself names.
    pub(crate) charset: Option<&'static Encoding>,
}

impl Part {
    /// Parses the headers of a part. `charset` is the value of the field `_charset_`.
    pub(crate) fn of(field: &Field<'_>, charset: Option<&'static Encoding>) -> Result<Self> {
        Self::read(field.headers(), charset)
    }

    fn read(headers: &HeaderMap, charset: Option<&'static Encoding>) -> Result<Self> {
        if let Some(encoding) = only(headers, &header::HeaderName::from_static("content-transfer-encoding"))? {
            let encoding = String::from_utf8_lossy(encoding);
            let encoding = encoding.trim();
            if !encoding.eq_ignore_ascii_case("binary") {
                return Err(wrong(format!(
                    "a part of the form has the `Content-Transfer-Encoding` `{encoding}`, wanted `binary` or none"
                )));
            }
        }
        let mut part = Self { charset: own_charset(headers)?, ..Self::default() };
        let Some(disposition) = only(headers, &header::CONTENT_DISPOSITION)? else { return Ok(part) };
        let (mut name, mut plain, mut extended) = (None, None, None);
        for (key, value) in parameters(disposition)? {
            let slot = match key.as_str() {
                "name" => &mut name,
                "filename" => &mut plain,
                "filename*" => &mut extended,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(wrong(format!("the `Content-Disposition` of a part has `{key}` twice, wanted it once")));
            }
        }
        part.name = name.map(|name| text(&name, charset)).unwrap_or_default();
        let extended = extended.map(|value| {
            extended_text(&value).ok_or_else(|| {
                let found = String::from_utf8_lossy(&value).into_owned();
                wrong(format!(
                    "`filename*` is `{found}`, wanted a charset, two apostrophes and percent-encoded bytes, as in \
                     `UTF-8''p%C3%BCmp.bin`"
                ))
            })
        });
        part.file_name = match (extended, plain) {
            (Some(Ok(name)), _) => Some(name),
            // By RFC 8187, the plain name is used where the extended name cannot be read.
            (_, Some(plain)) => Some(text(&plain, charset)),
            (Some(Err(problem)), None) => return Err(problem),
            (None, None) => None,
        };
        Ok(part)
    }

    /// Returns whether the part is a file.
    pub(crate) fn is_file(&self) -> bool {
        self.file_name.as_ref().is_some_and(|name| !name.is_empty())
    }
}

fn wrong(words: String) -> Problem {
    Problem::bad("part-header", words)
}

/// Returns the value of a header that may occur once.
fn only<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Result<Option<&'h [u8]>> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (_, Some(_)) => Err(wrong(format!("a part of the form has the header `{name}` twice, wanted it once"))),
        (found, None) => Ok(found.map(|value| value.as_bytes())),
    }
}

/// Returns the `charset` of a part's media type, for its name.
fn own_charset(headers: &HeaderMap) -> Result<Option<&'static Encoding>> {
    let Some(kind) = only(headers, &header::CONTENT_TYPE)? else { return Ok(None) };
    // Faults of the media type are reported where it is parsed as one.
    let Ok(parameters) = parameters(kind) else { return Ok(None) };
    let named = parameters.into_iter().find(|(key, _)| key == "charset");
    named.map(|(_, label)| encoding(&label)).transpose()
}

/// Returns the encoding of a label, such as `utf-8` or `iso-8859-1`.
pub(crate) fn encoding(label: &[u8]) -> Result<&'static Encoding> {
    Encoding::for_label_no_replacement(label).ok_or_else(|| {
        let label = String::from_utf8_lossy(label);
        Problem::bad("charset", format!("the charset `{label}` is not known, wanted one such as `UTF-8`"))
    })
}

/// Decodes a name: in the stated encoding, else UTF-8, else the encoding that browsers assume for other bytes.
/// Percent-encoded bytes (RFC 7578 section 4.2) are decoded where the name is all ASCII and they are UTF-8.
fn text(bytes: &[u8], charset: Option<&'static Encoding>) -> String {
    if bytes.is_ascii() {
        let plain = String::from_utf8_lossy(bytes).into_owned();
        return decoded(&plain).unwrap_or(plain);
    }
    let whole = |encoding: &'static Encoding| encoding.decode_without_bom_handling_and_without_replacement(bytes);
    let read = charset.and_then(whole).or_else(|| whole(UTF_8));
    read.unwrap_or_else(|| WINDOWS_1252.decode_without_bom_handling(bytes).0).into_owned()
}

/// Decodes a name, if each percent sign begins an encoded byte and the bytes are UTF-8.
fn decoded(name: &str) -> Option<String> {
    let bytes = percent_decode(name.as_bytes()).decode_utf8().ok();
    bytes.filter(|_| name.contains('%') && is_percent_encoded(name)).map(Cow::into_owned)
}

/// Decodes an extended value: `charset'language'bytes`.
fn extended_text(value: &[u8]) -> Option<String> {
    let mut parts = std::str::from_utf8(value).ok()?.splitn(3, '\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~%".contains(&byte);
    if !encoded.bytes().all(is_plain) || !is_percent_encoded(encoded) {
        return None;
    }
    let bytes: Cow<'_, [u8]> = percent_decode(encoded.as_bytes()).into();
    let charset = Encoding::for_label_no_replacement(charset.as_bytes())?;
    charset.decode_without_bom_handling_and_without_replacement(&bytes).map(Cow::into_owned)
}

/// Returns whether each percent sign begins an encoded byte.
fn is_percent_encoded(text: &str) -> bool {
    let is_byte = |after: &str| after.get(..2).is_some_and(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
    text.split('%').skip(1).all(is_byte)
}

/// Returns the parameters of a header value after its first part: names in lower case, values without quotes.
fn parameters(value: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let unreadable = || {
        let found: String = String::from_utf8_lossy(value).chars().take(200).collect();
        wrong(format!("the header of a part is `{found}`, wanted parameters as in `form-data; name=\"Version\"`"))
    };
    let start = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    let (mut rest, mut found) = (value.get(start..).unwrap_or_default().trim_ascii(), Vec::new());
    while let [b';', after @ ..] = rest {
        rest = after.trim_ascii_start();
        if rest.is_empty() {
            break;
        }
        let Some(end) = rest.iter().position(|byte| *byte == b'=') else { return Err(unreadable()) };
        let (key, after) = rest.split_at(end);
        let key = String::from_utf8_lossy(key.trim_ascii()).to_ascii_lowercase();
        let after = after.get(1..).unwrap_or_default().trim_ascii_start();
        let (value, after) = match after {
            [b'"', quoted @ ..] => quoted_text(quoted).ok_or_else(unreadable)?,
            _ => {
                let end = after.iter().position(|byte| *byte == b';').unwrap_or(after.len());
                let (value, after) = after.split_at(end);
                (value.trim_ascii().to_vec(), after)
            }
        };
        found.push((key, value));
        rest = after.trim_ascii_start();
    }
    if rest.is_empty() { Ok(found) } else { Err(unreadable()) }
}

/// Returns a quoted text, and the rest after it. A backslash is literal unless it precedes a quote or another
/// backslash: some systems send names with paths.
fn quoted_text(quoted: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut text, mut rest) = (Vec::new(), quoted);
    loop {
        match rest {
            [b'"', after @ ..] => return Some((text, after)),
            [b'\\', escaped @ (b'"' | b'\\'), after @ ..] => {
                text.push(*escaped);
                rest = after;
            }
            [byte, after @ ..] => {
                text.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(disposition: &[u8], charset: Option<&'static Encoding>) -> Result<Part> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_bytes(disposition).unwrap());
        Part::read(&headers, charset)
    }

    #[test]
    fn file_name_is_read_in_every_encoding() {
        for (parameter, name) in [
            (&br#"filename="a.bin""#[..], "a.bin"),
            (b"filename=a.bin", "a.bin"),
            (b"FileName = \"a;b.bin\" ", "a;b.bin"),
            ("filename=\"p\u{fc}mp.bin\"".as_bytes(), "p\u{fc}mp.bin"),
            (b"filename=\"p\xfcmp.bin\"", "p\u{fc}mp.bin"),
            (b"filename*=UTF-8''p%C3%BCmp%20%27.bin", "p\u{fc}mp '.bin"),
            (b"filename*=utf-8'en'a.bin", "a.bin"),
            (b"filename*=iso-8859-1''p%FCmp", "p\u{fc}mp"),
            (b"filename=\"old\"; filename*=UTF-8''new", "new"),
            (b"filename*=UTF-8''new; filename=\"old\"", "new"),
            (b"filename*=UTF-8''%FF; filename=\"plain\"", "plain"),
            (b"filename=\"p%C3%BCmp%22.bin\"", "p\u{fc}mp\".bin"),
            (b"filename=\"100%.bin\"", "100%.bin"),
            (b"filename=\"100%FF.bin\"", "100%FF.bin"),
            (br#"filename="say \"hi\".bin""#, "say \"hi\".bin"),
            (br#"filename="C:\fleet\pump.bin""#, "C:\\fleet\\pump.bin"),
            (br#"filename="../../etc/passwd""#, "../../etc/passwd"),
        ] {
            let part = read(&[b"form-data; name=\"File\"; ", parameter].concat(), None).unwrap();
            assert_eq!((part.name.as_str(), part.file_name.as_deref()), ("File", Some(name)));
        }
        let greek = Encoding::for_label(b"iso-8859-7");
        assert_eq!(read(b"form-data; name=f; filename=\"\xe1.bin\"", greek).unwrap().file_name.unwrap(), "\u{3b1}.bin");
        assert_eq!(read(b"form-data; name=f; filename=\"\"", None).unwrap().file_name.as_deref(), Some(""));
        assert_eq!(read(b"form-data; name=f", None).unwrap().file_name, None);
    }

    #[test]
    fn ambiguous_or_empty_part_headers_are_refused() {
        for disposition in [
            &b"form-data; name=a; name=b"[..],
            b"form-data; name=a; filename=b; FILENAME=c",
            b"form-data; name=\"a",
            b"form-data; name",
            b"form-data; name=\"a\" x",
            b"form-data; name=a; filename*=UTF-8''%F",
            b"form-data; name=a; filename*=UTF-8''%FF",
            b"form-data; name=a; filename*=nobody''a",
            b"form-data; name=a; filename*=a.bin",
        ] {
            assert!(read(disposition, None).is_err(), "{}", String::from_utf8_lossy(disposition));
        }
    }
}
