//! Addresses of this host, and proxies that programs are told to use.

use super::{Area, Check, HostState, Severity};
use crate::diagnose::{Proxy, ProxyListener};

pub(super) fn checks(state: &HostState) -> Vec<Check> {
    let mut checks = vec![addresses(state)];
    if state.proxies.is_empty() {
        let why = "http_proxy, https_proxy, all_proxy and their capitals are not set";
        checks.push(Check::new(Area::Surroundings, "proxies", "none", Severity::Ok, why));
    }
    checks.extend(state.proxies.iter().map(|proxy| self::proxy(proxy, state)));
    if let Some(no_proxy) = &state.no_proxy {
        let why = "targets that programs reach directly, whatever the proxy variables say";
        checks.push(Check::new(Area::Surroundings, "no_proxy", no_proxy, Severity::Ok, why));
    }
    checks
}

fn addresses(state: &HostState) -> Check {
    let name = "source addresses";
    if state.addresses.is_empty() {
        return Check::unseen(
            Area::Surroundings,
            name,
            "the addresses of the interfaces could not be listed",
        );
    }
    let listed: Vec<String> = state
        .addresses
        .iter()
        .map(|own| format!("{}/{}%{}", own.address, own.prefix, own.interface))
        .collect();
    let tentative: Vec<String> =
        state.addresses.iter().filter(|own| own.tentative).map(|own| own.address.to_string()).collect();
    let value = listed.join(" ");
    if !tentative.is_empty() {
        let why = format!(
            "{} is tentative, or in use by another host as well (IPv6 duplicate address detection): bind() answers \
             \"Cannot assign requested address\"",
            tentative.join(", ")
        );
        return Check::new(Area::Surroundings, name, value, Severity::Warning, why)
            .change("ip -6 addr show tentative");
    }
    let why = "each source address has all ports of the range once more; all of 127.0.0.0/8 is local without being listed";
    Check::new(Area::Surroundings, name, value, Severity::Ok, why)
        .change("ip addr add 192.0.2.10/24 dev eth0    # one more, of your network")
}

fn proxy(proxy: &Proxy, state: &HostState) -> Check {
    let (worth, why) = match proxy.listener(&state.listening) {
        ProxyListener::None => (
            Severity::Warning,
            "nothing listens there: every program that obeys it gets \"Connection refused\", for whatever target",
        ),
        ProxyListener::Some => (
            Severity::Note,
            "programs that obey it (not connstorm) connect to the proxy, and not to their target",
        ),
        ProxyListener::Elsewhere => (
            Severity::Note,
            "programs that obey it (not connstorm) connect to the proxy, and not to their target",
        ),
    };
    let check = Check::new(Area::Surroundings, &proxy.name, proxy.shown(), worth, why);
    check.change(format!("unset {}", proxy.name))
}
