//! The CapabilityStatement of a server.

use super::FhirServer;
use super::fault::{ServerFault, refusal};
use super::wire::OutgoingRequest;
use crate::search::ResourceType;
use crate::store::{Result, Tenant};
use serde::Deserialize;

/// A required capability that a server does not declare.
///
/// ```
/// use fhir_devices::backend::fhir_http::MissingCapability;
/// let other = MissingCapability::Version { found: "4.0.1".into(), wanted: "3.0" };
/// assert_eq!(other.to_string(), "the server has FHIR `4.0.1`, wanted 3.0");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MissingCapability {
    /// The server has another version of FHIR.
    #[error("the server has FHIR `{found}`, wanted {wanted}")]
    Version {
        /// The version.
        found: String,
        /// How the version begins that is wanted.
        wanted: &'static str,
    },
    /// The server does not write JSON.
    #[error("the server writes no JSON")]
    Json,
    /// The server stores no resources of a type.
    #[error("the server keeps no {of}")]
    Type {
        /// The type.
        of: ResourceType,
    },
    /// The server lacks an interaction with the resources of a type.
    #[error("the server does not offer `{code}` of a {of}")]
    Interaction {
        /// The type.
        of: ResourceType,
        /// The interaction, in FHIR's words.
        code: &'static str,
    },
    /// The server accepts no resource under an id that the client chose.
    #[error("the server creates no {of} under an id of the client's")]
    OwnIds {
        /// The type.
        of: ResourceType,
    },
    /// The server keeps no versions, so that no condition can name one.
    #[error("the server does not tell the versions of a {of}")]
    Versions {
        /// The type.
        of: ResourceType,
    },
    /// The server accepts no transactions.
    #[error("the server takes no transactions")]
    Transactions,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statement {
    resource_type: String,
    #[serde(default)]
    fhir_version: String,
    #[serde(default)]
    format: Vec<String>,
    #[serde(default)]
    rest: Vec<Rest>,
}

#[derive(Debug, Default, Deserialize)]
struct Rest {
    #[serde(default)]
    mode: String,
    #[serde(default)]
    resource: Vec<Resource>,
    #[serde(default)]
    interaction: Vec<Code>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    r#type: String,
    #[serde(default)]
    interaction: Vec<Code>,
    versioning: Option<String>,
    update_create: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Code {
    code: String,
}

fn has(interactions: &[Code], code: &str) -> bool {
    interactions.iter().any(|known| known.code == code)
}

impl Statement {
    /// Returns whether the server says that it takes transactions.
    pub(super) fn transactions(&self) -> bool {
        self.rest.iter().any(|rest| rest.mode == "server" && has(&rest.interaction, "transaction"))
    }
}

impl FhirServer {
    /// Returns what the server of a tenant lacks of what this store needs, by its CapabilityStatement: to be asked
    /// once, before a server is relied upon. What it does not say at all is not held against it.
    ///
    /// ```no_run
    /// # use fhir_devices::backend::FhirServer;
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = FhirServer::new("https://fhir.example/{tenant}/stu3")?;
    /// for lack in server.missing_capabilities(&"st-mary".parse()?).await? {
    ///     eprintln!("{lack}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Backend`](crate::store::StoreError::Backend) when the server gives no statement; otherwise as a read.
    pub async fn missing_capabilities(&self, tenant: &Tenant) -> Result<Vec<MissingCapability>> {
        Ok(self.missing_in(self.statement(tenant).await?))
    }

    pub(super) fn missing_in(&self, said: Statement) -> Vec<MissingCapability> {
        let mut missing_capabilities = Vec::new();
        let wanted = self.options.dialect.release();
        if !said.fhir_version.starts_with(wanted) {
            missing_capabilities.push(MissingCapability::Version { found: said.fhir_version, wanted });
        }
        if !said.format.is_empty() && !said.format.iter().any(|format| format.contains("json")) {
            missing_capabilities.push(MissingCapability::Json);
        }
        let rest = said.rest.into_iter().find(|rest| rest.mode == "server").unwrap_or_default();
        for &of in self.options.dialect.types() {
            match rest.resource.iter().find(|resource| resource.r#type == of.as_str()) {
                Some(resource) => missing_capabilities.extend(self.missing_for(of, resource)),
                None => missing_capabilities.push(MissingCapability::Type { of }),
            }
        }
        if self.options.max_writes > 1 && !has(&rest.interaction, "transaction") {
            missing_capabilities.push(MissingCapability::Transactions);
        }
        missing_capabilities
    }

    pub(super) async fn statement(&self, tenant: &Tenant) -> Result<Statement> {
        let answer = self.send(tenant, OutgoingRequest::get("metadata")).await?;
        if answer.status == 404 || answer.status == 410 {
            return Err(ServerFault::UnexpectedStatus { status: answer.status, text: answer.text() }.into());
        }
        if !answer.is_success() {
            return Err(refusal(&answer, false, self.options.max_body));
        }
        let unreadable = |why: String| ServerFault::Unreadable { why };
        let said: Statement = serde_json::from_slice(answer.json()?).map_err(|error| unreadable(error.to_string()))?;
        if said.resource_type != "CapabilityStatement" {
            let why = format!("a CapabilityStatement is wanted, and a `{}` came", said.resource_type);
            return Err(unreadable(why).into());
        }
        Ok(said)
    }

    fn missing_for(&self, of: ResourceType, resource: &Resource) -> Vec<MissingCapability> {
        let always = ["read", "update", "delete", "search-type"];
        let kept = ["vread", "history-instance"].into_iter().filter(|_| self.options.history);
        let lacking = always.into_iter().chain(kept).filter(|code| !has(&resource.interaction, code));
        let mut missing_capabilities: Vec<MissingCapability> =
            lacking.map(|code| MissingCapability::Interaction { of, code }).collect();
        if resource.update_create == Some(false) {
            missing_capabilities.push(MissingCapability::OwnIds { of });
        }
        if resource.versioning.as_deref() == Some("no-version") {
            missing_capabilities.push(MissingCapability::Versions { of });
        }
        missing_capabilities
    }
}
