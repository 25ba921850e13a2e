//! For each rule the documents that break it alone, and those that keep it.

/// The documents of one rule; `at` is the path of the finding in the first that breaks it.
pub(crate) struct Fixture {
    pub(crate) path: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) at: &'static str,
    pub(crate) breaks: Vec<String>,
    pub(crate) keeps: Vec<String>,
}

pub(crate) fn device(members: &str) -> String {
    format!(r#"{{"resourceType":"Device",{members}}}"#)
}

pub(crate) fn metric(members: &str) -> String {
    let required = r#""identifier":{"value":"1"},"type":{"text":"t"},"category":"setting""#;
    format!(r#"{{"resourceType":"DeviceMetric",{required},{members}}}"#)
}

pub(crate) fn component(members: &str) -> String {
    let required = r#""identifier":{"value":"1"},"type":{"text":"t"}"#;
    format!(r#"{{"resourceType":"DeviceComponent",{required},{members}}}"#)
}

pub(crate) fn outcome(members: &str) -> String {
    format!(r#"{{"resourceType":"OperationOutcome","issue":[{{"severity":"error","code":"invalid"}}],{members}}}"#)
}

pub(crate) fn bundle(r#type: &str, members: &str) -> String {
    format!(r#"{{"resourceType":"Bundle","type":"{type}",{members}}}"#)
}

/// Returns a device with an extension whose value is of that type.
pub(crate) fn value(r#type: &str, members: &str) -> String {
    device(&format!(r#""extension":[{{"url":"http://x.example","value{type}":{{{members}}}}}]"#))
}

pub(crate) fn repeat(members: &str) -> String {
    metric(&format!(r#""measurementPeriod":{{"repeat":{{{members}}}}}"#))
}

pub(crate) fn fixture(
    path: &'static str,
    rule: &'static str,
    at: &'static str,
    breaks: impl IntoIterator<Item = String>,
    keeps: impl IntoIterator<Item = String>,
) -> Fixture {
    Fixture { path, rule, at, breaks: breaks.into_iter().collect(), keeps: keeps.into_iter().collect() }
}

/// Returns the rules of a domain resource over its contained resources.
pub(crate) fn containing(path: &'static str, of: fn(&str) -> String) -> Vec<Fixture> {
    let refers = r##""extension":[{"url":"http://x.example","valueReference":{"reference":"#a"}}]"##;
    let holds = |members: &str| of(&format!(r#"{refers},"contained":[{{"id":"a",{members}}}]"#));
    let text = r#""text":{"status":"empty","div":"<div xmlns='http://www.w3.org/1999/xhtml'>a</div>"}"#;
    let patient = r#""resourceType":"Patient""#;
    let typed = r#""resourceType":"Device""#;
    let inner = r#""contained":[{"resourceType":"Patient","id":"b"}]"#;
    let unnamed = of(r#""contained":[{"resourceType":"Device","id":"a"}]"#);
    let anonymous = of(r#""contained":[{"resourceType":"Patient"}]"#);
    let mutual = of(r##""contained":[
        {"resourceType":"Device","id":"a","owner":{"reference":"#b"}},
        {"resourceType":"Organization","id":"b","endpoint":[{"reference":"#a"}]}
    ]"##);
    vec![
        fixture(
            path,
            "dom-1",
            "contained[0].text",
            [holds(&format!("{typed},{text}")), holds(&format!("{patient},{text}"))],
            [holds(&format!("{typed},\"language\":\"en\"")), holds(&format!("{patient},\"language\":\"en\""))],
        ),
        fixture(
            path,
            "dom-2",
            "contained[0].contained",
            [holds(&format!("{typed},{inner}")), holds(&format!("{patient},{inner}"))],
            [holds(typed), holds(patient)],
        ),
        fixture(path, "dom-3", "contained[0].id", [unnamed, anonymous], [mutual, holds(typed)]),
        fixture(
            path,
            "dom-4",
            "contained[0].meta",
            [
                holds(&format!(r#"{typed},"meta":{{"versionId":"1"}}"#)),
                holds(&format!(r#"{typed},"meta":{{"lastUpdated":"2017-05-26T11:56:30Z"}}"#)),
                holds(&format!(r#"{patient},"meta":{{"versionId":"1"}}"#)),
                holds(&format!(r#"{patient},"meta":{{"lastUpdated":"2017-05-26T11:56:30Z"}}"#)),
            ],
            [
                holds(&format!(r#"{typed},"meta":{{"profile":["http://x.example"]}}"#)),
                holds(&format!(r#"{patient},"meta":{{"profile":["http://x.example"]}}"#)),
            ],
        ),
    ]
}

/// qty-3 of a quantity type: a coded unit without a system. The members keep the other rules of the type.
pub(crate) fn coded(path: &'static str, broken: &str, kept: &str) -> Fixture {
    let of = |members: &str| match path {
        "SimpleQuantity" => value("Range", &format!(r#""low":{{{members}}}"#)),
        _ => value(path, members),
    };
    let at = if path == "SimpleQuantity" { ".low" } else { "" };
    fixture(path, "qty-3", at, [of(broken)], [of(kept)])
}

pub(crate) const UCUM: &str = r#""system":"http://unitsofmeasure.org""#;
pub(crate) const ISO_4217: &str = r#""system":"urn:iso:std:iso:4217""#;

pub(crate) fn quantities() -> Vec<Fixture> {
    let ucum = |members: &str| format!("{members},{UCUM}");
    let mut fixtures = vec![
        coded("Quantity", r#""value":1,"code":"mm""#, &ucum(r#""value":1,"code":"mm""#)),
        coded("SimpleQuantity", r#""value":1,"code":"mm""#, &ucum(r#""value":1,"code":"mm""#)),
        coded("Age", r#""value":1,"code":"a""#, &ucum(r#""value":1,"code":"a""#)),
        coded("Count", r#""value":1,"code":"1""#, &ucum(r#""value":1,"code":"1""#)),
        coded("Distance", r#""value":1,"code":"m""#, &ucum(r#""value":1,"code":"m""#)),
        coded("Money", r#""value":1,"code":"EUR""#, &format!(r#""value":1,"code":"EUR",{ISO_4217}"#)),
    ];
    let rule = |path: &'static str, rule: &'static str, breaks: &[&str], keeps: &[&str]| {
        let of = |members: &&str| value(path, members);
        fixture(path, rule, "", breaks.iter().map(of), keeps.iter().map(of))
    };
    let other = r#""value":1,"code":"x","system":"http://x.example""#;
    fixtures.extend([
        rule(
            "Age",
            "age-1",
            &[r#""value":1"#, other, &ucum(r#""value":0,"code":"a""#), &ucum(r#""value":-1,"code":"a""#)],
            &[r#""unit":"a""#, &ucum(r#""value":0.5,"code":"a""#), &ucum(r#""code":"a""#)],
        ),
        rule(
            "Count",
            "cnt-3",
            &[r#""value":1"#, other, &ucum(r#""value":1,"code":"kg""#), &ucum(r#""value":1.0,"code":"1""#)],
            &[r#""unit":"pieces""#, &ucum(r#""value":-1,"code":"1""#)],
        ),
        rule("Distance", "dis-1", &[r#""value":1"#, other], &[r#""unit":"m""#, &ucum(r#""value":1.5,"code":"m""#)]),
        rule(
            "Duration",
            "drt-1",
            &[other, &ucum(r#""code":"h""#)],
            &[r#""value":1"#, r#""value":1,"system":"http://x.example""#, &ucum(r#""value":1,"code":"h""#)],
        ),
        rule(
            "Money",
            "mny-1",
            &[r#""value":1"#, &ucum(r#""value":1,"code":"EUR""#)],
            &[r#""unit":"euro""#, &format!(r#""value":1,"code":"EUR",{ISO_4217}"#)],
        ),
        rule(
            "Range",
            "rng-2",
            &[
                r#""low":{"value":2},"high":{"value":1}"#,
                r#""low":{"value":1.01,"unit":"m"},"high":{"value":1.0,"unit":"m"}"#,
                r#""low":{"value":-1},"high":{"value":-2}"#,
            ],
            &[
                r#""low":{"value":9},"high":{"value":10}"#,
                r#""low":{"value":1.0},"high":{"value":1.00}"#,
                r#""low":{"value":2}"#,
                r#""low":{"value":2,"unit":"mm"},"high":{"value":1,"unit":"m"}"#,
                r#""low":{"unit":"m"},"high":{"value":1,"unit":"m"}"#,
            ],
        ),
        rule(
            "Ratio",
            "rat-1",
            &[r#""numerator":{"value":1}"#, r#""denominator":{"value":1}"#],
            &[
                r#""numerator":{"value":1},"denominator":{"value":0}"#,
                r#""extension":[{"url":"http://x.example","valueString":"a"}]"#,
            ],
        ),
        rule(
            "Period",
            "per-1",
            &[
                r#""start":"2018","end":"2017""#,
                r#""start":"2017-05-26T12:00:00Z","end":"2017-05-26T13:00:00+02:00""#,
                r#""start":"2017-05-26T12:00:00.2Z","end":"2017-05-26T12:00:00.10Z""#,
            ],
            &[
                r#""start":"2017","end":"2017""#,
                r#""start":"2017-05","end":"2017""#,
                r#""start":"2017-05-26T12:00:00Z","end":"2017-05-26T11:00:00-02:00""#,
                r#""start":"2018""#,
            ],
        ),
        rule(
            "Attachment",
            "att-1",
            &[r#""data":"AAAA""#],
            &[r#""data":"AAAA","contentType":"text/plain""#, r#""url":"http://x.example""#],
        ),
    ]);
    // A duration with a coded unit and no system breaks drt-1 too: qty-3 of it cannot be broken alone.
    fixtures
}

/// The rules that cannot be broken alone, and why.
pub(crate) const TOGETHER: &[(&str, &str, &str)] =
    &[("Duration", "qty-3", "drt-1 asks for a system of a coded unit too")];

pub(crate) fn timings() -> Vec<Fixture> {
    let rule = |rule: &'static str, breaks: &[&str], keeps: &[&str]| {
        let of = |members: &&str| repeat(members);
        fixture("Timing.repeat", rule, "", breaks.iter().map(of), keeps.iter().map(of))
    };
    vec![
        rule("tim-1", &[r#""duration":1"#], &[r#""duration":1,"durationUnit":"s""#, r#""durationUnit":"s""#]),
        rule("tim-2", &[r#""period":1"#], &[r#""period":1,"periodUnit":"s""#]),
        rule(
            "tim-4",
            &[r#""duration":-0.1,"durationUnit":"s""#],
            &[r#""duration":0,"durationUnit":"s""#, r#""duration":-0.0,"durationUnit":"s""#],
        ),
        rule("tim-5", &[r#""period":-1,"periodUnit":"s""#], &[r#""period":0,"periodUnit":"s""#]),
        rule("tim-6", &[r#""periodMax":1"#], &[r#""periodMax":1,"period":1,"periodUnit":"s""#]),
        rule("tim-7", &[r#""durationMax":1"#], &[r#""durationMax":1,"duration":1,"durationUnit":"s""#]),
        rule("tim-8", &[r#""countMax":1"#], &[r#""countMax":1,"count":1"#]),
        rule(
            "tim-9",
            &[
                r#""offset":1"#,
                r#""offset":1,"when":["C"]"#,
                r#""offset":1,"when":["CM"]"#,
                r#""offset":1,"when":["CD"]"#,
                r#""offset":1,"when":["CV"]"#,
            ],
            &[r#""offset":1,"when":["AC"]"#, r#""when":["C"]"#],
        ),
        rule(
            "tim-10",
            &[r#""timeOfDay":["08:00:00"],"when":["AC"]"#],
            &[r#""timeOfDay":["08:00:00"]"#, r#""when":["AC"]"#],
        ),
    ]
}

pub(crate) fn bundles() -> Vec<Fixture> {
    let resource = r#""resource":{"resourceType":"Patient"}"#;
    let entry = |members: &str| format!(r#""entry":[{{{members}}}]"#);
    let url = r#""fullUrl":"http://x.example/Patient/1""#;
    let twice = |one: &str, other: &str| {
        let entry = |meta: &str| format!(r#"{{{url},"resource":{{"resourceType":"Patient"{meta}}}}}"#);
        bundle("history", &format!(r#""entry":[{},{}]"#, entry(one), entry(other)))
    };
    let request = entry(r#""request":{"method":"GET","url":"a"}"#);
    let response = entry(r#""response":{"status":"200"}"#);
    let search = entry(&format!(r#"{resource},"search":{{"mode":"match"}}"#));
    let named = |members: &str| bundle("document", &format!(r#""identifier":{{{members}}}"#));
    let in_each = |types: &[&str], members: &str| types.iter().map(|one| bundle(one, members)).collect::<Vec<_>>();
    vec![
        fixture(
            "Bundle",
            "bdl-1",
            "",
            in_each(&["collection", "batch", "message"], r#""total":1"#),
            in_each(&["searchset", "history"], r#""total":1"#),
        ),
        fixture("Bundle", "bdl-2", "", in_each(&["collection", "history"], &search), in_each(&["searchset"], &search)),
        fixture(
            "Bundle",
            "bdl-3",
            "",
            in_each(&["collection", "searchset", "batch-response"], &request),
            in_each(&["batch", "transaction", "history"], &request),
        ),
        fixture(
            "Bundle",
            "bdl-4",
            "",
            in_each(&["collection", "batch"], &response),
            in_each(&["batch-response", "transaction-response", "history"], &response),
        ),
        fixture(
            "Bundle",
            "bdl-7",
            "",
            [
                twice("", ""),
                twice(r#","meta":{"versionId":"1"}"#, r#","meta":{"versionId":"1"}"#),
                twice(r#","meta":{"tag":[{"code":"a"}]}"#, ""),
            ],
            [
                twice(r#","meta":{"versionId":"1"}"#, r#","meta":{"versionId":"2"}"#),
                bundle("collection", &format!(r#""entry":[{{{resource}}},{{{resource}}}]"#)),
            ],
        ),
        fixture(
            "Bundle",
            "bdl-9",
            "",
            [named(r#""value":"1""#), named(r#""system":"http://x.example""#)],
            [named(r#""system":"http://x.example","value":"1""#)],
        ),
        fixture(
            "Bundle.entry",
            "bdl-5",
            "entry[0]",
            [bundle("collection", &entry(url)), bundle("searchset", &entry(r#""search":{"mode":"match"}"#))],
            [bundle("collection", &entry(resource)), bundle("batch", &request)],
        ),
        fixture(
            "Bundle.entry",
            "bdl-8",
            "entry[0]",
            [bundle("collection", &entry(&format!(r#"{resource},"fullUrl":"http://x.example/Patient/1/_history/2""#)))],
            [bundle("collection", &entry(&format!("{resource},{url}")))],
        ),
    ]
}

pub(crate) fn fixtures() -> Vec<Fixture> {
    let extension = |members: &str| device(&format!(r#""extension":[{{"url":"http://x.example"{members}}}]"#));
    let part = r#","extension":[{"url":"a","valueString":"b"}]"#;
    let string = r#","valueString":"a""#;
    let mut fixtures = vec![
        fixture(
            "Extension",
            "ext-1",
            "extension[0]",
            [
                extension(""),
                extension(r#","id":"a""#),
                extension(&format!("{part}{string}")),
                extension(&format!(
                    r#"{part},"_valueString":{{"extension":[{{"url":"http://x.example","valueString":"b"}}]}}"#
                )),
            ],
            [
                extension(part),
                extension(string),
                extension(&format!(r#","_valueString":{{{}}}"#, &part[1..].replace("\"a\"", "\"http://x.example\""))),
            ],
        ),
        fixture(
            "ContactPoint",
            "cpt-2",
            "contact[0].system",
            [device(r#""contact":[{"value":"1"}]"#)],
            [device(r#""contact":[{"value":"1","system":"fax"}]"#), device(r#""contact":[{"rank":1}]"#)],
        ),
        fixture(
            "Reference",
            "ref-1",
            "owner",
            [
                device(r##""owner":{"reference":"#a"}"##),
                device(r##""owner":{"reference":"#"}"##),
                value("Reference", r##""reference":"#a""##),
                bundle(
                    "collection",
                    r##""entry":[
                        {"resource":{"resourceType":"Device","contained":[{"resourceType":"Organization","id":"a"}],"owner":{"reference":"#a"}}},
                        {"resource":{"resourceType":"Device","owner":{"reference":"#a"}}}
                    ]"##,
                ),
                bundle(
                    "collection",
                    r##""entry":[{"resource":{"resourceType":"Observation","device":{"reference":"#a"}}}]"##,
                ),
            ],
            [
                device(r##""contained":[{"resourceType":"Organization","id":"a"}],"owner":{"reference":"#a"}"##),
                device(r#""owner":{"reference":"Organization/a"}"#),
                device(r#""owner":{"display":"A"}"#),
            ],
        ),
    ];
    fixtures.extend(containing("Device", device));
    fixtures.extend(containing("DeviceComponent", component));
    fixtures.extend(containing("DeviceMetric", metric));
    fixtures.extend(containing("OperationOutcome", outcome));
    fixtures.extend(quantities());
    fixtures.extend(timings());
    fixtures.extend(bundles());
    fixtures
}
