//! `string`, `markdown` and `xhtml`: text for people.

/// Maximum length of a string in characters (FHIR 3.0.2, datatypes, string).
const LONGEST: usize = 1_048_576;

fn check_string(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("wants at least one character");
    }
    if text.len() > LONGEST && text.chars().count() > LONGEST {
        return Err("wants at most 1048576 characters");
    }
    Ok(())
}

const NO_DIV: &str = "wants one div element, from its `<div` to its `</div>`, and nothing around it";
const NO_NAMESPACE: &str = "wants a div element in the xhtml namespace, xmlns=\"http://www.w3.org/1999/xhtml\"";

/// Splits an element name after its optional namespace prefix and colon.
fn root_prefix(text: &str) -> Option<(&str, &str)> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    match text.find(|c| !is_name(c)).map(|end| (end, text.as_bytes().get(end))) {
        Some((end, Some(b':'))) if end > 0 => text.split_at_checked(end + 1),
        _ => Some(("", text)),
    }
}

/// Checks the root: one `div` in the XHTML namespace.
fn check_xhtml(text: &str) -> Result<(), &'static str> {
    const USUAL: &str = "<div xmlns=\"http://www.w3.org/1999/xhtml\"";
    if text.strip_prefix(USUAL).is_some_and(|rest| rest.starts_with(['>', ' '])) && text.ends_with("</div>") {
        return Ok(());
    }
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let (prefix, after) = text.strip_prefix('<').and_then(root_prefix).ok_or(NO_DIV)?;
    let inside = after.strip_prefix("div").filter(|rest| rest.starts_with([' ', '\t', '\r', '\n', '/', '>']));
    let tag = inside.and_then(|rest| rest.split_once('>')).map(|(tag, _)| tag).ok_or(NO_DIV)?;
    let alone = tag.ends_with('/') && text.matches('>').count() == 1;
    let open = text.strip_suffix('>').map(|text| text.trim_end_matches([' ', '\t', '\r', '\n']));
    let closed = open.and_then(|text| text.strip_suffix("div")?.strip_suffix(prefix)?.strip_suffix("</")).is_some();
    if !closed && !alone {
        return Err(NO_DIV);
    }
    let namespaced = tag.split("xmlns").skip(1).any(|rest| {
        let declared = prefix.strip_suffix(':');
        let rest = match declared {
            Some(prefix) => rest.strip_prefix(':').and_then(|rest| rest.strip_prefix(prefix)).unwrap_or_default(),
            None => rest,
        };
        let value = rest.trim_start().strip_prefix('=').map(str::trim_start);
        let quoted = value.and_then(|value| value.strip_prefix(['"', '\'']));
        quoted
            .and_then(|value| value.strip_prefix("http://www.w3.org/1999/xhtml"))
            .is_some_and(|rest| rest.starts_with(['"', '\'']))
    });
    if namespaced { Ok(()) } else { Err(NO_NAMESPACE) }
}

text_form! {
    /// FHIR `string`: text of 1 to 1,048,576 characters.
    ///
    /// White space is significant, also at the ends. Control characters other than tab, carriage return and line feed
    /// "should not" occur, which is no reason to refuse them here. Source: FHIR 3.0.2, datatypes, string.
    ///
    /// ```
    /// use fhir_devices::primitive::Text;
    ///
    /// assert_eq!(Text::new(" two words ")?, " two words ");
    /// assert!(Text::new("").is_err());
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    #[derive(PartialOrd, Ord)]
    Text, "string", String, check_string
}

text_form! {
    /// FHIR `markdown`: a string that a reader may render as Markdown.
    ///
    /// The text form is that of [`Text`]. Source: FHIR 3.0.2, datatypes, markdown.
    ///
    /// ```
    /// use fhir_devices::primitive::Markdown;
    ///
    /// assert_eq!(Markdown::new("*on* since 2017")?.as_str(), "*on* since 2017");
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    Markdown, "markdown", String, check_string
}

text_form! {
    /// FHIR `xhtml`: the `div` of a narrative, as text.
    ///
    /// Only the root is checked here: one `div` in the XHTML namespace. The rules txt-1 and txt-2 of the narrative
    /// define the allowed elements and attributes. Source: FHIR 3.0.2, narrative.
    ///
    /// ```
    /// use fhir_devices::primitive::Xhtml;
    ///
    /// let div = Xhtml::new("<div xmlns=\"http://www.w3.org/1999/xhtml\">A pump</div>")?;
    /// assert!(div.as_str().starts_with("<div"));
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    Xhtml, "xhtml", String, check_xhtml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_is_any_non_empty_text() {
        for good in [" ", "a\u{1}b", "line1\nline2\r\n", "日本語デバイス", "\u{202e}abc", "null", "a/b</script>"]
        {
            assert_eq!(Text::new(good).unwrap(), good);
            assert_eq!(Markdown::new(good).unwrap(), good);
        }
        assert!(Text::new("").is_err());
        assert!(Markdown::new("").is_err());
    }

    #[test]
    fn xhtml_is_one_div_in_its_namespace() {
        for good in [
            "<div xmlns=\"http://www.w3.org/1999/xhtml\">A pump</div>",
            " <div class='a' xmlns = 'http://www.w3.org/1999/xhtml'><p>a</p></div>\n",
            "<div xmlns=\"http://www.w3.org/1999/xhtml\"/>",
        ] {
            assert_eq!(Xhtml::new(good).unwrap(), good);
        }
        for (bad, reason) in [
            ("", NO_DIV),
            ("A pump", NO_DIV),
            ("<p>A pump</p>", NO_DIV),
            ("<divider>A pump</div>", NO_DIV),
            ("<?xml version=\"1.0\"?><div xmlns=\"http://www.w3.org/1999/xhtml\">A pump</div>", NO_DIV),
            ("<div xmlns=\"http://www.w3.org/1999/xhtml\">A pump", NO_DIV),
            ("<div>A pump</div>", NO_NAMESPACE),
            ("<div xmlns=\"http://www.w3.org/1999/html\">A pump</div>", NO_NAMESPACE),
        ] {
            assert_eq!(Xhtml::new(bad).err().map(|refusal| refusal.reason), Some(reason), "{bad}");
        }
    }

    #[test]
    fn string_limit_counts_characters() {
        assert!(Text::new("é".repeat(LONGEST)).is_ok());
        assert!(Text::new("x".repeat(LONGEST)).is_ok());
        assert!(Text::new("x".repeat(LONGEST + 1)).is_err());
        let long = format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{}</div>", "x".repeat(LONGEST + 1));
        assert!(Xhtml::new(long).is_ok());
    }
}
