use super::*;

fn patched(document: &str, patch: &str) -> Result<String> {
    patched_within(document, patch, &Limits::default())
}

fn patched_within(document: &str, patch: &str, limits: &Limits) -> Result<String> {
    let patch = Patch::read(patch.as_bytes(), limits)?;
    let tree = Json::read(document, "Device").unwrap();
    Ok(patch.apply(tree, document.len(), "Device")?.to_text(0))
}

fn refused(document: &str, patch: &str) -> (u16, String) {
    let problem = patched(document, patch).unwrap_err();
    let words = problem.issues().next().unwrap().diagnostics.as_ref().unwrap().value.as_ref().unwrap().to_string();
    (problem.status(), words)
}

/// The examples of RFC 6902, appendix A, by their numbers.
#[test]
fn rfc_6902_examples_pass() {
    for (number, document, patch, result) in [
        ("A.1", r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz","value":"qux"}]"#, r#"{"foo":"bar","baz":"qux"}"#),
        (
            "A.2",
            r#"{"foo":["bar","baz"]}"#,
            r#"[{"op":"add","path":"/foo/1","value":"qux"}]"#,
            r#"{"foo":["bar","qux","baz"]}"#,
        ),
        ("A.3", r#"{"baz":"qux","foo":"bar"}"#, r#"[{"op":"remove","path":"/baz"}]"#, r#"{"foo":"bar"}"#),
        ("A.4", r#"{"foo":["bar","qux","baz"]}"#, r#"[{"op":"remove","path":"/foo/1"}]"#, r#"{"foo":["bar","baz"]}"#),
        (
            "A.5",
            r#"{"baz":"qux","foo":"bar"}"#,
            r#"[{"op":"replace","path":"/baz","value":"boo"}]"#,
            r#"{"baz":"boo","foo":"bar"}"#,
        ),
        (
            "A.6",
            r#"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
            r#"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
            r#"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#,
        ),
        (
            "A.7",
            r#"{"foo":["all","grass","cows","eat"]}"#,
            r#"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
            r#"{"foo":["all","cows","eat","grass"]}"#,
        ),
        (
            "A.8",
            r#"{"baz":"qux","foo":["a",2,"c"]}"#,
            r#"[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]"#,
            r#"{"baz":"qux","foo":["a",2,"c"]}"#,
        ),
        (
            "A.10",
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
            r#"{"foo":"bar","child":{"grandchild":{}}}"#,
        ),
        (
            "A.11",
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/baz","value":"qux","xyz":123}]"#,
            r#"{"foo":"bar","baz":"qux"}"#,
        ),
        ("A.14", r#"{"/":9,"~1":10}"#, r#"[{"op":"test","path":"/~01","value":10}]"#, r#"{"/":9,"~1":10}"#),
        (
            "A.16",
            r#"{"foo":["bar"]}"#,
            r#"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#,
            r#"{"foo":["bar",["abc","def"]]}"#,
        ),
    ] {
        assert_eq!(patched(document, patch).unwrap(), result, "{number}");
    }
    for (number, document, patch, status, words) in [
        (
            "A.9",
            r#"{"baz":"qux"}"#,
            r#"[{"op":"test","path":"/baz","value":"bar"}]"#,
            422,
            "operation[0], `test` at `/baz`: found another value than the one that is given",
        ),
        (
            "A.12",
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/baz/bat","value":"qux"}]"#,
            422,
            "operation[0], `add` at `/baz/bat`: there is nothing above it",
        ),
        (
            "A.13",
            "{}",
            r#"[{"op":"add","path":"/baz","value":"qux","op":"remove"}]"#,
            400,
            "found the member a second time",
        ),
        (
            "A.15",
            r#"{"/":9,"~1":10}"#,
            r#"[{"op":"test","path":"/~01","value":"10"}]"#,
            422,
            "operation[0], `test` at `/~01`: found another value than the one that is given",
        ),
    ] {
        assert_eq!(refused(document, patch), (status, words.to_owned()), "{number}");
    }
}

#[test]
fn copy_and_pointer_syntax_follow_rfc_6902() {
    for (document, patch, result) in [
        (r#"{"a":{"b":[1.50]}}"#, r#"[{"op":"copy","from":"/a/b","path":"/c"}]"#, r#"{"a":{"b":[1.50]},"c":[1.50]}"#),
        // A member that is there is replaced in its place, and a move to itself changes nothing.
        (r#"{"a":1,"b":2}"#, r#"[{"op":"add","path":"/a","value":3.00}]"#, r#"{"a":3.00,"b":2}"#),
        (r#"{"a":1,"b":2}"#, r#"[{"op":"move","from":"/a","path":"/a"}]"#, r#"{"a":1,"b":2}"#),
        (r#"{"a":1}"#, r#"[{"op":"replace","path":"","value":{"b":2}}]"#, r#"{"b":2}"#),
        (
            r#"{"":1,"a/b":2,"m~n":3}"#,
            r#"[{"op":"remove","path":"/a~1b"},{"op":"remove","path":"/m~0n"}]"#,
            r#"{"":1}"#,
        ),
        (r#"{"":1,"a":2}"#, r#"[{"op":"remove","path":"/"}]"#, r#"{"a":2}"#),
        // A number is equal to another of the same value, and stays as it was written.
        (r#"{"a":1.50}"#, r#"[{"op":"test","path":"/a","value":15e-1}]"#, r#"{"a":1.50}"#),
        (r#"{"a":-0.0}"#, r#"[{"op":"test","path":"/a","value":0}]"#, r#"{"a":-0.0}"#),
        (r#"{"a":100}"#, r#"[{"op":"test","path":"/a","value":1E+2}]"#, r#"{"a":100}"#),
        (
            r#"{"a":{"b":1,"c":[2]}}"#,
            r#"[{"op":"test","path":"/a","value":{"c":[2.0],"b":1}}]"#,
            r#"{"a":{"b":1,"c":[2]}}"#,
        ),
        // An array from which the last item was taken is taken out, unless it is filled again.
        (r#"{"a":[1],"b":2}"#, r#"[{"op":"remove","path":"/a/0"}]"#, r#"{"b":2}"#),
        (r#"{"a":[1]}"#, r#"[{"op":"move","from":"/a/0","path":"/b"}]"#, r#"{"b":1}"#),
        (r#"{"a":[1]}"#, r#"[{"op":"remove","path":"/a/0"},{"op":"add","path":"/a/-","value":2}]"#, r#"{"a":[2]}"#),
        (r#"{"a":1}"#, r#"[{"op":"add","path":"/b","value":[]}]"#, r#"{"a":1,"b":[]}"#),
        ("{}", "[]", "{}"),
    ] {
        assert_eq!(patched(document, patch).unwrap(), result, "{patch}");
    }
}

#[test]
fn refusal_names_the_operation_and_its_path() {
    let document = r#"{"a":[1,{"b":2}],"c":"x"}"#;
    for (patch, status, words) in [
        (
            r#"[{"op":"test","path":"/c","value":"x"},{"op":"remove","path":"/a/2"}]"#,
            422,
            "operation[1], `remove` at `/a/2`: there is nothing at `/a/2`",
        ),
        (
            r#"[{"op":"add","path":"/a/3","value":0}]"#,
            422,
            "operation[0], `add` at `/a/3`: `3` is no place in an array of 2 items",
        ),
        (
            r#"[{"op":"add","path":"/a/01","value":0}]"#,
            422,
            "operation[0], `add` at `/a/01`: `01` is no place in an array of 2 items",
        ),
        (
            r#"[{"op":"add","path":"/c/d","value":0}]"#,
            422,
            "operation[0], `add` at `/c/d`: what is above it is no object and no array",
        ),
        (
            r#"[{"op":"replace","path":"/d","value":0}]"#,
            422,
            "operation[0], `replace` at `/d`: there is nothing at `/d`",
        ),
        (
            r#"[{"op":"replace","path":"/a/-","value":0}]"#,
            422,
            "operation[0], `replace` at `/a/-`: there is nothing at `/a/-`",
        ),
        (r#"[{"op":"move","from":"/d","path":"/e"}]"#, 422, "operation[0], `move` at `/e`: there is nothing at `/d`"),
        (
            r#"[{"op":"copy","from":"/a/9","path":"/e"}]"#,
            422,
            "operation[0], `copy` at `/e`: there is nothing at `/a/9`",
        ),
        (r#"[{"op":"remove","path":""}]"#, 422, "operation[0], `remove` at ``: the whole resource cannot be removed"),
        (
            r#"[{"op":"test","path":"/a","value":1e99999999999999999999}]"#,
            422,
            "operation[0], `test` at `/a`: found another value than the one that is given",
        ),
        (r#"[{"op":"move","from":"/a","path":"/a/1/c"}]"#, 400, "operation[0]: `/a` cannot be moved into itself"),
        (r#"[{"op":"add","path":"/e"}]"#, 400, "operation[0]: `value` is missing"),
        (r#"[{"op":"copy","path":"/e"}]"#, 400, "operation[0]: `from` is missing"),
        (r#"[{"op":"remove"}]"#, 400, "operation[0]: `path` is missing"),
        (r#"[{"op":"remove","path":7}]"#, 400, "operation[0]: `path` is no string"),
        (r#"[{"op":"remove","path":"a"}]"#, 400, "operation[0]: `path` is `a`, wanted a JSON Pointer"),
        (r#"[{"op":"remove","path":"/a~2"}]"#, 400, "operation[0]: `path` is `/a~2`, wanted a JSON Pointer"),
        (
            r#"[{"op":"delete","path":"/a"}]"#,
            400,
            "operation[0]: `op` is `delete`, wanted `add`, `remove`, `replace`, `move`, `copy` or `test`",
        ),
        ("[7]", 400, "operation[0]: found no object"),
        ("{}", 400, "the patch is no array of operations"),
    ] {
        assert_eq!(refused(document, patch), (status, words.to_owned()), "{patch}");
    }
    let all = patched("{}", r#"[{"op":"x","path":""},{"op":"remove"},{}]"#).unwrap_err();
    assert_eq!(all.issues().count(), 3, "everything that is wrong with a patch is told at once");
    let long = format!(r#"[{{"op":"remove","path":"/{}"}}]"#, "x".repeat(1 << 20));
    assert!(refused("{}", &long).1.len() < 1_000);
}

#[test]
fn copies_and_nesting_are_bounded() {
    let doubling = format!("[{}]", vec![r#"{"op":"copy","from":"/a","path":"/a/-"}"#; 20].join(","));
    let (status, words) = refused(r#"{"a":[1]}"#, &doubling);
    assert_eq!(status, 413, "{words}");
    assert!(words.contains("copies more than the resource and the patch have together"), "{words}");
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    let deeper = format!(r#"[{{"op":"copy","from":"/a","path":"/a{}"}}]"#, "/0".repeat(50));
    let (status, words) = refused(&deep, &deeper);
    assert_eq!(status, 422, "{words}");
    assert!(words.contains("more than 128 objects and arrays"), "{words}");
    let many = format!("[{}]", vec![r#"{"op":"remove","path":"/a"}"#; 1_001].join(","));
    assert_eq!(refused("{}", &many).0, 413);
    assert!(patched_within("{}", "[{}]", &Limits::default().with_operations(0)).is_err_and(|e| e.status() == 413));
}

#[test]
fn repeated_shifts_of_a_large_array_are_refused() {
    let document = format!(r#"{{"a":[{}]}}"#, vec!["1"; 200_000].join(","));
    let patch = format!("[{}]", vec![r#"{"op":"add","path":"/a/0","value":1}"#; 1_000].join(","));
    assert_eq!(refused(&document, &patch).0, 413);
}
