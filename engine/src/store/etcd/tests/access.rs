//! TLS and users.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use etcd_client::{Client, Permission};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::time::{sleep, timeout};

use super::cluster::{Cluster, PATIENCE};
use super::link::{Link, State};
use super::*;
use crate::tls::certificate::CertificateFiles;

fn definitions() -> Batch {
    Batch::definitions("tester", "Test")
}

/// An authority and what it has signed, in files of a directory.
struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    fn new(path: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(path, params.self_signed(&key).unwrap().pem()).unwrap();
        Self(Issuer::new(params, key))
    }

    fn sign(&self, directory: &Path, name: &str) -> CertificateFiles {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let files = CertificateFiles {
            certificate: directory.join(format!("{name}.pem")),
            key: directory.join(format!("{name}.key")),
        };
        fs::write(&files.certificate, params.signed_by(&key, &self.0).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

async fn refusal(settings: &EtcdSettings) -> String {
    let outcome = timeout(PATIENCE, EtcdStore::open(settings)).await.expect("it gives up soon");
    let told = outcome.map(|_| ()).unwrap_err().to_string();
    assert!(settings.endpoints.iter().all(|endpoint| told.contains(endpoint)), "{told}");
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let authority = Authority::new(&path("ca.pem"));
    let other = Authority::new(&path("other-ca.pem"));
    let server = authority.sign(directory.path(), "server");
    let cluster = Cluster::start_with(1, "https", |_| {
        let file = |path: &PathBuf| path.display().to_string();
        let mut arguments = vec!["--cert-file".to_owned(), file(&server.certificate)];
        arguments.extend(["--key-file".to_owned(), file(&server.key), "--client-cert-auth".to_owned()]);
        arguments.extend(["--trusted-ca-file".to_owned(), file(&path("ca.pem"))]);
        arguments
    });
    let settings = |ca: &str, certificate: Option<CertificateFiles>| EtcdSettings {
        tls: Some(EtcdTls { ca: Some(path(ca)), certificate }),
        ..cluster.settings("test")
    };
    let (ours, theirs) = (authority.sign(directory.path(), "host"), other.sign(directory.path(), "other"));
    let store = EtcdStore::open(&settings("ca.pem", Some(ours.clone()))).await.unwrap();
    let (_, mut watch) = store.list_and_watch("").await.unwrap();
    store.commit(definitions().put("definitions/a", "1")).await.unwrap();
    assert_eq!(timeout(PATIENCE, watch.next()).await.unwrap().unwrap().len(), 1);

    for wrong in [
        settings("other-ca.pem", Some(ours.clone())),
        settings("ca.pem", Some(theirs)),
        settings("ca.pem", None),
    ] {
        let told = refusal(&wrong).await;
        assert!(told.contains("do not trust each other's certificates"), "{wrong:?}: {told}");
    }
    let mixed = CertificateFiles { key: server.key.clone(), ..ours };
    let told = EtcdStore::open(&settings("ca.pem", Some(mixed))).await.map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("cannot be used together"), "{told}");
    let told = EtcdStore::open(&settings("none.pem", None)).await.map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("none.pem"), "{told}");
}

/// Turns on etcd's users: one that may do everything, one for `root` only.
async fn enable_users(client: &mut Client, root: &str) {
    client.user_add("root", "root's", None).await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.role_add("legation").await.unwrap();
    let keys = Permission::read_write(format!("{root}/")).with_prefix();
    client.role_grant_permission("legation", keys).await.unwrap();
    client.user_add("legation", "the-secret", None).await.unwrap();
    client.user_grant_role("legation", "legation").await.unwrap();
    client.auth_enable().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_needs_its_root_and_its_token_is_renewed() {
    let cluster = Cluster::start(1, &["--auth-token-ttl", "1"]);
    enable_users(&mut cluster.client(0).await, "test").await;
    let directory = tempfile::tempdir().unwrap();
    let settings = |root: &str, password: &str| {
        let path = directory.path().join(password);
        fs::write(&path, format!("user = 'legation'\npassword = '{password}'")).unwrap();
        EtcdSettings { credentials: Some(path), ..cluster.settings(root) }
    };
    let store = EtcdStore::open(&settings("test", "the-secret")).await.unwrap();
    let (_, mut watch) = store.list_and_watch("definitions/").await.unwrap();
    let hour = Duration::from_secs(3600);
    for round in 0..3 {
        let remembered = format!("remembered/{round}");
        let batch = definitions().put("definitions/a", round.to_string()).remember(remembered, "x", hour);
        store.commit(batch).await.unwrap();
        // a watch that begins after the token has expired
        let (_, mut late) = store.list_and_watch("derived/").await.unwrap();
        store.commit(Batch::derived().put("derived/a", round.to_string())).await.unwrap();
        for watch in [&mut watch, &mut late] {
            let events = timeout(PATIENCE, watch.next()).await.expect("the watch is told").unwrap();
            assert_eq!(events[0].value.as_deref(), Some(round.to_string().as_bytes()));
        }
        sleep(Duration::from_secs(3)).await;
    }

    // a process that does nothing but watch has nobody else who would renew the token
    let link = Link::to(cluster.port(0)).await;
    let credentials = settings("test", "the-secret").credentials;
    let watching = EtcdStore::open(&EtcdSettings { credentials, ..link.settings("test") }).await.unwrap();
    let (_, mut watch) = watching.list_and_watch("definitions/").await.unwrap();
    sleep(Duration::from_secs(3)).await;
    link.set(State::Cut);
    store.commit(definitions().put("definitions/a", "last")).await.unwrap();
    link.set(State::Open);
    let events = timeout(PATIENCE, watch.next()).await.expect("the watch is told").unwrap();
    assert_eq!(events[0].value.as_deref(), Some(&b"last"[..]));

    for (wrong, reason) in [
        (settings("test", "wrong-password"), "authentication failed"),
        (settings("other", "the-secret"), "permission denied"),
        (cluster.settings("test"), "user name is empty"),
    ] {
        let told = refusal(&wrong).await;
        assert!(told.contains("--store-credentials") && told.contains(reason), "{told}");
        assert!(!told.contains("wrong-password") && !told.contains("the-secret"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_not_there_yet_is_waited_for() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.kill(0);
    let settings = cluster.settings("test");
    let opening = tokio::spawn(async move { EtcdStore::open(&settings).await.map(|_| ()) });
    sleep(Duration::from_millis(500)).await;
    assert!(!opening.is_finished());
    cluster.restart(0);
    timeout(PATIENCE, opening).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_never_comes_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let (asked, patience) = (Instant::now(), Duration::from_secs(2));
    let settings = EtcdSettings::parse(&format!("etcd://{nobody}/test")).unwrap();
    let told = timeout(PATIENCE, EtcdStore::open_within(&settings, patience)).await.expect("it gives up");
    let told = told.map(|_| ()).unwrap_err().to_string();
    assert!(told.contains(&nobody.to_string()) && told.contains("does not answer"), "{told}");
    assert!(asked.elapsed() >= patience, "{:?}", asked.elapsed());
}
