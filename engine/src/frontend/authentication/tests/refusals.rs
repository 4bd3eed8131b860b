//! What is refused, and what is said about it.

use std::time::Duration;

use expect_test::expect;

use super::*;

/// What happens to a request after it was signed.
type Alteration<'a> = &'a dyn Fn(&mut SignedRequest);

#[test]
fn keys_that_are_not_good() {
    let nothing = |_: &mut SignedRequest| {};
    for (id, secret, expected) in [
        (
            "AKIDNONE",
            "alice-alice-alice-alice",
            expect!["403 UnrecognizedClientException: the access key is not known here"],
        ),
        (
            "AKIDALICE",
            "alice-alice-alice-alicf",
            expect![
                "403 InvalidSignatureException: invalid signature: it is not the one that the secret of this access key gives for this request; check the secret, and that nothing on the way changes the host, the path or what else is signed"
            ],
        ),
        (
            "AKIDOFF",
            "alice-alice-alice-alice",
            expect!["403 UnrecognizedClientException: the access key is disabled"],
        ),
        (
            "AKIDOLD",
            "bobby-bobby-bobby-bobby",
            expect!["403 UnrecognizedClientException: the access key expired at 2026-11-21T12:00:00Z"],
        ),
        // who does not have the secret is not told about the key
        (
            "AKIDOFF",
            "bobby-bobby-bobby-bobby",
            expect![
                "403 InvalidSignatureException: invalid signature: it is not the one that the secret of this access key gives for this request; check the secret, and that nothing on the way changes the host, the path or what else is signed"
            ],
        ),
    ] {
        check(&Signing { id, secret, ..Signing::default() }, nothing, expected);
    }
    let before = Signing { id: "AKIDOLD", secret: "bobby-bobby-bobby-bobby", ..Signing::default() };
    assert_eq!(told(before.sign().outcome_at(now() - Duration::from_secs(1))), "bob in ");
}

#[test]
fn there_is_a_bound_on_what_is_signed() {
    for (count, expected) in [
        (100, expect!["403 InvalidSignatureException: invalid signature: the header host has to be signed"]),
        (
            101,
            expect![
                "400 IncompleteSignatureException: incomplete signature: more than 100 headers are signed"
            ],
        ),
    ] {
        let names: Vec<String> = (0..count).map(|index| format!("{index:03}")).collect();
        let sign_others = |request: &mut SignedRequest| {
            let header = request.header("authorization");
            let (before, rest) = header.split_once("SignedHeaders=").unwrap();
            let (_, after) = rest.split_once(',').unwrap();
            request
                .set_header("authorization", &format!("{before}SignedHeaders={},{after}", names.join(";")));
        };
        check(&header_form(), sign_others, expected);
    }
}

#[test]
fn time_is_bounded() {
    let at = |seconds_late: i64, expires| {
        let time = now().checked_sub(Duration::from_secs(seconds_late.max(0).unsigned_abs())).unwrap()
            + Duration::from_secs(seconds_late.min(0).unsigned_abs());
        told(Signing { time, expires, ..Signing::default() }.sign().outcome())
    };
    for (seconds_late, expires) in
        [(300, None), (-300, None), (-300, Some(1)), (600, Some(600)), (604_800, Some(604_800))]
    {
        assert_eq!(at(seconds_late, expires), "alice in payments", "{seconds_late} {expires:?}");
    }
    for (seconds_late, expires, expected) in [
        (
            301,
            None,
            expect![
                "403 InvalidSignatureException: signature expired: it was made at 20261121T115459Z, and it is 20261121T120000Z here; the clocks may differ by 300 seconds"
            ],
        ),
        (
            -301,
            None,
            expect![
                "403 InvalidSignatureException: signature not yet current: it was made at 20261121T120501Z, and it is 20261121T120000Z here; the clocks may differ by 300 seconds"
            ],
        ),
        (
            -301,
            Some(600),
            expect![
                "403 InvalidSignatureException: signature not yet current: it was made at 20261121T120501Z, and it is 20261121T120000Z here; the clocks may differ by 300 seconds"
            ],
        ),
        (
            601,
            Some(600),
            expect![
                "400 RequestExpired: request expired: it was signed at 20261121T114959Z for 600 seconds, and it is 20261121T120000Z here"
            ],
        ),
        (
            0,
            Some(0),
            expect![
                "400 IncompleteSignatureException: incomplete signature: X-Amz-Expires: is not in 1..=604800 seconds"
            ],
        ),
        (
            0,
            Some(604_801),
            expect![
                "400 IncompleteSignatureException: incomplete signature: X-Amz-Expires: is not in 1..=604800 seconds"
            ],
        ),
    ] {
        expected.assert_eq(&at(seconds_late, expires));
    }
}

