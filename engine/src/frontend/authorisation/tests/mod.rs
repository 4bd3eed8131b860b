//! Tests of policies: what they decide, which are refused, and what is noted of denials.

mod decisions;
mod denials;
mod loading;

use super::*;
use crate::frontend::FrontendSettings;
use crate::frontend::caller::Caller;
use crate::model::{ResourceId, Tags};
use crate::watched_files::WatchedFile;

fn file(name: &str, text: &str) -> WatchedFile {
    WatchedFile { path: name.into(), content: text.as_bytes().to_vec() }
}

fn policies(text: &str) -> Policies {
    Policies::parse(&[file("p.cedar", text)]).unwrap()
}

/// Tags written as `key=value,...`.
fn tags(text: &str) -> Tags {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let tags: serde_json::Map<String, serde_json::Value> =
        pairs.map(|(key, value)| (key.to_owned(), value.into())).collect();
    serde_json::from_value(tags.into()).unwrap()
}

/// Whether `user/group,...` may do `action` to the resource at `path`, whose tags and those of what it lies in are separated
/// by `;`, with these tags in the request.
fn allow(policies: &Policies, who: &str, action: &str, path: &str, has: &str, request: &str) -> bool {
    let (user, groups) = who.split_once('/').unwrap_or((who, ""));
    let groups = groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect();
    let caller = Caller::new(user, groups);
    let action = Action::all().find(|known| known.to_string().ends_with(&format!(":{action}"))).unwrap();
    let mut has = has.split(';');
    let ids = std::iter::successors(ResourceId::from_path(path), ResourceId::container);
    let subject: Vec<Subject> =
        ids.map(|id| Subject { id, tags: tags(has.next().unwrap_or_default()) }).collect();
    let request = tags(request);
    let untagged: Vec<String> = request.iter().map(|(key, _)| key.to_owned()).collect();
    let question =
        Question { caller: &caller, action, subject: &subject, tags: &request, untagged: &untagged };
    policies.allow(&question, &FrontendSettings::default())
}
