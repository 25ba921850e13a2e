//! Normalization of text for FHIR string searches: without case and accents.

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

/// Removes case and accents from a text: lower case, Unicode decomposition without combining marks, then composition.
///
/// ```
/// use fhir_devices::search::fold;
/// assert_eq!(fold("Dräger Évita"), "drager evita");
/// assert_eq!(fold("Nguyễn"), "nguyen");
/// ```
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = text.chars().flat_map(char::to_lowercase);
    let apart = DecomposingNormalizerBorrowed::new_nfd().normalize_iter(lower);
    let plain = apart.filter(|c| !is_accent(*c)).map(base_letter);
    // Other sequences, such as the parts of a Korean syllable, are composed again.
    ComposingNormalizerBorrowed::new_nfc().normalize_iter(plain).collect()
}

/// Returns whether a character is a combining diacritical mark. Marks of other scripts, such as Thai vowels, are kept.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Returns the base letter of a letter with a stroke, which Unicode does not decompose, and of the dotless `ı`.
fn base_letter(c: char) -> char {
    match c {
        'đ' => 'd',
        'ħ' => 'h',
        'ı' => 'i',
        'ł' => 'l',
        'ø' => 'o',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn strings_fold_case_and_accents() {
        assert_eq!(fold("Dräger Évita"), "drager evita");
        assert_eq!(fold("E\u{301}vita"), "evita");
        assert_eq!(fold("Nguyễn Thị Ánh"), "nguyen thi anh");
        assert_eq!(fold("ŁÓDŹ Ørsted İstanbul"), "lodz orsted istanbul");
    }

    #[test]
    fn letters_of_other_scripts_are_kept() {
        assert_eq!(fold("한국 ガーゼ เครื่อง"), "한국 ガーゼ เครื่อง");
        assert_eq!(fold("Ά-7"), "α-7");
    }
}
