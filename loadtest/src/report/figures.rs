//! How a number is called by people, and how it is written: three significant digits, with its unit.

use std::borrow::Cow;

use crate::run::Machine;

/// What a number counts in, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds of CPU.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// KiB.
    Kibibytes,
    /// MiB.
    Mebibytes,
    /// Things.
    Count,
}

/// The unit of a number: `last_ack_ms.p50` is in milliseconds.
pub fn unit(number: &str) -> Unit {
    let (_, name) = split(number);
    let name = name.split_once('.').map_or(name, |(measure, _)| measure);
    let (quantity, _) = name.split_once("_per_").unwrap_or((name, ""));
    if quantity.ends_with("_us") {
        Unit::Microseconds
    } else if quantity.ends_with("_ms") {
        Unit::Milliseconds
    } else if quantity.ends_with("seconds") {
        Unit::Seconds
    } else if quantity.ends_with("_kib") {
        Unit::Kibibytes
    } else if quantity.ends_with("_mib") {
        Unit::Mebibytes
    } else if quantity.starts_with("bytes") {
        Unit::Bytes
    } else {
        Unit::Count
    }
}

/// The phase that a number's name begins with, and the rest.
fn split(number: &str) -> (Option<&str>, &str) {
    number.rsplit_once('/').map_or((None, number), |(phase, name)| (Some(phase), name))
}

/// What people call a number, without its phase: `last ACK p50`.
pub fn label(number: &str) -> String {
    let (_, name) = split(number);
    if let Some((measure, quantile)) = name.split_once("_ms.") {
        return format!("{} {quantile}", measure_label(measure));
    }
    let known = match name {
        "seconds" => "duration",
        "envoys" => "Envoys",
        "resources_received" => "resources received",
        "resources_but_endpoints" => "of these, no endpoints",
        "bytes_received" => "received",
        "pushes_per_change" => "pushes a change",
        "pushes_per_second" => "pushes a second",
        "bytes_per_push" => "bytes a push",
        "server_cpu_seconds" => "server CPU",
        "server_cpu_us_per_push" => "server CPU a push",
        "server_cpu_ms_per_1000_pushes" => "server CPU for 1000 pushes",
        "fleet_cpu_seconds" => "fleet CPU",
        "fleet_cpu_us_per_push" => "fleet CPU a push",
        "fleet_by_server_cpu" => "fleet CPU, divided by the server's",
        "resident_mib" => "resident memory",
        "resident_growth_mib" => "growth of memory",
        "resident_kib_per_envoy" => "memory an Envoy",
        "call_by_etcd_put" => "API call p50, divided by etcd put p50",
        "last_receipt_by_etcd_put" => "last receipt p50, divided by etcd put p50",
        "last_ack_by_etcd_put" => "last ACK p50, divided by etcd put p50",
        "mean_request_ms" => "API request, mean",
        "mean_commit_ms" => "its commit, mean",
        "mean_pass_ms" => "pass, mean",
        "mean_push_to_ack_ms" => "push to ACK, mean",
        "mean_propagation_ms" => "commit to last ACK, mean",
        other => return other.replace('_', " "),
    };
    known.to_owned()
}

/// What people call a measure: `last ACK`.
pub fn measure_label(measure: &str) -> Cow<'_, str> {
    Cow::Borrowed(match measure {
        "etcd_put" => "etcd put",
        "call" => "API call",
        "receipt" => "receipt",
        "last_receipt" => "last receipt",
        "last_ack" => "last ACK",
        "last_ack_after_call" => "last ACK after the call",
        "sync" => "sync",
        "last_sync" => "last sync",
        "full_pass" => "full pass",
        other => return Cow::Owned(other.replace('_', " ")),
    })
}

/// A value of a number, with its unit: `9.12 ms`.
pub fn quantity(number: &str, value: f64) -> String {
    if value < 0.0 {
        return format!("\u{2212}{}", quantity(number, -value));
    }
    match unit(number) {
        Unit::Microseconds => time(value),
        Unit::Milliseconds => time(value * 1e3),
        Unit::Seconds => time(value * 1e6),
        Unit::Bytes => bytes(value),
        Unit::Kibibytes => format!("{} KiB", digits(value)),
        Unit::Mebibytes => format!("{} MiB", digits(value)),
        Unit::Count => digits(value),
    }
}

/// From a value to another, the unit once if it is the same: `8.91 to 9.12 ms`.
pub fn range(number: &str, from: f64, to: f64) -> String {
    let (from, to) = (quantity(number, from), quantity(number, to));
    match (from.split_once(' '), to.split_once(' ')) {
        (Some((value, unit)), Some((_, same))) if unit == same => format!("{value} to {to}"),
        _ => format!("{from} to {to}"),
    }
}

/// A time in microseconds, in the unit that suits it.
fn time(us: f64) -> String {
    // what rounds to 1000 belongs to the next unit
    if us == 0.0 {
        "0 ms".to_owned()
    } else if us < 999.5 {
        format!("{} µs", digits(us))
    } else if us < 999_500.0 {
        format!("{} ms", digits(us / 1e3))
    } else {
        format!("{} s", digits(us / 1e6))
    }
}

fn bytes(value: f64) -> String {
    const STEP: f64 = 1024.0;
    if value < STEP {
        format!("{} B", digits(value))
    } else if value < STEP * STEP {
        format!("{} KiB", digits(value / STEP))
    } else if value < STEP * STEP * STEP {
        format!("{} MiB", digits(value / STEP / STEP))
    } else {
        format!("{} GiB", digits(value / STEP / STEP / STEP))
    }
}

