//! Reading: many keys and prefixes at one revision.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use etcd_client::{GetOptions, GetResponse, KeyValue, KvClient, Txn, TxnOp, TxnOpResponse};

use super::ask::ask;
use super::keys::Keys;
use super::stored::{Head, record, undamaged};
use crate::store::error::StoreError;
use crate::store::record::{Listing, Record};

/// Keys that are read with one request: of the 128 operations that etcd takes, one is for the head.
const KEYS_AT_ONCE: usize = 100;

/// Records of a listing that are read with one request.
const PAGE: i64 = 1000;

/// Reads from etcd.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) client: KvClient,
    pub(super) keys: Keys,
}

/// What some keys were at one revision.
pub(super) struct Seen {
    /// The revision.
    pub(super) revision: i64,
    pub(super) head: Head,
    records: HashMap<Arc<str>, SeenRecord>,
}

struct SeenRecord {
    /// Unless it is damaged.
    record: Result<Record, StoreError>,
    mod_revision: i64,
    lease: i64,
}

/// Everything under a prefix at one revision.
pub(super) struct Listed {
    /// The revision.
    pub(super) revision: i64,
    pub(super) listing: Listing,
    /// The revisions of the last changes of the records.
    pub(super) revisions: Vec<i64>,
    /// What is damaged, and not in the listing.
    pub(super) damaged: Vec<Arc<str>>,
}

/// When some keys changed last, as it was at one revision.
pub(super) struct Revisions {
    /// The revision.
    pub(super) revision: i64,
    pub(super) head: Head,
    /// Of those that there are.
    pub(super) of_keys: HashMap<Arc<str>, i64>,
}

impl Seen {
    /// What `key` was, if it was there and is not damaged.
    pub(super) fn get(&self, key: &str) -> Result<Option<&Record>, StoreError> {
        self.records.get(key).map(|seen| seen.record.as_ref()).transpose().map_err(StoreError::clone)
    }

    /// The lease of `key`; 0 if there is none.
    pub(super) fn lease(&self, key: &str) -> i64 {
        self.records.get(key).map_or(0, |seen| seen.lease)
    }

    /// The revision of the last change of `key`; 0 if there is no such key.
    pub(super) fn mod_revision(&self, key: &str) -> i64 {
        self.records.get(key).map_or(0, |seen| seen.mod_revision)
    }
}

impl Reader {
    /// The newest of all these keys, and the head, at one revision.
    pub(super) async fn see(&self, wanted: &[Arc<str>]) -> Result<Seen, StoreError> {
        let (revision, head, found) = self.get_all(wanted, false).await?;
        let mut records = HashMap::new();
        for found in found.iter().filter_map(|found| found.kvs().first()) {
            let Some(key) = self.keys.of_data(found.key()) else { continue };
            let record = record(&self.keys, found);
            let (mod_revision, lease) = (found.mod_revision(), found.lease());
            records.insert(key.into(), SeenRecord { record, mod_revision, lease });
        }
        Ok(Seen { revision, head, records })
    }

    /// The revisions of the last changes of those of these keys that there are, and the revision that this is the state of.
    pub(super) async fn revisions(&self, wanted: &[Arc<str>]) -> Result<Revisions, StoreError> {
        let (revision, head, found) = self.get_all(wanted, true).await?;
        let found = found.iter().filter_map(|found| found.kvs().first());
        let revisions =
            found.filter_map(|found| Some((self.keys.of_data(found.key())?.into(), found.mod_revision())));
        Ok(Revisions { revision, head, of_keys: revisions.collect() })
    }

    /// The head and these keys, and the revision that all of this is the state of.
    async fn get_all(
        &self,
        wanted: &[Arc<str>],
        keys_only: bool,
    ) -> Result<(i64, Head, Vec<GetResponse>), StoreError> {
        let (first, rest) = wanted.split_at(wanted.len().min(KEYS_AT_ONCE));
        let (revision, mut found) = self.get_some(first, None, keys_only).await?;
        let head = Head::read(found.remove(0).kvs().first())?;
        for part in rest.chunks(KEYS_AT_ONCE) {
            let (_, mut more) = self.get_some(part, Some(revision), keys_only).await?;
            more.remove(0);
            found.extend(more);
        }
        Ok((revision, head, found))
    }

    /// The head and so many keys as one request may have, and the revision of the state of etcd.
    async fn get_some(
        &self,
        keys: &[Arc<str>],
        at: Option<i64>,
        keys_only: bool,
    ) -> Result<(i64, Vec<GetResponse>), StoreError> {
        let options = at.map_or_else(GetOptions::new, |revision| GetOptions::new().with_revision(revision));
        let head = TxnOp::get(self.keys.head(), Some(options.clone()));
        let options = if keys_only { options.with_keys_only() } else { options };
        let keys = keys.iter().map(|key| TxnOp::get(self.keys.data(key), Some(options.clone())));
        let gets: Vec<TxnOp> = std::iter::once(head).chain(keys).collect();
        self.get_at_once(gets).await
    }