#[test]
fn the_scope_is_that_of_this_api() {
    let nothing = |_: &mut SignedRequest| {};
    check(
        &Signing { region: "eu-west-1", ..Signing::default() },
        nothing,
        expect![
            "403 InvalidSignatureException: invalid signature: the region here is us-east-1, and the credential is for another"
        ],
    );
    check(
        &Signing { service: "s3", ..Signing::default() },
        nothing,
        expect![
            "403 InvalidSignatureException: invalid signature: the service here is appmesh, and the credential is for another"
        ],
    );
    check(
        &header_form(),
        |request| request.replace_in_header("authorization", "/20261121/", "/20261120/"),
        expect![
            "403 InvalidSignatureException: invalid signature: the day in the credential is not that of the signature"
        ],
    );
}

#[test]
fn what_is_incomplete() {
    let cases: [(Alteration, Expect); 15] = [
        (
            &|request| drop(request.head.headers.remove("authorization")),
            expect![
                "403 MissingAuthenticationTokenException: missing authentication token: sign the request with an access key of this control plane"
            ],
        ),
        (
            &|request| request.set_header("authorization", ""),
            expect![
                "400 IncompleteSignatureException: incomplete signature: the algorithm is not AWS4-HMAC-SHA256"
            ],
        ),
        (
            &|request| request.set_header("authorization", "Bearer token"),
            expect![
                "400 IncompleteSignatureException: incomplete signature: the algorithm is not AWS4-HMAC-SHA256"
            ],
        ),
        (
            &|request| request.set_header("authorization", "AWS4-HMAC-SHA256"),
            expect![[
                r#"400 IncompleteSignatureException: incomplete signature: authorization: "" is not a member of it"#
            ]],
        ),
        (
            &|request| request.replace_in_header("authorization", "Credential=", "Kredential="),
            expect![[
                r#"400 IncompleteSignatureException: incomplete signature: authorization: "Kredential" is not a member of it"#
            ]],
        ),
        (
            &|request| request.replace_in_header("authorization", "Credential=", "Credential=, Credential="),
            expect![
                "400 IncompleteSignatureException: incomplete signature: authorization: Credential is there more than once"
            ],
        ),
        (
            &|request| request.replace_in_header("authorization", "aws4_request", "aws4_request/"),
            expect![
                "400 IncompleteSignatureException: incomplete signature: the credential is not of the form ID/DATE/REGION/SERVICE/aws4_request"
            ],
        ),
        (
            &|request| {
                request.replace_in_header(
                    "authorization",
                    "SignedHeaders=content-type;host",
                    "SignedHeaders=host;content-type",
                );
            },
            expect![
                "400 IncompleteSignatureException: incomplete signature: the names of the signed headers are not in lower case, sorted, each once"
            ],
        ),
        (
            &|request| request.replace_in_header("authorization", ";x-amz-date", ""),
            expect![
                "403 InvalidSignatureException: invalid signature: the header x-amz-date has to be signed"
            ],
        ),
        (
            &|request| request.replace_in_header("authorization", ";host", ""),
            expect!["403 InvalidSignatureException: invalid signature: the header host has to be signed"],
        ),
        (
            &|request| request.set_header("x-amz-target", "more"),
            expect![
                "403 InvalidSignatureException: invalid signature: the header x-amz-target has to be signed"
            ],
        ),
        (
            &|request| drop(request.head.headers.remove("content-type")),
            expect![
                "403 InvalidSignatureException: invalid signature: the request has no header content-type, which is signed"
            ],
        ),
        (
            &|request| drop(request.head.headers.remove("x-amz-date")),
            expect!["400 IncompleteSignatureException: incomplete signature: x-amz-date: is required"],
        ),
        (
            &|request| request.set_header("x-amz-date", "2026-11-21T12:00:00Z"),
            expect![
                "400 IncompleteSignatureException: incomplete signature: x-amz-date: is not of the form 20261121T131836Z"
            ],
        ),
        (
            &|request| request.set_header("x-amz-security-token", "token"),
            expect![
                "403 UnrecognizedClientException: session tokens are not issued here, use the access key alone"
            ],
        ),
    ];
    for (alter, expected) in cases {
        check(&header_form(), alter, expected);
    }
    let twice = |request: &mut SignedRequest| {
        let authorization = request.head.headers["authorization"].clone();
        request.head.headers.append("authorization", authorization);
    };
    check(
        &header_form(),
        twice,
        expect![
            "400 IncompleteSignatureException: incomplete signature: authorization: is there more than once"
        ],
    );
    let unsigned = Signing {
        headers: vec![("x-amz-content-sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned())],
        ..Signing::default()
    };
    check(
        &unsigned,
        |_| {},
        expect![
            "403 InvalidSignatureException: invalid signature: x-amz-content-sha256: is not the SHA-256 of the body, which has to be signed"
        ],
    );
}

#[test]
fn what_is_incomplete_in_a_query() {
    let cases: [(Alteration, Expect); 8] = [
        (
            &|request| request.replace_in_uri("X-Amz-Algorithm=AWS4-HMAC-SHA256", "a=b"),
            expect!["400 IncompleteSignatureException: incomplete signature: X-Amz-Algorithm: is required"],
        ),
        (
            &|request| request.replace_in_uri("X-Amz-Date=", "X-Amz-Date=20261121T120000Z&X-Amz-Date="),
            expect![
                "400 IncompleteSignatureException: incomplete signature: X-Amz-Date: is there more than once"
            ],
        ),
        (
            &|request| request.replace_in_uri("X-Amz-Expires=600", "X-Amz-Expires=1h"),
            expect![
                "400 IncompleteSignatureException: incomplete signature: X-Amz-Expires: is not in 1..=604800 seconds"
            ],
        ),
        (
            &|request| request.replace_in_uri("X-Amz-Signature=", "X-Amz-Signature=0"),
            expect![
                "400 IncompleteSignatureException: incomplete signature: the signature is not 64 digits from 0-9 a-f"
            ],
        ),
        (
            &|request| request.replace_in_uri("X-Amz-Signature=", "X-Amz-Security-Token=t&X-Amz-Signature="),
            expect![
                "403 UnrecognizedClientException: session tokens are not issued here, use the access key alone"
            ],
        ),
        (
            &|request| request.replace_in_uri("?", "?%FF=&"),
            expect!["400 IncompleteSignatureException: incomplete signature: the query is not UTF-8"],
        ),
        (
            &|request| request.set_header("authorization", "AWS4-HMAC-SHA256"),
            expect![
                "400 IncompleteSignatureException: incomplete signature: it stands in the query and in a header, give one of them"
            ],
        ),
        (
            &|request| request.set_header("x-amz-target", "more"),
            expect![
                "403 InvalidSignatureException: invalid signature: the header x-amz-target has to be signed"
            ],
        ),
    ];
    for (alter, expected) in cases {
        check(&presigned_form(), alter, expected);
    }
}

/// Clients agree on a signature for these, and a server that takes names from the path would not agree on what they mean.
#[test]
fn a_signature_is_good_for_one_path_only() {
    for same in ["//meshes/m", "/meshes//m", "/./meshes/m", "/a/../meshes/m", "/meshes/a/../m"] {
        let mut request = header_form().sign();
        request.replace_in_uri("/meshes/m", same);
        let outcome = told(request.outcome());
        assert!(outcome.starts_with("403 InvalidSignatureException"), "{same}: {outcome}");
    }
    for escaped in ["%2E%2E", "%2F", "%252F", "a%20b", "%C3%A9", "a:b@c", "*"] {
        let uri = format!("{PATH}/virtualServices/{escaped}");
        check(&Signing { uri, ..Signing::default() }, |_| {}, expect!["alice in payments"]);
    }
}
