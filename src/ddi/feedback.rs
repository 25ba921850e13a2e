//! The feedback of a device about an action.

use super::Refusal;
use crate::publish::{ActionNumber, OfferKey};
use crate::service::DeviceReport;
use crate::support::read_object;
use crate::update::deployment::Phase;
use crate::update::rollout::FailureCode;
use serde::Deserialize;

#[derive(Deserialize)]
struct Feedback {
    #[serde(default)]
    id: Option<serde_json::Value>,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    execution: Execution,
    #[serde(default)]
    result: Option<ResultMember>,
    #[serde(default)]
    code: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct ResultMember {
    #[serde(default)]
    finished: Option<Finished>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Execution {
    Closed,
    Proceeding,
    Canceled,
    Scheduled,
    Rejected,
    Resumed,
    Downloaded,
    Download,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Finished {
    Success,
    Failure,
    None,
}

/// What a device says of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancellation {
    /// The device stopped, or had installed before.
    Acknowledged,
    /// The device goes on.
    Refused,
    /// The device has not decided.
    Pending,
}

/// The feedback of an action, read.
#[derive(Debug)]
pub(super) struct Read {
    execution: Execution,
    finished: Finished,
    code: Option<u64>,
}

/// Reads the feedback of an action.
pub(super) fn read(number: ActionNumber, body: &[u8]) -> Result<Read, Refusal> {
    let read: Feedback =
        read_object(body).map_err(|error| Refusal::Malformed { what: "feedback", why: error.to_string() })?;
    // Some clients write the number as a text, and later versions of the interface leave it out.
    let named = match &read.id {
        Some(serde_json::Value::Number(id)) => id.as_u64(),
        Some(serde_json::Value::String(id)) => id.parse().ok(),
        _ => None,
    };
    if let Some(named) = named.filter(|named| *named != u64::from(number.0)) {
        return Err(Refusal::OtherAction { number, named });
    }
    let Status { execution, result, code } = read.status;
    let finished = result.and_then(|result| result.finished).unwrap_or(Finished::None);
    Ok(Read { execution, finished, code: code.and_then(|code| code.as_u64()) })
}

/// What a device says of an action before it begins it.
#[derive(Debug, Deserialize)]
pub(super) struct Confirmation {
    confirmation: Confirmed,
    #[serde(default)]
    code: Option<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Confirmed {
    Confirmed,
    Denied,
}

/// Reads the confirmation of an action.
pub(super) fn read_confirmation(body: &[u8]) -> Result<Confirmation, Refusal> {
    read_object(body).map_err(|error| Refusal::Malformed { what: "confirmation", why: error.to_string() })
}

impl Confirmation {
    pub(super) fn is_denied(&self) -> bool {
        self.confirmation == Confirmed::Denied
    }

    /// Returns the report of an action that the device denies.
    pub(super) fn rejection(&self, key: OfferKey) -> DeviceReport {
        let code = self.code.as_ref().and_then(serde_json::Value::as_u64);
        DeviceReport::Rejected { key, code: coded("denied", code) }
    }
}

impl Read {
    /// Returns what the feedback reports of an offer; `None` where it says nothing that is recorded. `stopping` says whether the
    /// device was asked to stop.
    pub(super) fn report(&self, key: OfferKey, stopping: bool) -> Option<DeviceReport> {
        let phase = |phase| Some(DeviceReport::Phase { key, number: None, phase });
        // Whether another attempt may do better is not said, and the rollout limits how many there are.
        let failed = |code| Some(DeviceReport::Failed { key, transient: true, code });
        match (self.execution, self.finished) {
            // A client says that it proceeds when it begins the download, so that this says nothing of the installation.
            (Execution::Proceeding | Execution::Download, _) => phase(Phase::Downloading),
            (Execution::Downloaded, _) => phase(Phase::Staged),
            (Execution::Scheduled | Execution::Resumed, _) => None,
            (Execution::Rejected, _) => Some(DeviceReport::Rejected { key, code: self.code("rejected") }),
            (Execution::Canceled, _) if stopping => Some(DeviceReport::StopAcknowledged { key }),
            (Execution::Canceled, _) => {
                Some(DeviceReport::Failed { key, transient: false, code: self.code("device-cancelled") })
            }
            (Execution::Closed, Finished::Success) => Some(DeviceReport::Done { key }),
            (Execution::Closed, Finished::Failure) => failed(self.code("device-failed")),
            (Execution::Closed, Finished::None) => failed(self.code("no-result")),
        }
    }

    /// Returns what the feedback says of a cancellation.
    pub(super) fn cancellation(&self) -> Cancellation {
        match (self.execution, self.finished) {
            (Execution::Closed, Finished::Success | Finished::None) | (Execution::Canceled, _) => {
                Cancellation::Acknowledged
            }
            (Execution::Closed, Finished::Failure) | (Execution::Rejected, _) => Cancellation::Refused,
            _ => Cancellation::Pending,
        }
    }

    fn code(&self, what: &'static str) -> FailureCode {
        coded(what, self.code)
    }
}

/// Returns a failure code with the number that the device gives, if any.
fn coded(what: &'static str, code: Option<u64>) -> FailureCode {
    let numbered = code.and_then(|code| FailureCode::new(format!("{what}-{code}")).ok());
    numbered.unwrap_or_else(|| FailureCode::of(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::rollout::{Attempt, DeploymentId};

    const KEY: OfferKey = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };

    fn feedback(execution: &str, finished: &str) -> Read {
        let text =
            format!(r#"{{"id":"5","status":{{"execution":"{execution}","result":{{"finished":"{finished}"}}}}}}"#);
        read(ActionNumber(5), text.as_bytes()).unwrap()
    }

    #[test]
    fn each_execution_is_reported_once() {
        let key = KEY;
        let phase = |phase| Some(DeviceReport::Phase { key, number: None, phase });
        let failed = |transient, code: &str| Some(DeviceReport::Failed { key, transient, code: code.parse().unwrap() });
        for (execution, finished, expected) in [
            ("proceeding", "none", phase(Phase::Downloading)),
            ("download", "none", phase(Phase::Downloading)),
            ("downloaded", "none", phase(Phase::Staged)),
            ("scheduled", "none", None),
            ("resumed", "none", None),
            ("rejected", "none", Some(DeviceReport::Rejected { key, code: "rejected".parse().unwrap() })),
            ("canceled", "none", failed(false, "device-cancelled")),
            ("closed", "success", Some(DeviceReport::Done { key })),
            ("closed", "failure", failed(true, "device-failed")),
            // hawkBit counts it as a success.
            ("closed", "none", failed(true, "no-result")),
        ] {
            assert_eq!(feedback(execution, finished).report(key, false), expected, "{execution} {finished}");
        }
        assert_eq!(feedback("canceled", "none").report(key, true), Some(DeviceReport::StopAcknowledged { key }));
    }

    #[test]
    fn cancellation_is_acknowledged_or_refused() {
        for (execution, finished, expected) in [
            ("closed", "success", Cancellation::Acknowledged),
            ("closed", "none", Cancellation::Acknowledged),
            ("canceled", "none", Cancellation::Acknowledged),
            ("closed", "failure", Cancellation::Refused),
            ("rejected", "none", Cancellation::Refused),
            ("proceeding", "none", Cancellation::Pending),
        ] {
            assert_eq!(feedback(execution, finished).cancellation(), expected, "{execution} {finished}");
        }
    }

    #[test]
    fn number_in_the_body_is_that_of_the_path() {
        for (id, status) in
            [("5", None), ("\"5\"", None), ("null", None), ("\"\"", None), ("6", Some(400)), ("\"6\"", Some(400))]
        {
            let text = format!(
                r#"{{"id":{id},"status":{{"execution":"closed","result":{{"finished":"success"}},"code":3}}}}"#
            );
            let read = read(ActionNumber(5), text.as_bytes());
            assert_eq!(read.err().map(|refusal| refusal.status()), status, "{id}");
        }
        for text in [
            "",
            "{}",
            r#"{"status":{"execution":"gone"}}"#,
            r#"{"status":{"execution":"closed","result":{"finished":"maybe"}}}"#,
        ] {
            assert_eq!(read(ActionNumber(5), text.as_bytes()).unwrap_err().status(), 400, "{text}");
        }
    }

    #[test]
    fn number_of_the_device_is_in_the_failure_code() {
        let text = r#"{"status":{"execution":"closed","result":{"finished":"failure"},"code":404}}"#;
        let Some(DeviceReport::Failed { code, .. }) =
            read(ActionNumber(5), text.as_bytes()).unwrap().report(KEY, false)
        else {
            panic!()
        };
        assert_eq!(code.as_str(), "device-failed-404");
    }
}
