//! `legation store`: moving from one store to another.

use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;

use super::failure::{Failure, print};
use crate::settings::{ServeOptions, StoreSettings};
use crate::store::copy::copy;
use crate::store::{EmbeddedStore, EtcdStore, Store};

/// What a store in a directory begins with.
const EMBEDDED: &str = "embedded:";

/// Move definitions and their journal between stores
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    Copy(CopyArgs),
}

/// Copy all definitions and the journal from one store to another, and compare them
///
/// No process may use the embedded store meanwhile, and nobody may write to the other. The target is empty, or has the beginning
/// of the same copy: one that was interrupted goes on. Transactions get the target's numbers and keep their times, authors and
/// operations; those of more definitions than a transaction of the target may have become several. Envoys that come to hosts
/// on the target are sent nothing that did not change: what makes a resource the same is what is in it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  legation store copy --from embedded:/var/lib/legation --to etcd://10.0.0.5:2379,10.0.0.6:2379"
)]
struct CopyArgs {
    /// The source: embedded:DIR, or etcd://HOST:PORT,.../ROOT
    #[arg(long, value_name = "STORE")]
    from: String,

    /// The target, likewise
    #[arg(long, value_name = "STORE")]
    to: String,

    /// PEM file with the certificates of the authorities that etcd's are trusted by
    #[arg(long, env = "LEGATION_STORE_CA", value_name = "FILE")]
    store_ca: Option<PathBuf>,

    /// PEM file with the certificate that is shown to etcd
    #[arg(long, env = "LEGATION_STORE_CERTIFICATE", value_name = "FILE")]
    store_certificate: Option<PathBuf>,

    /// PEM file with the private key of that certificate
    #[arg(long, env = "LEGATION_STORE_KEY", value_name = "FILE")]
    store_key: Option<PathBuf>,

    /// TOML file with user and password of a user of etcd's
    #[arg(long, env = "LEGATION_STORE_CREDENTIALS", value_name = "FILE")]
    store_credentials: Option<PathBuf>,
}

/// Does what was asked of stores.
pub(super) fn run(args: StoreArgs) -> Result<(), Failure> {
    let StoreCommand::Copy(args) = args.command;
    let (from, to) = (args.settings("--from", &args.from)?, args.settings("--to", &args.to)?);
    if from == to {
        return Err(Failure::message(format!("{} is both the source and the target", args.from)));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(&error))?;
    runtime.block_on(async {
        let (source, target) = (open(&from, true).await?, open(&to, false).await?);
        let shows_progress = std::io::stderr().is_terminal();
        let copied = copy(source.as_ref(), target.as_ref(), |done, of| {
            if shows_progress {
                eprint!("\rtransaction {done} of {of}");
                let _ = std::io::stderr().flush();
            }
        });
        let copied = copied.await;
        if shows_progress {
            eprintln!();
        }
        let copied = copied.map_err(|error| Failure::failed(&error))?;
        print(&format!(
            "{} transactions were made and {} were there; {} records are the same in both\n",
            copied.made, copied.found, copied.records
        ))
    })
}

impl CopyArgs {
    fn settings(&self, flag: &str, address: &str) -> Result<StoreSettings, Failure> {
        if let Some(directory) = address.strip_prefix(EMBEDDED) {
            return Ok(StoreSettings::Embedded { data_dir: directory.into() });
        }
        if !address.contains("://") {
            return Err(Failure::message(format!(
                "{flag}: {address:?} is no store; say embedded:DIR, or etcd://HOST:PORT,..."
            )));
        }
        let options = ServeOptions {
            store: Some(address.to_owned()),
            store_ca: self.store_ca.clone(),
            store_certificate: self.store_certificate.clone(),
            store_key: self.store_key.clone(),
            store_credentials: self.store_credentials.clone(),
            ..ServeOptions::default()
        };
        Ok(options.into_settings().map_err(|error| Failure::usage(&error))?.store)
    }
}

/// Opens a store; one in a directory that is to be read must be there.
async fn open(settings: &StoreSettings, is_read: bool) -> Result<Arc<dyn Store>, Failure> {
    match settings {
        StoreSettings::Embedded { data_dir } => {
            if is_read && !EmbeddedStore::is_in(data_dir) {
                return Err(Failure::message(format!("there is no store in {}", data_dir.display())));
            }
            let store = EmbeddedStore::open(data_dir).map_err(|error| Failure::failed(&error))?;
            Ok(Arc::new(store))
        }
        StoreSettings::Etcd(etcd) => {
            let store = EtcdStore::open(etcd).await.map_err(|error| Failure::failed(&error))?;
            Ok(Arc::new(store))
        }
    }
}
