//! Opening a store by URL.

use super::Objects;
use super::connector::Connector;
use crate::store::{Result, StoreError};
use ::object_store::aws::AmazonS3Builder;
use ::object_store::azure::MicrosoftAzureBuilder;
use ::object_store::gcp::GoogleCloudStorageBuilder;
use ::object_store::local::LocalFileSystem;
use ::object_store::memory::InMemory;
use ::object_store::path::Path;
use ::object_store::{ObjectStore, ObjectStoreScheme};
use std::fmt::Display;
use std::sync::Arc;
use url::Url;

impl Objects {
    /// Opens the store at a URL, with further options: `azure_storage_account_key`, `aws_region`,
    /// `google_service_account` and so on, by the names of the underlying crate. Missing options are taken from the
    /// environment variables of the same names in capitals.
    ///
    /// | address | where |
    /// | --- | --- |
    /// | `az://CONTAINER/PREFIX`, `https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX` | Azure Blob Storage |
    /// | `s3://BUCKET/PREFIX` | S3, and compatible servers |
    /// | `gs://BUCKET/PREFIX` | Google Cloud Storage |
    /// | `file:///FOLDER` | local files, written through to the disk; the folder is created if it does not exist |
    /// | `memory:///` | the memory of this process, for trials |
    ///
    /// The first three give signed URLs; their acknowledged data is durable, as with local files. TLS uses the crypto
    /// provider that the program set for its process, else that of the feature `ring`. Of the client options, those for
    /// timeouts, the pool, a proxy and `allow_http` apply; those for certificates are refused.
    ///
    /// ```no_run
    /// use fhir_devices::backend::Objects;
    /// let account = ("azure_storage_account_name".to_owned(), "updates".to_owned());
    /// let blobs = Objects::open(&"az://firmware/hospital".parse()?, [account])?;
    /// # drop(blobs);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a URL or an option that does not lead to a store.
    pub fn open(url: &Url, options: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let (scheme, prefix) = ObjectStoreScheme::parse(url).map_err(refused)?;
        let options = options.into_iter();
        match scheme {
            ObjectStoreScheme::MicrosoftAzure => {
                let start =
                    MicrosoftAzureBuilder::from_env().with_url(url.as_str()).with_http_connector(Connector::new());
                let builder = configured(start, options, MicrosoftAzureBuilder::with_config)?;
                Ok(remote(Arc::new(builder.build().map_err(refused)?), prefix))
            }
            ObjectStoreScheme::AmazonS3 => {
                let start = AmazonS3Builder::from_env().with_url(url.as_str()).with_http_connector(Connector::new());
                let builder = configured(start, options, AmazonS3Builder::with_config)?;
                Ok(remote(Arc::new(builder.build().map_err(refused)?), prefix))
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let start =
                    GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).with_http_connector(Connector::new());
                let builder = configured(start, options, GoogleCloudStorageBuilder::with_config)?;
                Ok(remote(Arc::new(builder.build().map_err(refused)?), prefix))
            }
            ObjectStoreScheme::Local => local(url),
            ObjectStoreScheme::Memory => {
                Ok(Self::new(Arc::new(InMemory::new())).with_prefix(prefix).with_ordered_listing())
            }
            _ => Err(StoreError::invalid(format!("`{url}` is not the address of an object store"))),
        }
    }
}

fn remote<S: ObjectStore + ::object_store::signer::Signer>(store: Arc<S>, prefix: Path) -> Objects {
    let signer = Arc::clone(&store);
    Objects::new(store).with_prefix(prefix).with_signer(signer).with_ordered_listing().with_durable_ack()
}

fn local(url: &Url) -> Result<Objects> {
    let no_path = |()| StoreError::invalid(format!("`{url}` is not the address of a folder"));
    let folder = url.to_file_path().map_err(no_path)?;
    std::fs::create_dir_all(&folder).map_err(refused)?;
    let store = LocalFileSystem::new_with_prefix(folder).map_err(refused)?.with_fsync(true);
    Ok(Objects::new(Arc::new(store)).with_durable_ack())
}

fn configured<B, K: std::str::FromStr<Err: Display>>(
    start: B,
    options: impl Iterator<Item = (String, String)>,
    with: impl Fn(B, K, String) -> B,
) -> Result<B> {
    options.into_iter().try_fold(start, |builder, (key, value)| {
        let key = key.to_ascii_lowercase().parse().map_err(refused)?;
        Ok(with(builder, key, value))
    })
}

fn refused(error: impl Display) -> StoreError {
    StoreError::invalid(error.to_string())
}
