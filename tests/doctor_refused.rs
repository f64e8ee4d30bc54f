//! Connection refused: each cause of the seed's list, there in a namespace, is named first, by the doctor and
//! by a run alike; nothing else is proved.

mod support;

use connstorm::protocol::Behaviour;
use connstorm::server::{Config, Running, Target};
use support::doctor::{doctor, examine, findings, on_input, proves_only, result, sh, suggests, with_files};
use support::namespace::Namespace;
use support::storm::storm;

fn listen(address: &str) -> Running {
    Target::start(Config::new(vec![address.parse().unwrap()], Behaviour::Sink)).unwrap()
}

/// Result of a run of a few attempts.
fn run(target: &str) -> serde_json::Value {
    storm(&format!("{target} --rate 20/s --duration 1s --workers 1"))
}

#[test]
fn nothing_listens() {
    Namespace::of("nothing_listens").run(|| {
        let _far = listen("127.0.0.1:5432");
        let told = examine("127.0.0.1:9000");
        proves_only(&told, "nothing-listens");
        assert!(
            told["findings"][0]["evidence"]["other_listeners"].as_str().unwrap().contains("127.0.0.1:5432")
        );
        proves_only(&run("tcp://127.0.0.1:9000"), "nothing-listens");
    });
}

#[test]
fn the_port_is_wrong() {
    Namespace::of("the_port_is_wrong").run(|| {
        let _server = listen("127.0.0.1:9001");
        let told = examine("127.0.0.1:9000");
        suggests(&told, "wrong-port", "likely");
        let says = told["findings"][0]["says"].as_str().unwrap();
        assert!(says.contains(&format!("pid {}", std::process::id())), "{says}");
        suggests(&run("tcp://127.0.0.1:9000"), "wrong-port", "likely");
    });
}

#[test]
fn it_listens_on_127_0_0_1_only() {
    Namespace::of("it_listens_on_127_0_0_1_only").run(|| {
        sh("ip", "addr add 10.7.0.1/24 dev lo");
        let _server = listen("127.0.0.1:9000");
        proves_only(&examine("10.7.0.1:9000"), "listens-on-another-address");
        proves_only(&run("tcp://10.7.0.1:9000"), "listens-on-another-address");
    });
}

#[test]
fn a_reject_rule_answers_by_icmp_or_by_rst() {
    Namespace::of("a_reject_rule_answers_by_icmp_or_by_rst").run(|| {
        let _servers = [listen("127.0.0.1:9000"), listen("127.0.0.1:9001"), listen("127.0.0.1:9002")];
        on_input("tcp dport 9000 reject");
        sh("nft", "add rule inet t in tcp dport 9001 reject with tcp reset");
        sh("nft", "add rule inet t in tcp dport 9002 reject with icmpx type admin-prohibited");
        proves_only(&examine("127.0.0.1:9000"), "refused-by-firewall");
        proves_only(&examine("127.0.0.1:9001"), "refused-by-firewall");
        proves_only(&examine("127.0.0.1:9002"), "refused-by-firewall");
        proves_only(&run("tcp://127.0.0.1:9000"), "refused-by-firewall");
    });
}

#[test]
fn one_of_three_servers_behind_an_address_is_not_there() {
    Namespace::of("one_of_three_servers_behind_an_address_is_not_there").run(|| {
        let _server = listen("127.0.0.1:9000");
        on_input("tcp dport 9000 tcp flags & (syn | ack) == syn numgen inc mod 3 0 reject with tcp reset");
        let told = storm("tcp://127.0.0.1:9000 --rate 30/s --duration 4s");
        suggests(&told, "refused-at-times", "likely");
        assert_eq!(told["findings"][0]["side"], "target");
    });
}

#[test]
fn this_host_itself_forbids_it() {
    Namespace::of("this_host_itself_forbids_it").run(|| {
        sh("ip", "route add prohibit 10.2.0.0/16");
        proves_only(&examine("10.2.0.1:9000"), "connect-not-permitted");
        proves_only(&run("tcp://10.2.0.1:9000"), "connect-not-permitted");
    });
}

#[test]
fn some_of_a_names_addresses_refuse() {
    Namespace::of("some_of_a_names_addresses_refuse").run(|| {
        let _server = listen("127.0.0.1:9000");
        let hosts = [("/etc/hosts", "127.0.0.1 two.example\n127.0.0.2 two.example\n")];
        let told = with_files(&hosts, "two.example:9000");
        // Which of them, and why.
        let (first, certainty, proved) = findings(&told);
        assert_eq!((&*first, &*certainty), ("some-addresses-fail", "proved"), "{:#}", told["findings"]);
        assert_eq!(proved, ["some-addresses-fail", "listens-on-another-address"], "{:#}", told["findings"]);
        assert_eq!(told["findings"][0]["evidence"]["failing"], "127.0.0.2:9000");
        let rivals = told["findings"][0]["rivals"].as_array().unwrap();
        assert!(rivals.iter().all(|rival| rival["id"] != "listens-on-another-address"), "{rivals:?}");
    });
}

#[test]
fn a_proxy_that_is_not_there_is_told_of() {
    Namespace::of("a_proxy_that_is_not_there_is_told_of").run(|| {
        let _other = listen("127.0.0.1:5432");
        let mut command = doctor();
        command.arg("127.0.0.1:9000").env("HTTPS_PROXY", "http://me:secret@127.0.0.1:7890");
        let told = result(command);
        proves_only(&told, "nothing-listens");
        let findings = told["findings"].as_array().unwrap();
        assert!(findings.iter().any(|f| f["id"] == "proxy-in-the-way" && f["certainty"] == "possible"));
        assert!(!told.to_string().contains("secret"), "a password is not told");
        let checks = told["checks"].as_array().unwrap();
        assert!(checks.iter().any(|c| c["name"] == "HTTPS_PROXY" && c["worth"] == "warning"), "{checks:#?}");
    });
}
