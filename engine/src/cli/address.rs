//! Addresses of the control plane, as flags and variables give them.

use ureq::http::Uri;

/// The address that `text` is: `http://` or `https://` and a host, without slashes at its end. Or what is wrong with it.
pub(super) fn parse(text: &str) -> Result<String, String> {
    let wrong = |what: &str| Err(format!("{what}; it should look like http://127.0.0.1:8080"));
    if text.is_empty() {
        return wrong("it is empty");
    }
    let Ok(uri) = text.parse::<Uri>() else {
        return wrong("it is no URL");
    };
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return wrong("it does not begin with http:// or https://");
    };
    if authority.host().is_empty() {
        return wrong("it names no host");
    }
    if text.contains(['?', '#', '@']) {
        return wrong("it has more than a host, a port and a path");
    }
    Ok(format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        let kept = |text: &str| parse(text).unwrap();
        assert_eq!(kept("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(kept("https://legation.internal:8443/"), "https://legation.internal:8443");
        assert_eq!(kept("HTTP://[::1]:80/behind/"), "http://[::1]:80/behind");
        for (text, what) in [
            ("", "it is empty"),
            ("/", "it does not begin with http:// or https://"),
            ("127.0.0.1:8080", "it does not begin with http:// or https://"),
            ("localhost:8080", "it does not begin with http:// or https://"),
            ("localhost", "it does not begin with http:// or https://"),
            ("ftp://h:21", "it does not begin with http:// or https://"),
            ("http://", "it is no URL"),
            ("http://:80", "it names no host"),
            ("http:///meshes", "it is no URL"),
            ("http://a b", "it is no URL"),
            ("http://user:secret@h", "it has more than a host, a port and a path"),
            ("http://h/?a=b", "it has more than a host, a port and a path"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.starts_with(&format!("{what}; ")), "{text}: {problem}");
        }
    }
}