    /// What all of these find at one revision, and which that is.
    pub(super) async fn get_at_once(&self, gets: Vec<TxnOp>) -> Result<(i64, Vec<GetResponse>), StoreError> {
        let gets = Txn::new().and_then(gets);
        let answer = ask(|| {
            let (mut client, gets) = (self.client.clone(), gets.clone());
            async move { client.txn(gets).await }
        });
        let answer = answer.await?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let found = answer.op_responses().into_iter().filter_map(|response| match response {
            TxnOpResponse::Get(found) => Some(found),
            _ => None,
        });
        Ok((revision, found.collect()))
    }

    /// Everything under `prefix`. The first request is for the head as well.
    pub(super) async fn list(&self, prefix: &str) -> Result<Listed, StoreError> {
        let range = GetOptions::new().with_range(prefix_end(&self.keys.data(prefix))).with_limit(PAGE);
        let first = TxnOp::get(self.keys.data(prefix), Some(range.clone()));
        let (revision, found) = self.get_at_once(vec![TxnOp::get(self.keys.head(), None), first]).await?;
        let mut found = found.into_iter();
        let head = Head::read(found.next().as_ref().and_then(|head| head.kvs().first()))?;
        let (mut records, mut revisions, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = found.next();
        while let Some(page) = next.take() {
            for found in page.kvs() {
                match undamaged(&self.keys, found) {
                    Some(record) => {
                        records.push(record);
                        revisions.push(found.mod_revision());
                    }
                    None => damaged.extend(self.keys.of_data(found.key()).map(Arc::from)),
                }
            }
            if let Some(last) = page.kvs().last().filter(|_| page.more()) {
                let from = [last.key(), &[0]].concat();
                next = Some(self.get(from, range.clone().with_revision(revision)).await?);
            }
        }
        let listing = Listing { transaction: head.transaction, records };
        Ok(Listed { revision, listing, revisions, damaged })
    }

    /// The segments that follow `prefix`, up to the next `/`, each once and sorted. What else lies in the last one of a page is
    /// not looked at: there are no more questions than segments, nor than pages.
    pub(super) async fn segments(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut segments = BTreeSet::new();
        let end = prefix_end(&self.keys.data(prefix));
        let mut from = self.keys.data(prefix).into_bytes();
        loop {
            let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_keys_only();
            let page = self.get(from, options).await?;
            // what is no key of a record is nobody's, and in nobody's way
            let rests =
                page.kvs().iter().filter_map(|found| self.keys.of_data(found.key())?.strip_prefix(prefix));
            segments.extend(rests.map(|rest| rest.split('/').next().unwrap_or(rest).to_owned()));
            let Some(last) = page.kvs().last().filter(|_| page.more()) else { break };
            let rest = self.keys.of_data(last.key()).and_then(|key| key.strip_prefix(prefix));
            from = match rest.and_then(|rest| rest.split_once('/')) {
                // after all that lies in it
                Some((segment, _)) => self.keys.data(&[prefix, segment, "0"].concat()).into_bytes(),
                None => [last.key(), &[0]].concat(),
            };
        }
        Ok(segments.into_iter().collect())
    }

    /// The keys under `prefix` as they were at `revision`.
    pub(super) async fn keys_under(&self, prefix: &str, revision: i64) -> Result<Vec<KeyValue>, StoreError> {
        let name = self.keys.data(prefix);
        let options = GetOptions::new().with_prefix().with_keys_only().with_revision(revision);
        Ok(self.get(name, options).await?.take_kvs())
    }

    /// Whether there was anything under `prefix` at `revision`.
    pub(super) async fn has_any(&self, prefix: &str, revision: i64) -> Result<bool, StoreError> {
        let options = GetOptions::new().with_prefix().with_keys_only().with_limit(1).with_revision(revision);
        Ok(!self.get(self.keys.data(prefix), options).await?.kvs().is_empty())
    }

    /// How many keys there were under `prefix` at `revision`.
    pub(super) async fn count(&self, prefix: &str, revision: i64) -> Result<usize, StoreError> {
        let options = GetOptions::new().with_prefix().with_count_only().with_revision(revision);
        let counted = self.get(self.keys.data(prefix), options).await?.count();
        Ok(usize::try_from(counted).unwrap_or(usize::MAX))
    }

    /// Asks for keys of etcd's.
    pub(super) async fn get(
        &self,
        key: impl Into<Vec<u8>>,
        options: GetOptions,
    ) -> Result<GetResponse, StoreError> {
        let key = key.into();
        let answer = ask(|| {
            let (mut client, key, options) = (self.client.clone(), key.clone(), options.clone());
            async move { client.get(key, Some(options)).await }
        });
        answer.await
    }
}

/// The first key after all that begin with `prefix`, which is not empty and ASCII in its last character.
fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}
