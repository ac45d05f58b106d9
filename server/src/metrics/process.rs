//! What the process uses, under the names that Prometheus' own clients have for it. From `/proc`; nothing elsewhere.

use std::{fmt::Write as _, fs};

/// Ticks of `/proc` in a second: the kernel gives programs this number whatever its own clock is.
const TICKS: f64 = 100.0;

/// Appends the metrics of the process.
pub(super) fn render(text: &mut String) {
    for (name, kind, help, value) in FAMILIES {
        if let Some(value) = value() {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    }
}

type Family = (&'static str, &'static str, &'static str, fn() -> Option<f64>);

const FAMILIES: [Family; 6] = [
    ("process_resident_memory_bytes", "gauge", "memory in use", || Some(of_status("VmRSS:")? * 1024.0)),
    ("process_threads", "gauge", "threads", || of_status("Threads:")),
    ("process_open_fds", "gauge", "open files and sockets", || {
        // Reading the folder opens it.
        Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
    }),
    ("process_max_fds", "gauge", "files and sockets that may be open", || {
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    }),
    ("process_cpu_seconds_total", "counter", "time of all processors spent in the process", || {
        let fields = stat()?;
        Some((of(&fields, 14)? + of(&fields, 15)?) / TICKS)
    }),
    ("process_start_time_seconds", "gauge", "when the process started, in seconds since 1970", || {
        let since_boot = of(&stat()?, 22)? / TICKS;
        let system = fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(boot + since_boot)
    }),
];

/// A line of `/proc/self/status`, such as `VmRSS: 1234 kB`.
fn of_status(name: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The fields of `/proc/self/stat` after the program's name, which may hold anything.
fn stat() -> Option<Vec<String>> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// A field by its number in proc(5), which counts from 1; the first that is left is number 3.
fn of(fields: &[String], number: usize) -> Option<f64> {
    fields.get(number - 3)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_found_and_makes_sense() {
        let mut text = String::new();
        render(&mut text);
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
        };
        assert!((1e6..1e12).contains(&value("process_resident_memory_bytes")));
        assert!(value("process_threads") >= 1.0 && value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_cpu_seconds_total") >= 0.0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let started = value("process_start_time_seconds");
        assert!(started <= now + 2.0 && started > now - 1e6, "{started} {now}");
    }
}
