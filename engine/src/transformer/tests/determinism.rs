//! The same definitions give the same bytes, everywhere and each time.

use std::fmt::Write;

use expect_test::expect;
use legation_proto::id::FragmentKind;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::{Transaction, content_hash};

use super::fixture::{composed, everything, examples};
use super::snapshot::check_references;
use crate::model::Definition;
use crate::transformer::definitions::MeshDefinitions;
use crate::transformer::transform::transform;

/// The hash of every fragment of these meshes, and of what each of their Envoys should have.
fn hashes(definitions: Vec<(Transaction, Definition)>) -> String {
    let mut hashes = String::new();
    for definitions in MeshDefinitions::collect(definitions).values() {
        let transformed = transform(definitions);
        assert!(transformed.problems.is_empty(), "{:?}", transformed.problems);
        for (key, fragment) in &transformed.fragments {
            write!(hashes, "{:016x}", content_hash(&fragment.encode())).unwrap();
            if key.kind != FragmentKind::VirtualService {
                let snapshot = composed(&transformed, key);
                check_references(&snapshot);
                for resource_type in ResourceType::ALL {
                    let version = snapshot.set(resource_type).version();
                    write!(hashes, " {resource_type} {:016x}", version.hash).unwrap();
                }
            }
            writeln!(hashes, " {key}").unwrap();
        }
    }
    hashes
}

#[test]
fn each_time_and_on_each_thread_the_same() {
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(|| hashes(examples()))).collect();
    let first = hashes(examples());
    for thread in threads {
        assert_eq!(thread.join().unwrap(), first);
    }
}

/// A change here is a change of what every Envoy is sent at the next update of the control plane. If it is meant, run the
/// test with `UPDATE_EXPECT=1`, and try the example meshes with a real Envoy.
#[test]
fn in_every_process_the_same() {
    expect![[r#"
        3d0600c9bdf00a29 cds 9d92f87cb3e02b76 eds 89c6237b16703427 sds 2d06800538d394c2 lds 899899d064b33a25 rds 514ad895ac13ab42 mesh/everything/virtualNode/batch
        c07d0d1f6a5b099c cds c149995fc2fd6c5a eds 89c6237b16703427 sds 2d06800538d394c2 lds 68ace0d15c746bce rds 7ae5e99e24398001 mesh/everything/virtualNode/front
        5818e9a66d2b1304 cds 14c659a1638f1d98 eds 2d06800538d394c2 sds 2d06800538d394c2 lds 2c773710137d58f8 rds 8d47226af4781e5c mesh/everything/virtualNode/nowhere
        61b2d77f7e0d0e55 cds ed461571de1127bc eds 2d06800538d394c2 sds 2d06800538d394c2 lds 37bdd4e97138d068 rds 1a0e626d7f2b95c9 mesh/everything/virtualNode/shop-v1
        3d64aeb109647df7 cds 15930d64401c3b07 eds 2d06800538d394c2 sds 2d06800538d394c2 lds 379f805fcebca24d rds a00f6118fadeb17c mesh/everything/virtualNode/shop-v2
        a8b2fb7a51280391 cds ed2399d25df63c89 eds 2d06800538d394c2 sds 2d06800538d394c2 lds 1f7fdcd57659eb03 rds ff01d97fc0b86349 mesh/everything/virtualGateway/closed
        49ff2fec08e563ed cds 73546f990423fea4 eds 89c6237b16703427 sds 2d06800538d394c2 lds a47274e7b81f31f1 rds 39614e6ed90bb97c mesh/everything/virtualGateway/entrance
        b911ad48ce7e52d3 mesh/everything/virtualService/calls.everything.local
        5a51dddd153cf1bd mesh/everything/virtualService/database.everything.local
        34a6010eb6f6646b mesh/everything/virtualService/direct.everything.local
        1da7aadcb0b077a4 mesh/everything/virtualService/nothing.everything.local
        2a82f192c021efe8 mesh/everything/virtualService/shop.everything.local
    "#]].assert_eq(&hashes(everything()));
}
