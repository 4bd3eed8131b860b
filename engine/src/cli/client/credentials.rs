//! What requests are signed with, as AWS's tools find it.

use aws_credential_types::Credentials;
use thiserror::Error;

const ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";

/// One half of an access key without the other.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{present} is set and {missing} is not: both make an access key")]
pub struct CredentialsError {
    present: &'static str,
    missing: &'static str,
}

/// The credentials in the variables, of which `variable` gives the values that are not empty; nothing if there are none.
pub(super) fn find(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Credentials>, CredentialsError> {
    match (variable(ID), variable(SECRET)) {
        (Some(id), Some(secret)) => {
            Ok(Some(Credentials::new(id, secret, variable(TOKEN), None, "environment")))
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(CredentialsError { present: ID, missing: SECRET }),
        (None, Some(_)) => Err(CredentialsError { present: SECRET, missing: ID }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_or_none() {
        let found = |set: &[&str]| {
            find(|name| set.contains(&name).then(|| format!("{name}!")))
                .map(|found| found.map(|key| (key.access_key_id().to_owned(), key.session_token().is_some())))
        };
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&[TOKEN]), Ok(None));
        assert_eq!(found(&[ID, SECRET]), Ok(Some(("AWS_ACCESS_KEY_ID!".to_owned(), false))));
        assert_eq!(found(&[ID, SECRET, TOKEN]), Ok(Some(("AWS_ACCESS_KEY_ID!".to_owned(), true))));
        assert_eq!(found(&[ID]), Err(CredentialsError { present: ID, missing: SECRET }));
        assert_eq!(found(&[SECRET]), Err(CredentialsError { present: SECRET, missing: ID }));
    }
}
