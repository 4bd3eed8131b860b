//! What a request must have so that a route is for it: the pieces that routes and gateway routes share.

use super::shape::declare::shape;
use super::shape::{Int, Text};

/// The rank of a route among its siblings: lower ones are tried first.
pub type Priority = Int<0, 1000>;

shape! {
    /// A condition on a header, or on gRPC metadata, which are headers too.
    pub struct HeaderMatch {
        /// Whether the condition holds for the requests that do *not* match; `false` if absent.
        pub invert: Option<bool>,
        /// What the value must be; if absent, the header must only be there.
        pub r#match: Option<HeaderMatchMethod>,
        /// The name of the header.
        pub name: Text<1, 50>,
    }

    /// What the value of a header must be.
    pub union HeaderMatchMethod {
        /// Exactly this.
        Exact(Text<1, 255>),
        /// Something that starts so.
        Prefix(Text<1, 255>),
        /// An integer in this range.
        Range(MatchRange),
        /// Something that matches this regular expression as a whole.
        Regex(Text<1, 255>),
        /// Something that ends so.
        Suffix(Text<1, 255>),
    }

    /// A range of integers: from `start`, and below `end`.
    pub struct MatchRange {
        /// The first that is not in the range any more.
        pub end: i64,
        /// The first in the range.
        pub start: i64,
    }

    /// What the path of a request must be: exactly one of the two.
    pub struct HttpPathMatch {
        /// Exactly this. Starts with `/`.
        pub exact: Option<Text<1, 255>>,
        /// Something that matches this regular expression as a whole.
        pub regex: Option<Text<1, 255>>,
    }

    /// A condition on a query parameter.
    pub struct HttpQueryParameter {
        /// What the value must be; if absent, the parameter must only be there.
        pub r#match: Option<QueryParameterMatch>,
        /// The name of the parameter.
        pub name: String,
    }

    /// What the value of a query parameter must be.
    pub struct QueryParameterMatch {
        /// Exactly this.
        pub exact: Option<String>,
    }

    /// A method of HTTP.
    pub enum HttpMethod {
        /// `GET`.
        Get = "GET",
        /// `HEAD`.
        Head = "HEAD",
        /// `POST`.
        Post = "POST",
        /// `PUT`.
        Put = "PUT",
        /// `DELETE`.
        Delete = "DELETE",
        /// `CONNECT`.
        Connect = "CONNECT",
        /// `OPTIONS`.
        Options = "OPTIONS",
        /// `TRACE`.
        Trace = "TRACE",
        /// `PATCH`.
        Patch = "PATCH",
    }

    /// A scheme of HTTP.
    pub enum HttpScheme {
        /// Plain text.
        Http = "http",
        /// TLS.
        Https = "https",
    }
}
