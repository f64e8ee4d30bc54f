//! The ports of this network namespace: the ephemeral range, the reserved ones, those listened on.

use std::collections::BTreeSet;
use std::fs;
use std::io;

/// `net.ipv4.ip_local_port_range`: first and last port, both included. Valid for IPv6 too.
///
/// # Errors
/// When the file is not there or does not hold two ports.
pub fn local_range() -> io::Result<(u16, u16)> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(low)), Some(Ok(high))) => Ok((low, high)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("'{}' is no port range", text.trim()))),
    }
}

/// `net.ipv4.ip_local_reserved_ports`: ports that the kernel never chooses by itself.
///
/// # Errors
/// When the file is not there or is no list of ports.
pub fn reserved() -> io::Result<BTreeSet<u16>> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports")?;
    parse_list(&text).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("'{}' is no port list", text.trim()))
    })
}

/// Parses the kernel's list format: `8080,9000-9010`.
fn parse_list(text: &str) -> Option<BTreeSet<u16>> {
    let mut ports = BTreeSet::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        ports.extend(low.parse::<u16>().ok()?..=high.parse().ok()?);
    }
    Some(ports)
}

/// Ports that some TCP socket of this namespace listens on, on whatever address.
///
/// # Errors
/// When the tables in `/proc` can't be read. IPv6 may be missing.
pub fn listened_on() -> io::Result<BTreeSet<u16>> {
    let mut ports = parse_listeners(&fs::read_to_string("/proc/thread-self/net/tcp")?);
    if let Ok(table) = fs::read_to_string("/proc/thread-self/net/tcp6") {
        ports.append(&mut parse_listeners(&table));
    }
    Ok(ports)
}

/// Ports of the sockets in state LISTEN (0A). The kernel prints them first.
fn parse_listeners(table: &str) -> BTreeSet<u16> {
    let port = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
        (state == "0A").then_some(port)
    };
    table.lines().skip(1).filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_format() {
        assert_eq!(parse_list("\n"), Some(BTreeSet::new()));
        assert_eq!(parse_list("8080,9000-9002\n"), Some([8080, 9000, 9001, 9002].into()));
        assert_eq!(parse_list("80,x"), None);
    }

    #[test]
    fn a_listener_is_found_and_a_connection_is_none() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connection = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let found = listened_on().unwrap();
        assert!(found.contains(&port));
        assert!(!found.contains(&connection.local_addr().unwrap().port()));
    }

    #[test]
    fn the_range_of_this_host_is_read() {
        let (low, high) = local_range().unwrap();
        assert!(low < high);
    }
}
