//! The XHTML of a narrative: an element in XML, a text in JSON.

use super::XHTML_NAMESPACE;
use super::markup::{Markup, Namespace, Tag, Token, is_blank};
use std::borrow::Cow;

/// Returns the text of an element as JSON has it: as it stands, with line ends as XML reads them, and with the
/// namespaces that are declared around it and used in it. Two forms that nothing is lost with are made those that
/// every reader of JSON knows: a prefix that is declared around it becomes the default namespace, and single quotes
/// are double ones where the document has its own attributes in single quotes.
pub(super) fn text_of<'a>(element: &'a str, outer: &[(&str, &str)], is_single_quoted: bool) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(element);
    if element.contains('\r') {
        text = Cow::Owned(element.replace("\r\n", "\n").replace('\r', "\n"));
    }
    let has_verbatim = has_verbatim(element);
    if (element.contains("&#13;") || element.contains("&#xD;")) && !has_verbatim {
        text = Cow::Owned(text.replace("&#13;", "\r").replace("&#xD;", "\r"));
    }
    if is_single_quoted && !has_verbatim {
        text = Cow::Owned(with_double_quotes(&text));
    }
    if let [(prefix, XHTML_NAMESPACE)] = outer
        && !prefix.is_empty()
        && !has_verbatim
        && let Some(plain) = without_prefix(&text, prefix)
    {
        return Cow::Owned(declared(&plain, &[("", XHTML_NAMESPACE)]));
    }
    if outer.is_empty() { text } else { Cow::Owned(declared(&text, outer)) }
}

/// Returns an element with more namespaces declared in its start tag.
fn declared(text: &str, namespaces: &[(&str, &str)]) -> String {
    let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>');
    let (tag, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
    let mut out = tag.to_owned();
    for (prefix, uri) in namespaces {
        out.push_str(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
        out.push_str(prefix);
        let quote = if uri.contains('"') { '\'' } else { '"' };
        out.extend(['=', quote]);
        out.push_str(uri);
        out.push(quote);
    }
    out.push_str(rest);
    out
}

/// Returns an element without a prefix that each of its tags has, where no namespace is declared within it.
fn without_prefix(text: &str, prefix: &str) -> Option<String> {
    if text.contains("xmlns") {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('<');
    out.push_str(parts.next()?);
    for part in parts {
        let (slash, name) = part.strip_prefix('/').map_or(("", part), |name| ("/", name));
        let name = name.strip_prefix(prefix)?.strip_prefix(':')?;
        out.extend(["<", slash, name]);
    }
    Some(out)
}

/// Returns an element with its attributes in double quotes.
fn with_double_quotes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut is_in_tag, mut open) = (false, None);
    for c in text.chars() {
        match (c, open) {
            ('<', None) => is_in_tag = true,
            ('>', None) => is_in_tag = false,
            ('"' | '\'', None) if is_in_tag => open = Some(c),
            (_, Some(quote)) if c == quote => open = None,
            ('"', Some('\'')) => {
                out.push_str("&quot;");
                continue;
            }
            _ => {}
        }
        let is_quote = c == '\'' && is_in_tag && open.is_none_or(|quote| quote == c);
        out.push(if is_quote { '"' } else { c });
    }
    out
}

/// Returns the element that a text is, to stand in a document; why it is none, else.
pub(super) fn element_of(text: &str) -> Result<Cow<'_, str>, String> {
    let element = text.trim_matches(|c: char| c.is_ascii_whitespace());
    if !is_element(element).map_err(|fault| fault.message.into_owned())? {
        return Err("the narrative is no `div` of XHTML".to_owned());
    }
    if !element.contains('\r') {
        return Ok(Cow::Borrowed(element));
    }
    if has_verbatim(element) {
        return Err("the narrative has a carriage return beside a comment or a CDATA section".to_owned());
    }
    Ok(Cow::Owned(element.replace('\r', "&#13;")))
}

/// Returns whether a text has parts in which a reference stands for itself.
fn has_verbatim(text: &str) -> bool {
    text.contains("<![CDATA[") || text.contains("<!--") || text.contains("<?")
}

/// Returns whether a text is one `div` of XHTML and nothing else.
fn is_element(text: &str) -> Result<bool, super::markup::Fault> {
    let mut markup = Markup::new(text)?;
    match markup.next()? {
        Token::Open(tag @ Tag { offset: 0, local: "div", namespace: Namespace::Xhtml, .. }) => {
            markup.skip(&tag, &mut Vec::new())?;
        }
        _ => return Ok(false),
    }
    let end = markup.offset();
    while let token @ (Token::Text(_) | Token::Reference(_) | Token::Open(_)) = markup.next()? {
        if !matches!(token, Token::Text(text) if is_blank(text)) {
            return Ok(false);
        }
    }
    Ok(end == text.len())
}

#[cfg(test)]
mod tests {
    use super::{element_of, text_of};

    #[test]
    fn only_a_div_of_xhtml_is_written() {
        let div = |inner: &str| format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>");
        assert_eq!(element_of(&div("<p>a&lt;</p>")).unwrap(), div("<p>a&lt;</p>"));
        assert_eq!(element_of(&div("a\r\nb")).unwrap(), div("a&#13;\nb"));
        for bad in ["", "text", "<div>a</div>", "<p xmlns=\"http://www.w3.org/1999/xhtml\">a</p>"] {
            assert!(element_of(bad).is_err(), "{bad}");
        }
        for bad in ["&nbsp;", "<b>", "&", "<x:b/>", "\u{1}", "</div><div>"] {
            assert!(element_of(&div(bad)).is_err(), "{bad}");
        }
        assert!(element_of(&(div("a") + "<!-- -->")).is_err());
        assert!(element_of(&format!("<!DOCTYPE div>{}", div("a"))).is_err());
    }

    #[test]
    fn line_ends_are_those_of_xml() {
        assert_eq!(text_of("<div>a\r\nb\rc&#13;\nd</div>", &[], false), "<div>a\nb\nc\r\nd</div>");
    }

    #[test]
    fn namespaces_around_it_are_declared() {
        assert_eq!(text_of("<h:div/>", &[("h", "u"), ("", "v")], false), "<h:div xmlns:h=\"u\" xmlns=\"v\"/>");
        let xhtml = [("h", "http://www.w3.org/1999/xhtml")];
        assert_eq!(
            text_of("<h:div><h:p id=\"h:p\">h:</h:p></h:div>", &xhtml, false),
            "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p id=\"h:p\">h:</p></div>"
        );
        assert_eq!(
            text_of("<h:div><p/></h:div>", &xhtml, false),
            "<h:div xmlns:h=\"http://www.w3.org/1999/xhtml\"><p/></h:div>"
        );
    }

    #[test]
    fn single_quotes_of_the_document_become_double_ones() {
        assert_eq!(text_of("<p a='\"' b=\"'\">it's \"</p>", &[], true), "<p a=\"&quot;\" b=\"'\">it's \"</p>");
        assert_eq!(text_of("<p a='b'/>", &[], false), "<p a='b'/>");
    }
}
