//! Requests that a browser makes for a page that somebody happens to look at.
//!
//! Where nobody has to sign, whoever reaches the API may do what they like; on a loopback address these are the programs of
//! that machine. Its browser is one of them, and asks for any page on the web: what takes a POST takes it from every page,
//! and a page whose name is made to lead to 127.0.0.1 reads the answers as well. Clients of this API are no browsers.

use std::net::IpAddr;

use http::header;
use http::request::Parts;
use http::uri::Authority;

use super::refusal::AuthenticationError;

/// The headers that browsers add to requests of pages; no page can keep them from it. The first comes with whatever may
/// change something.
const MARKS: [&str; 2] = ["origin", "sec-fetch-site"];

/// The name that always leads to a loopback address, and so do those below it.
const LOCALHOST: &str = "localhost";

/// Refuses what a browser asks for. Where `is_local`, the API has a loopback address, and is known by no other name.
pub(super) fn check(head: &Parts, is_local: bool) -> Result<(), AuthenticationError> {
    if MARKS.iter().any(|mark| head.headers.contains_key(*mark)) {
        return Err(AuthenticationError::Browser("a page in a browser asks for it"));
    }
    if is_local && !head.headers.get_all(header::HOST).iter().all(|host| is_here(host.as_bytes())) {
        return Err(AuthenticationError::Browser(
            "the header host is neither localhost nor an address, and so a page could ask for it",
        ));
    }
    Ok(())
}

/// Whether a page that is at `host` is of this machine: names of others may lead here, too.
fn is_here(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else {
        return false;
    };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.to_ascii_lowercase();
    address.parse::<IpAddr>().is_ok()
        || host == LOCALHOST
        || host.strip_suffix(LOCALHOST).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let request =
            headers.iter().fold(Request::post("/legation/v1/rollback"), |request, (name, value)| {
                request.header(*name, *value)
            });
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn no_page_may_ask() {
        for headers in [
            [("host", "127.0.0.1:8080"), ("origin", "https://example.com")],
            [("host", "127.0.0.1:8080"), ("origin", "null")],
            [("host", "localhost:8080"), ("origin", "http://localhost:8080")],
            [("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")],
            [("host", "127.0.0.1:8080"), ("sec-fetch-site", "none")],
        ] {
            for is_local in [true, false] {
                assert!(check(&head(&headers), is_local).is_err(), "{headers:?}");
            }
        }
    }

    #[test]
    fn names_that_lead_here_are_not_those_of_this_machine() {
        for (host, expected) in [
            ("127.0.0.1:8080", true),
            ("127.0.0.1", true),
            ("10.0.0.1:80", true),
            ("[::1]:8080", true),
            ("localhost:8080", true),
            ("LocalHost", true),
            ("legation.localhost:8080", true),
            ("example.com:8080", false),
            ("127.0.0.1.example.com", false),
            ("localhost.example.com:8080", false),
            ("notlocalhost", false),
            ("[::1", false),
            ("", false),
        ] {
            assert_eq!(check(&head(&[("host", host)]), true).is_ok(), expected, "{host}");
            assert!(check(&head(&[("host", host)]), false).is_ok(), "{host}");
        }
        assert!(check(&head(&[]), true).is_ok());
        let two = [("host", "127.0.0.1:8080"), ("host", "example.com")];
        assert!(check(&head(&two), true).is_err());
    }
}
