//! The policies, and what they decide.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cedar_policy::{
    AuthorizationError, Authorizer, Decision, Effect, ParseErrors, Policy, PolicyId, PolicySet,
    ValidationMode, Validator,
};
use metrics::{counter, describe_counter};
use miette::Diagnostic;
use thiserror::Error;
use tokio::sync::watch;

use super::question::Question;
use super::vocabulary::Vocabulary;
use crate::frontend::FrontendSettings;
use crate::watched_files::{self, WatchedFile, WatchedFiles, WatchedFilesError};

/// The extension of the files with policies in a directory.
const EXTENSION: &str = "cedar";

/// How many things that are wrong with policies are told one by one.
const ERRORS_SHOWN: usize = 20;

const ERRORS_TOTAL: &str = "legation_policy_errors_total";

/// Policies that cannot be used, or a question that cannot be asked.
#[derive(Debug, Error)]
pub enum PoliciesError {
    /// A file is no text.
    #[error("{0} is not UTF-8")]
    NotText(PathBuf),
    /// A file is not in the language of Cedar.
    #[error("{path}: {problem}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong.
        problem: String,
    },
    /// Policies do not fit the schema: all of them, a line each.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// There is no policy.
    #[error(
        "there is no policy in it, so nobody would be allowed anything; say forbid(principal, action, resource); if that is meant"
    )]
    Empty,
    /// The schema itself cannot be used.
    #[error("the schema of policies: {0}")]
    Schema(String),
    /// A question is not one that the schema knows.
    #[error("the policies cannot be asked: {0}")]
    Unsound(String),
}

/// Policies that fit the schema.
pub struct Policies {
    set: PolicySet,
    vocabulary: Vocabulary,
    authorizer: Authorizer,
}

impl Policies {
    /// The policies in the file at `path`, or in all files `*.cedar` in that directory, and what keeps them current.
    pub fn watch(
        path: PathBuf,
    ) -> Result<(WatchedFiles<Self>, watch::Receiver<Arc<Self>>), WatchedFilesError> {
        describe_counter!(ERRORS_TOTAL, "policies that could not be evaluated for a request");
        WatchedFiles::open_file_or_dir("policies", path, EXTENSION, Self::parse)
    }

    /// The same, once.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        Ok(Self::parse(&watched_files::read_file_or_dir(path, EXTENSION)?)?)
    }

    /// The policies in `files`, if all of them are sound and fit the schema.
    pub fn parse(files: &[WatchedFile]) -> Result<Self, PoliciesError> {
        let vocabulary = Vocabulary::new()?;
        let mut set = PolicySet::new();
        for WatchedFile { path, content } in files {
            let text = str::from_utf8(content).map_err(|_| PoliciesError::NotText(path.clone()))?;
            let syntax = |problem: String| PoliciesError::Syntax { path: path.clone(), problem };
            let parsed: PolicySet = text.parse().map_err(|error| syntax(located(text, &error)))?;
            if parsed.templates().next().is_some() {
                return Err(syntax("has a template; say ?principal and ?resource out".to_owned()));
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            for policy in parsed.policies() {
                let policy = policy.new_id(PolicyId::new(id(&name, policy)));
                set.add(policy).map_err(|error| syntax(error.to_string()))?;
            }
        }
        if set.is_empty() {
            return Err(PoliciesError::Empty);
        }
        let validation = Validator::new(vocabulary.schema.clone()).validate(&set, ValidationMode::Strict);
        let mut errors: Vec<String> = validation.validation_errors().map(ToString::to_string).collect();
        if !errors.is_empty() {
            // a policy is checked for each action and kind of resource, in no order
            errors.sort_unstable();
            errors.dedup();
            if errors.len() > ERRORS_SHOWN {
                let more = errors.len() - ERRORS_SHOWN;
                errors.truncate(ERRORS_SHOWN);
                errors.push(format!("and {more} more"));
            }
            return Err(PoliciesError::Invalid(errors));
        }
        for warning in validation.validation_warnings() {
            tracing::warn!(%warning, "a policy may not be what was meant");
        }
        Ok(Self { set, vocabulary, authorizer: Authorizer::new() })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.set.num_of_policies()
    }

    /// Whether there are none, which no file can say.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Whether the policies allow what is asked: one permits it, and none forbids it.
    ///
    /// A policy that cannot be evaluated, such as one whose numbers overflow, permits nothing. If it is one that would
    /// forbid, nothing is allowed to whom it may concern: it could have been the one that matters.
    pub fn allow(&self, question: &Question<'_>, settings: &FrontendSettings) -> bool {
        let (request, entities) = match question.ask(&self.vocabulary, settings) {
            Ok(asked) => asked,
            Err(error) => {
                counter!(ERRORS_TOTAL).increment(1);
                tracing::error!(%error, "denied, because the policies could not be asked");
                return false;
            }
        };
        let response = self.authorizer.is_authorized(&request, &self.set, &entities);
        let mut is_certain = true;
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            counter!(ERRORS_TOTAL).increment(1);
            tracing::warn!(%error, "a policy could not be evaluated");
            is_certain &=
                self.set.policy(error.policy_id()).is_some_and(|policy| policy.effect() == Effect::Permit);
        }
        is_certain && response.decision() == Decision::Allow
    }
}

/// Why policies could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] WatchedFilesError),
    /// What is in them cannot be used.
    #[error(transparent)]
    Policies(#[from] PoliciesError),
}

/// What a policy is called in logs and errors: its file, and its annotation `@id` or else which of the file's it is.
fn id(file: &str, policy: &Policy) -> String {
    let name = policy.annotation("id").map_or_else(|| policy.id().to_string(), str::to_owned);
    format!("{file}:{name}")
}

/// Everything that is wrong with `text`, a line each, with where it is.
fn located(text: &str, errors: &ParseErrors) -> String {
    let lines = errors.iter().map(|error| {
        let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
        let Some(offset) = offset else { return error.to_string() };
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line}: {error}")
    });
    lines.collect::<Vec<String>>().join("\n")
}
