//! A device that uses the crate `hawkbit`: it polls, sends its attributes, downloads, checks the digests, and reports
//! its running version as attributes.
//!
//! `hawkbit-client SERVICE TENANT DEVICE COMPONENT`

use anyhow::{Context as _, Result, ensure};
use hawkbit::ddi::{Client, ClientAuthorization, Execution, Finished, Mode};
use std::collections::BTreeMap;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [service, tenant, device, component] = given.as_slice() else {
        anyhow::bail!("a service, a tenant, a device and a component are wanted");
    };
    let client = Client::new(service, tenant, device, ClientAuthorization::None, None, None, None)?;
    let folder = std::env::temp_dir().join(format!("hawkbit-client-{}", std::process::id()));
    tokio::fs::create_dir_all(&folder).await?;
    let (mut runs, mut installed) = ("2.3".to_owned(), false);
    for _ in 0..100 {
        let reply = client.poll().await?;
        ensure!(reply.polling_sleep()? < Duration::from_secs(86_400), "it is told to poll no more");
        ensure!(reply.cancel_action().is_none() && reply.confirmation_base().is_none(), "nothing else is asked");
        let asked = reply.config_data_request();
        let was_asked = asked.is_some();
        if let Some(request) = asked {
            let data = BTreeMap::from([(format!("sw.{component}"), runs.clone())]);
            request.upload(Execution::Closed, Finished::Success, Some(Mode::Merge), data, Vec::new()).await?;
        }
        match reply.update() {
            Some(update) => {
                ensure!(!installed, "what is installed is offered again");
                let update = update.fetch().await?;
                ensure!(update.chunks().count() == 1, "one chunk is wanted");
                ensure!(
                    update.chunks().all(|chunk| chunk.part() == component && chunk.artifacts().count() == 1),
                    "one file"
                );
                update.send_feedback(Execution::Proceeding, Finished::None, vec!["downloading"]).await?;
                let artifacts = update.download(&folder).await?;
                let artifact = artifacts.first().context("a file")?;
                artifact.check_sha1().await?;
                artifact.check_sha256().await?;
                update.send_feedback(Execution::Downloaded, Finished::None, Vec::new()).await?;
                // It says so before the new software was started, as the example of the crate does, and twice.
                for _ in 0..2 {
                    update.send_feedback(Execution::Closed, Finished::Success, Vec::new()).await?;
                }
                version_of(&update).clone_into(&mut runs);
                installed = true;
            }
            // It was asked for what it runs after it had installed, and nothing is left to do.
            None if installed && !was_asked => {
                tokio::fs::remove_dir_all(&folder).await?;
                return Ok(());
            }
            None => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("nothing was offered, or the service asks for the version without end")
}

fn version_of(update: &hawkbit::ddi::Update) -> String {
    update.chunks().next().map(|chunk| chunk.version().to_owned()).unwrap_or_default()
}
