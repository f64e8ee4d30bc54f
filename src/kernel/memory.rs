//! Memory of this process, from `/proc/self/status`.

/// Resident memory now (`VmRSS`), in bytes; 0 where `/proc` is not there.
pub fn resident() -> u64 {
    field("VmRSS:")
}

/// The most that was resident at any time (`VmHWM`), in bytes; 0 where `/proc` is not there.
pub fn peak() -> u64 {
    field("VmHWM:")
}

fn field(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse(&status, name).unwrap_or(0)
}

fn parse(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_in_bytes() {
        assert_eq!(parse("Name:\tx\nVmRSS:\t  1234 kB\n", "VmRSS:"), Some(1234 * 1024));
        assert_eq!(parse("Name:\tx\n", "VmRSS:"), None);
        assert!(resident() > 0 && peak() >= resident() / 2);
    }
}
