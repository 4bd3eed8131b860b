//! The flat, named figures of a run: what budgets name and what tables show.

use std::collections::BTreeMap;

use crate::run::{Measure, Part, Phase, Run};

/// What a change takes over what etcd takes for a put by itself, by medians.
pub const BESIDE_ETCD: [&str; 3] = ["call_by_etcd_put", "last_receipt_by_etcd_put", "last_ack_by_etcd_put"];

/// What parts of a change take, as Legation says itself.
pub const PARTS: [&str; 5] =
    ["mean_request_ms", "mean_commit_ms", "mean_pass_ms", "mean_push_to_ack_ms", "mean_propagation_ms"];

/// Every figure of a run by its name, which ends in its unit.
///
/// Where a run has several phases, each name begins with that of its phase: `1000 envoys/last_ack_ms.p50`. What was not
/// measured has no number: no latency of what was never timed, nothing for each push where nothing was pushed.
pub fn numbers(run: &Run) -> BTreeMap<String, f64> {
    let several = run.phases.len() > 1;
    let mut all = BTreeMap::new();
    for phase in &run.phases {
        for (name, value) in phase_numbers(phase) {
            all.insert(if several { format!("{}/{name}", phase.name) } else { name }, value);
        }
    }
    all
}

/// Every figure of a phase by its name, without that of the phase.
pub fn phase_numbers(phase: &Phase) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    let mut put = |name: &str, value: f64| {
        if value.is_finite() {
            all.insert(name.to_owned(), value);
        }
    };

    for (&measure, latency) in phase.latencies.iter().filter(|(_, latency)| latency.count > 0) {
        let name = measure_name(measure);
        put(&format!("{name}_ms.p50"), latency.p50);
        put(&format!("{name}_ms.p90"), latency.p90);
        put(&format!("{name}_ms.p99"), latency.p99);
        put(&format!("{name}_ms.max"), latency.max);
    }

    // by medians: what a change takes over what a put takes by itself
    let put_p50 = phase.latencies.get(&Measure::EtcdPut).map_or(f64::NAN, |latency| latency.p50);
    for measure in [Measure::Call, Measure::LastReceipt, Measure::LastAck] {
        if let Some(latency) = phase.latencies.get(&measure) {
            put(&format!("{}_by_etcd_put", measure_name(measure)), latency.p50 / put_p50);
        }
    }
    for (&part, &mean) in &phase.parts {
        put(part_number(part), mean);
    }

    let received = phase.received;
    let pushes = received.pushes as f64;
    put("seconds", phase.seconds);
    put("envoys", phase.envoys as f64);
    put("changes", phase.changes as f64);
    put("pushes", pushes);
    put("resources_received", received.resources as f64);
    put("resources_but_endpoints", (received.resources - received.endpoints) as f64);
    put("bytes_received", received.bytes as f64);
    put("lost", received.lost as f64);
    put("redundant", received.redundant as f64);
    put("misdirected", received.misdirected as f64);
    put("rejected", received.rejected as f64);
    put("disconnects", received.disconnects as f64);
    // what is divided by nothing is not finite, and left out above
    put("pushes_per_change", pushes / phase.changes as f64);
    put("pushes_per_second", pushes / phase.seconds);
    put("bytes_per_push", received.bytes as f64 / pushes);
    // where there was no need to push anything, what was pushed is not what the time went into
    let needed_pushes = if phase.changes > 0 || phase.new_envoys > 0 { pushes } else { 0.0 };
    put("fleet_cpu_seconds", phase.fleet_cpu_seconds);
    put("fleet_cpu_us_per_push", phase.fleet_cpu_seconds * 1e6 / needed_pushes);

    if let Some(server) = phase.server {
        put("server_cpu_seconds", server.cpu_seconds);
        put("server_cpu_us_per_push", server.cpu_seconds * 1e6 / needed_pushes);
        put("server_cpu_ms_per_1000_pushes", server.cpu_seconds * 1e3 / needed_pushes * 1e3);
        put("fleet_by_server_cpu", phase.fleet_cpu_seconds / server.cpu_seconds);
        put("resident_mib", server.resident_after as f64 / MIB);
        let growth = server.resident_after as f64 - server.resident_before as f64;
        put("resident_growth_mib", growth / MIB);
        // where Envoys were connected before, memory grows for other reasons
        if phase.new_envoys == phase.envoys {
            put("resident_kib_per_envoy", growth / KIB / phase.envoys as f64);
        }
    }
    all
}

