//! Access logs.

use super::shape::Text;
use super::shape::declare::shape;

shape! {
    /// What an Envoy logs.
    pub struct Logging {
        /// The log of requests and connections.
        pub access_log: Option<AccessLog>,
    }

    /// Where the access log goes.
    pub union AccessLog {
        /// To a file.
        File(FileAccessLog),
    }

    /// An access log in a file.
    pub struct FileAccessLog {
        /// What an entry looks like; Envoy's default if absent.
        pub format: Option<LoggingFormat>,
        /// The file; `/dev/stdout` is the Envoy's standard output.
        pub path: Text<1, 255>,
    }

    /// What an entry of an access log looks like. The commands in it, such as `%PROTOCOL%`, are Envoy's.
    pub union LoggingFormat {
        /// An object with these members.
        Json(Vec<JsonFormatRef>),
        /// A line.
        Text(Text<1, 1000>),
    }

    /// A member of a log entry that is an object.
    pub struct JsonFormatRef {
        /// Its name, unique in the entry.
        pub key: Text<1, 100>,
        /// Its value, with Envoy's commands.
        pub value: Text<1, 100>,
    }
}
