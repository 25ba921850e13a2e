//! Refusals in plain words, with what to do.

use super::text::sentence;
use crate::rest;
use maud::{Markup, html};

/// Rule of a refusal, what happened, and what to do. The message of the service is shown below both.
const WORDS: [(&str, &str, &str); 41] = [
    (
        "ambiguous-target",
        "It is not clear for which component the update is.",
        "Choose one component of the device, and send it again.",
    ),
    ("busy", "The service is busy.", "Wait a few seconds, and try again."),
    ("component-deleted", "The component was deleted.", "Look at the device, and choose a component that is there."),
    ("contended", "Others changed the component at the same moment.", "Send it again."),
    ("device-id", "No device was chosen.", "Choose the device first."),
    (
        "digest-mismatch",
        "The file is not the one whose SHA-256 was given.",
        "Compare the digest with what the manufacturer says. If it is right, get the file again: it is damaged, or another one.",
    ),
    ("empty-file", "The file is empty.", "Choose the file again; it may not have been copied to its end."),
    ("field-value", "A field has a value that cannot be taken.", "Correct the field that is named below."),
    ("file-broke-off", "The file did not arrive to its end.", "Send it again."),
    ("hidden-character", "A text has a character that cannot be seen.", "Type the text instead of pasting it."),
    (
        "idempotency-key-reused",
        "The same request was sent before with other content.",
        "Load the page anew, and fill in the form again.",
    ),
    ("invalid-release", "The release is not complete.", "Correct what is named below."),
    ("invalid-rollout", "The rollout cannot be made as it is described.", "Correct what is named below."),
    (
        "invalid-search",
        "The search for the components cannot be read.",
        "Write it as a FHIR search of DeviceComponent, or leave it empty for all.",
    ),
    (
        "local-only",
        "This service answers only this machine.",
        "Open it at its own address on the machine on which it runs.",
    ),
    (
        "lower-version",
        "The version is lower than the one that the component reports.",
        "Where you mean to go back, tick `Go back to a version below the reported one`, and say why.",
    ),
    ("media-type", "This kind of file is not taken here.", "Ask the operator which kinds are."),
    ("missing-field", "A field is missing.", "Fill in the field that is named below."),
    ("no-file", "No file was chosen.", "Choose the file of the update."),
    ("no-such-component", "The device has no such component.", "Choose one of the components of the device."),
    ("no-such-device", "There is no such device.", "Look for it in the list of devices."),
    (
        "not-found",
        "There is nothing here.",
        "The address may be mistyped, or what was here is gone. Begin at the list of devices.",
    ),
    (
        "not-higher",
        "The sequence number is not higher than one that the component accepted.",
        "Take a higher sequence number.",
    ),
    ("not-released", "The release is withdrawn, or not complete yet.", "Choose another release."),
    ("not-restorable", "The update cannot be made current again.", "Send its file again as a new update."),
    ("other-site", "The request came from another site.", "Open the page of this service, and do it there."),
    ("page", "The link to this page of the list is not valid any more.", "Begin at the first page of the list."),
    ("reason-missing", "The reason is missing.", "Go back, and say why."),
    ("rollout-state", "The rollout is in a state in which this cannot be done.", "Look at where it stands now."),
    ("role", "You may not do this here.", "Ask the operator for the role that is named below."),
    (
        "sequence-too-high",
        "The sequence number is too high.",
        "Take the next number after the last one; a date with its time is too long.",
    ),
    ("sign-in", "You are not signed in.", "Sign in with your token as the password."),
    (
        "store-mismatch",
        "The service has the wrong store of files.",
        "Tell the operator: nothing can be sent until this is put right.",
    ),
    ("tenant", "You have no access to this tenant.", "Go to a tenant of yours by the field at the top."),
    ("timeout", "Nothing came from your browser for a minute.", "Look at your connection, and send it again."),
    ("too-large", "The file is too large.", "Ask the operator to raise the limit, if the file is right."),
    ("unfit-target", "This component cannot take updates.", "Choose another component of the device."),
    (
        "unsequenced",
        "The component takes only updates with a sequence number by now.",
        "Give a sequence number that is higher than the last one.",
    ),
    ("upload-ended", "The upload came to nothing by itself.", "There is nothing to withdraw."),
    ("version-form", "The version has not the form of its scheme.", "Write it as the manufacturer does."),
    (
        "version-taken",
        "Another file of this version was sent before.",
        "Check the version. Where the new file is right, tick `Replace the file that this version had`.",
    ),
];

/// Returns what happened and what to do, for a rule and a status.
fn words(rule: &str, status: u16) -> (&'static str, &'static str) {
    if let Some((_, what, advice)) = WORDS.iter().find(|(known, ..)| *known == rule) {
        return (what, advice);
    }
    match status {
        401 | 403 => ("You may not do this here.", "Sign in, or ask the operator."),
        404 | 410 => ("There is nothing here.", "It may be gone. Begin at the list of devices."),
        409 | 412 => ("This does not fit what is there by now.", "Look at it again, and try it once more."),
        429 | 503 => ("The service cannot do this now.", "Wait a few seconds, and try again."),
        500.. => (
            "Something is wrong with the service.",
            "Try it again later; if it stays so, tell the operator. It is in the log.",
        ),
        _ => ("This cannot be taken as it is.", "Correct what is named below, and try again."),
    }
}

/// Returns a refusal as HTML.
pub(super) fn refusal(problem: &rest::Problem) -> Markup {
    let status = problem.status();
    let rule = problem.issues().find_map(|issue| {
        issue.details.as_ref()?.coding.first()?.code.as_ref()?.get().map(|code| code.as_str().to_owned())
    });
    let (what, advice) = words(rule.as_deref().unwrap_or_default(), status);
    let told = problem.issues().filter_map(|issue| issue.diagnostics.as_ref()?.get());
    html! {
        section #answer.answer.bad role="alert" data-status=(status) {
            h1 { (what) }
            p { (advice) }
            @for text in told.take(16) { p.told { (sentence(text.as_str())) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_in_order_and_told_once() {
        let rules: Vec<&str> = WORDS.iter().map(|(rule, ..)| *rule).collect();
        let mut sorted = rules.clone();
        sorted.sort_by_key(|rule| rule.replace('-', "~"));
        sorted.dedup();
        assert_eq!(rules.len(), sorted.len());
    }

    #[test]
    fn unknown_rules_have_words_by_their_status() {
        assert!(words("no-such-rule", 503).1.contains("Wait"));
        assert!(words("no-such-rule", 422).1.contains("Correct"));
    }
}