/// How the numbers of a measure begin.
pub fn measure_name(measure: Measure) -> &'static str {
    match measure {
        Measure::EtcdPut => "etcd_put",
        Measure::Call => "call",
        Measure::Receipt => "receipt",
        Measure::LastReceipt => "last_receipt",
        Measure::LastAck => "last_ack",
        Measure::LastAckAfterCall => "last_ack_after_call",
        Measure::Sync => "sync",
        Measure::LastSync => "last_sync",
        Measure::FullPass => "full_pass",
    }
}

/// The number of what a part took on average.
fn part_number(part: Part) -> &'static str {
    match part {
        Part::Request => "mean_request_ms",
        Part::Commit => "mean_commit_ms",
        Part::Pass => "mean_pass_ms",
        Part::PushToAck => "mean_push_to_ack_ms",
        Part::Propagation => "mean_propagation_ms",
    }
}

/// Bytes of a KiB.
pub(super) const KIB: f64 = 1024.0;
/// Bytes of a MiB.
pub(super) const MIB: f64 = 1024.0 * 1024.0;

#[cfg(test)]
mod tests {
    use super::super::made_up::{phase, run};
    use super::*;
    use crate::run::ServerCost;

    #[track_caller]
    fn check(phases: Vec<Phase>, name: &str, expected: Option<f64>) {
        let found = numbers(&run("hot-change", "legation", 0, phases));
        assert_eq!(found.get(name).copied(), expected, "{name} of {found:#?}");
    }

    #[test]
    fn latencies() {
        let phase = || phase("").latency(Measure::LastAck, &[1.0, 2.0, 30.0, 400.0]).phase();
        check(vec![phase()], "last_ack_ms.p50", Some(2.0));
        check(vec![phase()], "last_ack_ms.max", Some(400.0));
        check(vec![phase()], "receipt_ms.p50", None);
    }

    #[test]
    fn every_measure_has_the_name_that_json_has() {
        for measure in [
            Measure::EtcdPut,
            Measure::Call,
            Measure::Receipt,
            Measure::LastReceipt,
            Measure::LastAck,
            Measure::LastAckAfterCall,
            Measure::Sync,
            Measure::LastSync,
            Measure::FullPass,
        ] {
            assert_eq!(serde_json::to_value(measure).unwrap(), measure_name(measure));
        }
    }

    #[test]
    fn what_was_timed_never_has_no_latency() {
        check(vec![phase("").latency(Measure::Sync, &[]).phase()], "sync_ms.p50", None);
    }

    #[test]
    fn what_is_counted() {
        let mut phase = phase("").phase();
        phase.changes = 4;
        phase.seconds = 0.5;
        phase.received.pushes = 2000;
        phase.received.bytes = 500_000;
        phase.received.resources = 3000;
        phase.received.endpoints = 1000;
        phase.received.lost = 1;
        phase.received.redundant = 2;
        phase.received.misdirected = 3;
        phase.received.rejected = 4;
        phase.received.disconnects = 5;
        for (name, expected) in [
            ("pushes", 2000.0),
            ("pushes_per_change", 500.0),
            ("pushes_per_second", 4000.0),
            ("bytes_per_push", 250.0),
            ("bytes_received", 500_000.0),
            ("resources_received", 3000.0),
            ("resources_but_endpoints", 2000.0),
            ("lost", 1.0),
            ("redundant", 2.0),
            ("misdirected", 3.0),
            ("rejected", 4.0),
            ("disconnects", 5.0),
        ] {
            check(vec![phase.clone()], name, Some(expected));
        }
    }

