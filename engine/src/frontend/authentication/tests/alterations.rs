//! Properties: whatever is altered of a signed request, it is refused; and whatever comes, it is borne.

use http::{HeaderName, HeaderValue, Method, Request};
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// What may be in a name, as clients write it in a path or in a query.
fn segment() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 1..8)
        .prop_map(|name| crate::frontend::path::escape(&name.into_iter().collect::<String>()))
        .prop_filter("stands for another path", |name| name != "." && name != "..")
}

fn any_signing() -> impl Strategy<Value = Signing> {
    let method = prop_oneof![Just(Method::GET), Just(Method::PUT), Just(Method::DELETE)];
    let path = proptest::collection::vec(segment(), 1..5);
    let query = proptest::collection::vec((segment(), segment()), 0..4);
    let header = ("my-[a-z]{1,5}", "[!-~]{1,3}( [!-~]{1,3})?");
    let headers = proptest::collection::vec(header, 0..3);
    let body = proptest::collection::vec(any::<u8>(), 0..40);
    let expires = proptest::option::of(1..=604_800_u64);
    (method, path, query, headers, body, expires).prop_map(|(method, path, query, headers, body, expires)| {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut uri = format!("/{}", path.join("/"));
        if !query.is_empty() {
            uri = format!("{uri}?{}", query.join("&"));
        }
        Signing { method, uri, headers, body, expires, ..Signing::default() }
    })
}

/// Puts another character of the same sort in the place of one in `text`; nothing if there is none of any sort.
fn altered(text: &str, place: Index) -> Option<String> {
    let places: Vec<usize> = text
        .char_indices()
        .filter(|(at, c)| {
            c.is_ascii_alphanumeric() && !text[..*at].ends_with('%') && !is_second_digit(text, *at)
        })
        .map(|(at, _)| at)
        .collect();
    if places.is_empty() {
        return None;
    }
    let at = places[place.index(places.len())];
    let other = match text.as_bytes()[at] {
        b'0' => '1',
        b'1'..=b'9' => '0',
        b'a' => 'b',
        b'A' => 'B',
        b'b'..=b'z' => 'a',
        _ => 'A',
    };
    Some(format!("{}{other}{}", &text[..at], &text[at + 1..]))
}

fn is_second_digit(text: &str, at: usize) -> bool {
    at >= 2 && text.as_bytes()[at - 2] == b'%'
}

/// One alteration of a signed request; nothing if there is nothing of the sort to alter.
fn alter(request: &mut SignedRequest, what: usize, place: Index) -> Option<()> {
    match what {
        0 => {
            request.head.method =
                if request.head.method == Method::GET { Method::DELETE } else { Method::GET }
        }
        1 => {
            let uri = altered(&request.head.uri.to_string(), place)?;
            request.head.uri = uri.parse().unwrap();
        }
        2 => {
            let separator = if request.head.uri.query().is_some() { '&' } else { '?' };
            request.head.uri = format!("{}{separator}more=", request.head.uri).parse().unwrap();
        }
        3 if request.body.is_empty() => request.body.push(0),
        3 => {
            let at = place.index(request.body.len());
            request.body[at] ^= 1;
        }
        4 => request.body.push(b' '),
        5 => {
            let signed: Vec<HeaderName> =
                request.head.headers.keys().filter(|name| *name != "authorization").cloned().collect();
            let name = &signed[place.index(signed.len())];
            let value = altered(request.head.headers[name].to_str().unwrap(), place)?;
            request.head.headers.insert(name, HeaderValue::from_str(&value).unwrap());
        }
        6 => {
            let signed: Vec<HeaderName> = request.head.headers.keys().cloned().collect();
            request.head.headers.remove(&signed[place.index(signed.len())]);
        }
        7 => {
            let signed: Vec<HeaderName> = request.head.headers.keys().cloned().collect();
            request.head.headers.append(&signed[place.index(signed.len())], HeaderValue::from_static("more"));
        }
        _ => {
            let authorization = request.head.headers.get("authorization")?.to_str().unwrap().to_owned();
            request.set_header("authorization", &altered(&authorization, place)?);
        }
    }
    Some(())
}

proptest! {
    #[test]
    fn a_request_that_is_altered_in_one_place_is_refused(
        signing in any_signing(),
        what in 0_usize..9,
        place in any::<Index>(),
    ) {
        let mut request = signing.sign();
        prop_assert_eq!(told(request.outcome()), "alice in payments");
        prop_assume!(alter(&mut request, what, place).is_some());
        let outcome = told(request.outcome());
        prop_assert!(!outcome.starts_with("alice"), "{:?} is let in", request.head);
    }

    #[test]
    fn any_head_is_borne(
        authorization in proptest::option::of("(AWS4-HMAC-SHA256 )?[A-Za-z0-9=/,; ]{0,60}"),
        query in "[A-Za-z0-9=&%+/;.-]{0,60}",
        date in proptest::option::of("[0-9TZ]{0,18}"),
    ) {
        let mut request = Request::builder().uri(format!("{PATH}?{query}"));
        for (name, value) in [("authorization", authorization), ("x-amz-date", date)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        prop_assert!(authenticator().examine(&head).is_err());
    }
}
