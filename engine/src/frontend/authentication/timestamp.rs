//! Points in time as signatures have them: `20261121T131836Z`.

use std::fmt::{self, Display};
use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_seconds, parse_rfc3339};

/// A point in time, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(SystemTime);

impl Timestamp {
    /// The point in time that `text` names; nothing if it is written in any other form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_basic_form = text.len() == "20261121T131836Z".len()
            && text.bytes().enumerate().all(|(index, byte)| match index {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            });
        if !is_basic_form {
            return None;
        }
        let (year, month, day) = (text.get(0..4)?, text.get(4..6)?, text.get(6..8)?);
        let (hour, minute, second) = (text.get(9..11)?, text.get(11..13)?, text.get(13..15)?);
        let time = parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()?;
        // a second that leaps would be signed under another name
        Some(Self(time)).filter(|parsed| parsed.to_string() == text)
    }

    /// The second that `time` is in.
    pub(super) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()))
    }

    /// The point in time.
    pub(super) fn time(self) -> SystemTime {
        self.0
    }

    /// The time from `earlier` to this; zero if this is before it.
    pub(super) fn since(self, earlier: Self) -> Duration {
        self.0.duration_since(earlier.0).unwrap_or_default()
    }

    /// The day, such as `20261121`.
    pub(super) fn date(self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

impl Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extended = format_rfc3339_seconds(self.0).to_string();
        f.write_str(&extended.replace(['-', ':'], ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_form_is_read() {
        for (text, expected) in [
            ("20261121T131836Z", Some(1_795_267_116)),
            ("19700101T000000Z", Some(0)),
            ("20240229T235959Z", Some(1_709_251_199)),
            ("20230229T235959Z", None),
            ("20261121T131860Z", None),
            ("20261121T241836Z", None),
            ("20261321T131836Z", None),
            ("2026-11-21T13:18:36Z", None),
            ("20261121T131836", None),
            ("20261121t131836z", None),
            ("+0261121T131836Z", None),
            ("20261121T1318\u{e9}6Z", None),
            ("", None),
        ] {
            let parsed = Timestamp::parse(text);
            let seconds =
                parsed.map(|parsed| parsed.0.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
            assert_eq!(seconds, expected, "{text}");
        }
    }

    #[test]
    fn it_is_shown_as_it_is_read() {
        let parsed = Timestamp::parse("20261121T131836Z").unwrap();
        assert_eq!((parsed.to_string().as_str(), parsed.date().as_str()), ("20261121T131836Z", "20261121"));
        assert_eq!(Timestamp::of(parsed.time() + Duration::from_millis(999)), parsed);
    }
}
