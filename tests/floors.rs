//! The module layers: every crate-internal path in `src/**/*.rs` points to a lower layer.
#![allow(clippy::unwrap_used, clippy::string_slice, reason = "a test may stop where it stands")]

use std::path::Path;

/// The layers from the top. Modules in one layer must not use each other; `lib.rs` is above all.
const FLOORS: [&str; 28] = [
    "manual",
    "server",
    "testkit",
    "backend",
    "ddi",
    "service",
    "rest",
    "subscription",
    "publish",
    "update",
    "audit",
    "manifest",
    "store",
    "search",
    "convert",
    "containment",
    "reference",
    "validate",
    "resource",
    "udi",
    "nomenclature",
    "datatype",
    "code",
    "primitive",
    "xml",
    "element",
    "issue",
    "support",
];
const MAX_LINES: usize = 1_000;

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| *floor == module)
}

/// Returns the source without comments, strings and characters; line breaks are kept.
fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut out = String::with_capacity(source.len());
    let mut i = 0;
    while i < chars.len() {
        let from = i;
        let word = i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_');
        match (at(i), at(i + 1)) {
            ('/', '/') => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            ('/', '*') => {
                let mut depth = 0;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            ('"', _) => i = string_end(&chars, i),
            ('r', '"' | '#') if !word && raw_string_end(&chars, i).is_some() => {
                i = raw_string_end(&chars, i).unwrap_or(i + 1);
            }
            ('\'', '\\') => {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            (other, _) => {
                out.push(other);
                i += 1;
                continue;
            }
        }
        out.push(' ');
        out.extend(chars.get(from..i.min(chars.len())).unwrap_or_default().iter().filter(|c| **c == '\n'));
    }
    out
}

fn string_end(chars: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while let Some(c) = chars.get(i) {
        match c {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    i
}

/// Returns the end of the raw string that begins with the `r` at `start`, if there is one.
fn raw_string_end(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars.iter().skip(start + 1).take_while(|c| **c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |i: &usize| {
        chars.get(*i) == Some(&'"') && chars.iter().skip(i + 1).take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (open + 1..chars.len()).find(closes).map(|i| i + 1 + hashes)
}

/// Returns the paths after `crate::`: the line, whether a `$` precedes it, and the names; a group has several.
fn arrows(code: &str) -> Vec<(usize, bool, Vec<String>)> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let before = code[..start].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let line = code[..start].matches('\n').count() + 1;
        let rest = code[start + "crate::".len()..].trim_start();
        let names = match rest.strip_prefix('{') {
            Some(group) => group_names(group),
            None => vec![name(rest)],
        };
        found.push((line, before == Some('$'), names));
    }
    found
}

fn name(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Returns the first names of the paths in a group, from after its opening brace.
fn group_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut begins) = (0, Vec::new(), true);
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && !c.is_whitespace() => {
                names.push(name(&group[index..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

/// Returns the depth of a file's module below the crate root.
fn depth_of(file: &str) -> usize {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    path.strip_suffix("/mod").unwrap_or(path).split('/').count()
}

/// Returns where a path of `super` leaves its top-level module: the line, and the following names; a group has several.
fn leaving(code: &str, file: &str) -> Vec<(usize, Vec<String>)> {
    let (mut found, mut word, mut line, mut chain) = (Vec::new(), String::new(), 1, 0);
    // For each open brace, whether it is that of a module.
    let (mut open, mut names_module) = (Vec::new(), false);
    for (index, c) in code.char_indices() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        let mut ended = false;
        match std::mem::take(&mut word).as_str() {
            "" => {}
            "super" => (chain, ended) = (chain + 1, true),
            "mod" => names_module = true,
            _ if names_module && c != '{' && !c.is_whitespace() => names_module = false,
            _ => {}
        }
        match c {
            '{' => open.push(std::mem::take(&mut names_module)),
            '}' => drop(open.pop()),
            ';' => names_module = false,
            '\n' => line += 1,
            _ => {}
        }
        if !ended {
            continue;
        }
        // `pub(super)` is no path.
        let Some(rest) = code[index..].trim_start().strip_prefix("::").map(str::trim_start) else {
            chain = 0;
            continue;
        };
        if name(rest) == "super" {
            continue;
        }
        let names = rest.strip_prefix('{').map_or_else(|| vec![name(rest)], group_names);
        let depth = depth_of(file) + open.iter().filter(|module| **module).count();
        if chain >= depth || names.iter().any(|name| name == "super") {
            found.push((line, names));
        }
        chain = 0;
    }
    found
}

/// Returns the module of a file: the first name below `src`; `None` for the crate root.
fn module(file: &str) -> Option<&str> {
    let first = file.split('/').next().unwrap_or_default();
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib").then_some(module)
}

/// Returns the faults of a source; `file` is its path below `src`.
fn faults(file: &str, source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = source.lines().count();
    if lines > MAX_LINES {
        faults.push(format!("{file}: {lines} lines, wanted at most {MAX_LINES}"));
    }
    let Some(own) = module(file) else { return faults };
    let Some(height) = floor(own) else {
        faults.push(format!("{file}: the module `{own}` stands on no floor"));
        return faults;
    };
    for (line, in_macro, names) in arrows(&code_of(source)) {
        for name in names {
            let at = format!("{file}:{line}: `{own}` names `crate::{name}`");
            match floor(&name) {
                // What a macro says of its own module, where it is used elsewhere, can only be said so.
                Some(other) if other == height && in_macro => {}
                Some(other) if other == height => {
                    faults.push(format!("{at}, which is itself; wanted `super` or `self`"))
                }
                Some(other) if other < height => faults.push(format!("{at}, which is above it")),
                Some(_) => {}
                // The parts of an exported macro are all at the root, wherever they are written.
                None if in_macro && (name.is_empty() || name.starts_with("__")) => {}
                None => faults.push(format!("{at}, which stands on no floor")),
            }
        }
    }
    for (line, names) in leaving(&code_of(source), file) {
        let names = names.join(", ");
        faults.push(format!(
            "{file}:{line}: `{own}` leaves its room by `super` for `{names}`; wanted one path from `crate`"
        ));
    }
    faults
}

fn sources(folder: &Path, below: &str, found: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = format!("{below}{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            sources(&path, &format!("{name}/"), found);
        } else if name.ends_with(".rs") {
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn modules_depend_on_lower_floors_only() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut found);
    assert!(found.len() > 40, "only {} sources were found", found.len());
    let faults: Vec<String> = found.iter().flat_map(|(file, source)| faults(file, source)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Returns the faults of a made-up source.
fn of(file: &str, source: &str) -> String {
    faults(file, source).join("; ")
}

#[test]
fn upward_dependency_is_a_fault() {
    let fault = "element/value.rs:2: `element` names `crate::resource`, which is above it";
    assert_eq!(of("element/value.rs", "\nuse crate::resource::Device;"), fault);
    assert_eq!(of("element/value.rs", "\nfn f() -> crate ::x {}\nuse   crate::issue::Path;"), "");
    assert_eq!(of("element/value.rs", "\nmacro_rules! m { () => { $crate::resource::Device } }"), fault);
    assert_eq!(of("udi.rs", "use crate::issue::Path;"), "");
}

#[test]
fn same_floor_dependency_is_a_fault_except_in_macros() {
    let fault = "code/mod.rs:1: `code` names `crate::code`, which is itself; wanted `super` or `self`";
    assert_eq!(of("code/mod.rs", "use crate::code::X;"), fault);
    assert_eq!(of("code/mod.rs", "macro_rules! m { () => { $crate::code::X } }"), "");
}

#[test]
fn super_outside_the_module_is_a_fault() {
    let fault = "issue/mod.rs:1: `issue` leaves its room by `super` for `backend`; wanted one path from `crate`";
    assert_eq!(of("issue/mod.rs", "use super::{backend::Memory};"), fault);
    assert_eq!(of("issue/mod.rs", "fn f() -> super :: backend::Memory {}"), fault);
    let fault =
        "issue/path.rs:2: `issue` leaves its room by `super` for `backend, store`; wanted one path from `crate`";
    assert_eq!(of("issue/path.rs", "\nuse super::super::{backend::Memory, store};"), fault);
    assert_eq!(
        of("issue/path.rs", "use super::{Kind, report::{A, B}}; mod tests { use super::super::Kind; use super::*; }"),
        ""
    );
    assert!(of("issue/path.rs", "mod tests { use super::super::super::store; }").contains("for `store`"));
    assert!(of("issue/path.rs", "use super::{super::store::Key, Kind};").contains("for `super, Kind`"));
    assert_eq!(of("issue/path.rs", "pub(super) fn f(x: super::Kind) { mod y {} super::g() }"), "");
}

#[test]
fn every_name_in_a_use_group_is_a_dependency() {
    let faults = of("primitive/date.rs", "use crate::{\n issue::{Kind, Path}, code::X, update };");
    assert_eq!(
        faults,
        "primitive/date.rs:1: `primitive` names `crate::code`, which is above it; \
         primitive/date.rs:1: `primitive` names `crate::update`, which is above it"
    );
}

#[test]
fn module_without_a_floor_is_a_fault() {
    assert_eq!(of("utils/mod.rs", ""), "utils/mod.rs: the module `utils` stands on no floor");
    assert_eq!(
        of("code/mod.rs", "use crate::Device;"),
        "code/mod.rs:1: `code` names `crate::Device`, which stands on no floor"
    );
    assert_eq!(of("lib.rs", "pub use crate::resource::Device; mod utils;"), "");
    assert_eq!(of("code/mod.rs", "macro_rules! m { () => { $crate::__part! {} $crate::$name } }"), "");
    assert_eq!(
        of("code/mod.rs", "use crate::__part;"),
        "code/mod.rs:1: `code` names `crate::__part`, which stands on no floor"
    );
}

#[test]
fn file_over_1000_lines_is_a_fault() {
    let long = "\n".repeat(MAX_LINES + 1);
    assert_eq!(of("lib.rs", &long), "lib.rs: 1001 lines, wanted at most 1000");
    assert_eq!(of("issue/path.rs", &"\n".repeat(MAX_LINES)), "");
}

#[test]
fn tests_benches_and_examples_have_at_most_1000_lines_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<_> = ["tests", "benches", "examples"].iter().map(|folder| root.join(folder)).collect();
    let mut read = 0;
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let lines = std::fs::read_to_string(&path).unwrap().lines().count();
                assert!(lines <= MAX_LINES, "{}: {lines} lines, wanted at most {MAX_LINES}", path.display());
                read += 1;
            }
        }
    }
    assert!(read > 100, "{read} files were read");
}

#[test]
fn comments_and_strings_are_not_dependencies() {
    let source = r###"
        //! [`crate::resource`]
        /* crate::update /* crate::store */ crate::update */
        const A: &str = "crate::resource \" crate::update";
        const B: &str = r#"crate::resource " crate::update"#;
        const C: (char, char) = ('"', '\'');
        fn f<'a>(_: &'a str) { mycrate::resource::f() }
    "###;
    assert_eq!(of("issue/path.rs", source), "");
    let after = format!("{source}\nuse crate::resource::Device;");
    assert_eq!(of("issue/path.rs", &after), "issue/path.rs:9: `issue` names `crate::resource`, which is above it");
}

/// The files that compute a MAC, how often each takes one out of its hasher, and whether it verifies received MACs.
const MACS: [(&str, usize, bool); 4] = [
    ("backend/sealed/resources.rs", 1, false),
    ("ddi/link.rs", 1, true),
    ("server/oidc/cookie.rs", 1, true),
    ("store/page.rs", 1, true),
];

#[test]
fn macs_and_tokens_are_compared_in_constant_time() {
    let (mut files, mut macs) = (Vec::new(), Vec::new());
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), "", &mut files);
    for (name, source) in &files {
        let code = code_of(source);
        if code.contains("Hmac<") {
            // A MAC that is taken out as bytes could be compared by `==`; one that is verified is compared by its crate.
            let verifies = [".verify_slice(", ".verify_truncated_left("].iter().any(|verified| code.contains(verified));
            macs.push((name.clone(), code.matches("finalize()").count(), verifies));
        }
        if name.starts_with("server/") {
            for wrong in
                ["token == ", "== token;", "== token ", "== token)", "token != ", "!= token)", "!= token ", "== *token"]
            {
                assert!(!code.contains(wrong), "{name}: a token is compared by `{wrong}`, wanted `TokenDigest`");
            }
        }
        if matches!(name.as_str(), "server/sign_ins.rs" | "server/guard.rs") {
            assert!(!code.contains("Sha256"), "{name}: tokens are compared as `TokenDigest`");
        }
        if name == "server/token_digest.rs" {
            assert!(code.contains(".ct_eq(") && !code.contains("PartialEq,") && !code.contains("PartialEq)"), "{name}");
        }
    }
    macs.sort();
    let wanted = MACS.map(|(name, taken, verifies)| (name.to_owned(), taken, verifies));
    assert_eq!(macs, wanted, "a file makes MACs that this list does not have: verify them by the crate, and list it");
}