    #[test]
    fn what_it_cost() {
        let mut phase = phase("").phase();
        (phase.envoys, phase.new_envoys) = (100, 100);
        phase.received.pushes = 2000;
        phase.fleet_cpu_seconds = 0.5;
        phase.server =
            Some(ServerCost { cpu_seconds: 0.25, resident_before: 10 << 20, resident_after: 15 << 20 });
        for (name, expected) in [
            ("server_cpu_us_per_push", 125.0),
            ("server_cpu_ms_per_1000_pushes", 125.0),
            ("fleet_cpu_us_per_push", 250.0),
            ("fleet_by_server_cpu", 2.0),
            ("resident_mib", 15.0),
            ("resident_growth_mib", 5.0),
            ("resident_kib_per_envoy", 51.2),
        ] {
            check(vec![phase.clone()], name, Some(expected));
        }
    }

    #[test]
    fn memory_that_shrank_is_less_than_nothing() {
        let mut phase = phase("").phase();
        (phase.envoys, phase.new_envoys) = (1, 1);
        phase.server = Some(ServerCost { cpu_seconds: 0.0, resident_before: 4096, resident_after: 1024 });
        check(vec![phase], "resident_kib_per_envoy", Some(-3.0));
    }

    #[test]
    fn memory_is_of_an_envoy_only_where_none_was_connected_before() {
        let phase = phase("").latency(Measure::LastSync, &[1.0]).phase();
        check(vec![phase.clone()], "resident_kib_per_envoy", None);
        check(vec![phase], "resident_growth_mib", Some(50.0));
    }

    #[test]
    fn nothing_for_each_of_nothing() {
        let mut phase = phase("").latency(Measure::LastSync, &[1.0]).phase();
        phase.received.pushes = 0;
        phase.received.bytes = 10;
        phase.changes = 0;
        phase.envoys = 0;
        phase.server = Some(ServerCost { cpu_seconds: 1.0, resident_before: 0, resident_after: 1 });
        for name in [
            "pushes_per_change",
            "bytes_per_push",
            "server_cpu_us_per_push",
            "server_cpu_ms_per_1000_pushes",
            "fleet_cpu_us_per_push",
            "resident_kib_per_envoy",
        ] {
            check(vec![phase.clone()], name, None);
        }
        check(vec![phase], "pushes", Some(0.0));
    }

    #[test]
    fn what_had_not_to_be_sent_has_no_cost_each() {
        let mut phase = phase("").latency(Measure::LastSync, &[1.0]).phase();
        (phase.changes, phase.new_envoys) = (0, 0);
        check(vec![phase.clone()], "server_cpu_us_per_push", None);
        check(vec![phase.clone()], "fleet_cpu_us_per_push", None);
        check(vec![phase.clone()], "server_cpu_seconds", Some(2.0));
        phase.new_envoys = 1000;
        check(vec![phase], "server_cpu_us_per_push", Some(10.0));
    }

    #[test]
    fn a_server_whose_process_is_not_known_has_no_cost() {
        let mut phase = phase("").phase();
        phase.server = None;
        check(vec![phase.clone()], "server_cpu_us_per_push", None);
        check(vec![phase], "resident_mib", None);
    }

    #[test]
    fn phases_are_told_apart_where_there_are_several() {
        let one = phase("100 envoys").latency(Measure::LastAck, &[1.0; 4]).phase();
        let other = phase("1000 envoys").latency(Measure::LastAck, &[2.0; 4]).phase();
        check(vec![one.clone()], "last_ack_ms.p50", Some(1.0));
        check(vec![one.clone(), other.clone()], "last_ack_ms.p50", None);
        check(vec![one.clone(), other.clone()], "100 envoys/last_ack_ms.p50", Some(1.0));
        check(vec![one, other], "1000 envoys/last_ack_ms.p50", Some(2.0));
    }
}
