//! The vectors that AWS has published for version 4, as far as a client can send them over HTTP; and, after them, what they
//! leave open: escapes in a path are escaped once more, and a plus in a query is a space.

use aws_credential_types::Credentials;
use http::Request;

use super::*;

const UNRESERVED: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Checks the signature of a request with these headers, besides the host and the time.
fn check(method: &str, uri: &str, headers: &[(&str, &str)], body: &str, expected: &str) {
    let mut signed_headers = vec!["host", "x-amz-date"];
    let mut request = Request::builder().method(method).uri(uri);
    request = request.header("host", "example.amazonaws.com").header("x-amz-date", "20150830T123600Z");
    for (name, value) in headers {
        request = request.header(*name, *value);
        signed_headers.push(*name);
    }
    signed_headers.sort_unstable();
    signed_headers.dedup();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders={}, Signature={expected}",
        signed_headers.join(";")
    );
    let head = request.header("authorization", authorization).body(()).unwrap().into_parts().0;
    let credentials =
        Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
    let claim = Claim::parse(&head).unwrap();
    let signature = signature::expected(&head, body.as_bytes(), &claim, credentials);
    assert_eq!(signature.as_deref(), Ok(expected), "{method} {uri}");
}

#[test]
fn published_vectors() {
    let form = ("content-type", "application/x-www-form-urlencoded");
    check("GET", "/", &[], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    check(
        "GET",
        "/?Param2=value2&Param1=value1",
        &[],
        "",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    );
    check(
        "GET",
        "/?Param1=value2&Param1=value1",
        &[],
        "",
        "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
    );
    check(
        "GET",
        "/?%E1%88%B4=bar",
        &[],
        "",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    );
    check(
        "GET",
        &format!("/?{UNRESERVED}={UNRESERVED}"),
        &[],
        "",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    );
    check(
        "GET",
        &format!("/{UNRESERVED}"),
        &[],
        "",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    );
    check("GET", "/\u{1234}", &[], "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85");
    check("POST", "/", &[], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    check(
        "POST",
        "/",
        &[("my-header1", "value1")],
        "",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    );
    check(
        "GET",
        "/",
        &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
        "",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    );
    check(
        "GET",
        "/",
        &[("my-header1", " value1"), ("my-header2", "\"a   b   c\" ")],
        "",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    );
    check(
        "POST",
        "/",
        &[form],
        "Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    );
}

#[test]
fn escapes() {
    check(
        "GET",
        "/example%20space/",
        &[],
        "",
        "446b817944c553435b35e813c261ff4e161fff982d1bacdef1c87f6785dd1662",
    );
    check(
        "GET",
        "/v20190125/meshes/m/virtualServices/a%2Fb%25c%3Ad",
        &[],
        "",
        "0608a58110b945036475098c323d8862d64c112a979a78fbbd9de1e96b43410a",
    );
    check(
        "GET",
        "/?a=b%20c%2Bd",
        &[],
        "",
        "97304bef4113adbce52f5dfba2b604225b8d26fc7ec627aff12b0fa5026df2f8",
    );
    check("GET", "/?a=b+c%2Bd", &[], "", "97304bef4113adbce52f5dfba2b604225b8d26fc7ec627aff12b0fa5026df2f8");
}