/// Three significant digits, or all of a whole number: `0.0123`, `12.3`, `200,000`.
pub fn digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{}", value.abs());
    }
    // 9.996 is written as 10.0 is
    let step = 10f64.powf(value.abs().log10().floor() - 2.0);
    let magnitude = ((value / step).round() * step).abs().log10().floor();
    if value.fract() == 0.0 || magnitude >= 3.0 {
        return grouped(value);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let decimals = (2.0 - magnitude).clamp(0.0, 12.0) as usize;
    format!("{value:.decimals$}")
}

/// A whole number with its thousands apart.
fn grouped(value: f64) -> String {
    let plain = format!("{value:.0}");
    let (sign, plain) = plain.strip_prefix('-').map_or(("", plain.as_str()), |rest| ("-", rest));
    let mut text = sign.to_owned();
    for (position, digit) in plain.chars().enumerate() {
        if position > 0 && (plain.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text with its first letter large.
pub(super) fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// What a scenario measures, in a sentence; an empty one of a scenario that is not ours.
pub fn question(scenario: &str) -> &'static str {
    match scenario {
        "connect-storm" => "All Envoys connect at once: how long until each has its configuration?",
        "hot-change" => {
            "One service that every Envoy consumes is changed: when has the last of them ACKed it?"
        }
        "spread-change" => {
            "One service after the other is changed, with a few consumers each: when has the last of them ACKed it?"
        }
        "irrelevant-envoys" => {
            "Ten times the Envoys that do not consume the changed service: does a change cost more?"
        }
        "irrelevant-services" => "A hundred times the services that nobody uses: does a change cost more?",
        "etcd-change" => {
            "One service that every Envoy consumes is changed, in turn with bare puts to etcd: when has the last of them ACKed it?"
        }
        "full-pass" => "Nothing is changed: how long does the transformer take for everything?",
        "backends" => "Ten times the backends of each node: does a change cost more?",
        "churn" => "Changes all the time, at a steady rate: does every Envoy keep up?",
        "stalled-readers" => "Some Envoys stop reading: do the others notice?",
        "mass-reconnect" => "All Envoys reconnect and nothing has changed: what is sent to them?",
        "nackers" => "Some Envoys reject what they are sent: do the others notice?",
        "soak" => "Changes for a long time: does memory stay flat, and does nobody fall behind?",
        _ => "",
    }
}

/// A machine in a sentence.
pub fn machine(machine: &Machine) -> String {
    let mut parts = Vec::new();
    if !machine.processor.is_empty() {
        parts.push(machine.processor.clone());
    }
    parts.push(if machine.cpus == 1 { "1 CPU".to_owned() } else { format!("{} CPUs", machine.cpus) });
    parts.push(bytes(machine.memory_mib as f64 * super::numbers::MIB));
    if !machine.system.is_empty() {
        parts.push(machine.system.clone());
    }
    if let Some((server, fleet)) = machine.pinned {
        parts.push(format!("server on CPU {server}, fleet on CPU {fleet}"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits() {
        #[track_caller]
        fn check(value: f64, expected: &str) {
            assert_eq!(digits(value), expected);
        }
        check(0.0, "0");
        check(-0.0, "0");
        check(0.001_234, "0.00123");
        check(0.999_6, "1.00");
        check(1.0, "1");
        check(1.2, "1.20");
        check(9.996, "10.0");
        check(12.34, "12.3");
        check(99.96, "100");
        check(123.4, "123");
        check(1234.5, "1,234");
        check(200_000.0, "200,000");
        check(1_234_567.0, "1,234,567");
        check(-1500.0, "-1,500");
    }

    #[test]
    fn units_come_from_names() {
        #[track_caller]
        fn check(number: &str, value: f64, expected: &str) {
            assert_eq!(quantity(number, value), expected);
        }
        check("last_ack_ms.p50", 9.123, "9.12 ms");
        check("1000 envoys/last_ack_ms.p50", 0.25, "250 µs");
        check("last_ack_ms.max", 1234.0, "1.23 s");
        check("last_ack_ms.p50", 0.9997, "1.00 ms");
        check("last_ack_ms.max", 999.7, "1.00 s");
        check("server_cpu_us_per_push", 12.0, "12 µs");
        check("server_cpu_ms_per_1000_pushes", 12.345, "12.3 ms");
        check("server_cpu_seconds", 2.5, "2.50 s");
        check("bytes_per_push", 512.0, "512 B");
        check("bytes_received", 3.5 * 1024.0 * 1024.0, "3.50 MiB");
        check("resident_kib_per_envoy", 51.2, "51.2 KiB");
        check("resident_kib_per_envoy", -51.2, "\u{2212}51.2 KiB");
        check("resident_mib", 70.0, "70 MiB");
        check("lost", 3.0, "3");
        check("pushes_per_change", 999.5, "1,000");
        check("pushes_per_second", 20_000.4, "20,000");
    }

    #[test]
    fn ranges_have_their_unit_once() {
        #[track_caller]
        fn check(number: &str, from: f64, to: f64, expected: &str) {
            assert_eq!(range(number, from, to), expected);
        }
        check("last_ack_ms.p50", 8.91, 9.12, "8.91 to 9.12 ms");
        check("last_ack_ms.p50", 0.91, 9.12, "910 µs to 9.12 ms");
        check("lost", 1.0, 2.0, "1 to 2");
    }

    #[test]
    fn labels() {
        #[track_caller]
        fn check(number: &str, expected: &str) {
            assert_eq!(label(number), expected);
        }
        check("1000 envoys/last_ack_ms.p99", "last ACK p99");
        check("server_cpu_us_per_push", "server CPU a push");
        check("something_new", "something new");
    }
}
