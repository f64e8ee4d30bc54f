//! `connstorm doctor` as a user meets it: this host's settings, outputs, exit codes, mistakes.

mod support;

use connstorm::protocol::{Behaviour, Kind};
use connstorm::server::{Config, Target};
use serde_json::Value;
use std::process::Output;
use support::doctor::{doctor, examine, with_files};
use support::namespace::Namespace;
use support::storm::connstorm;
use support::targets;

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn check<'a>(result: &'a Value, name: &str) -> &'a Value {
    let checks = result["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {checks:#?}"))
}

#[test]
fn the_settings_of_a_namespace_are_judged() {
    let namespace = Namespace::of("the_settings_of_a_namespace_are_judged")
        .sysctl("net.ipv4.ip_local_port_range", "40000 41023")
        .sysctl("net.ipv4.tcp_max_tw_buckets", 500)
        .sysctl("net.ipv4.tcp_timestamps", 0)
        .sysctl("net.ipv4.tcp_tw_reuse", 1);
    namespace.run(|| {
        let result = examine("");
        for name in [
            "net.ipv4.ip_local_port_range",
            "net.ipv4.tcp_max_tw_buckets",
            "net.ipv4.tcp_timestamps",
            "net.ipv4.tcp_tw_reuse",
        ] {
            assert_eq!(check(&result, name)["worth"], "warning", "{name}");
            assert!(check(&result, name)["change"].as_str().unwrap().contains("sysctl -w net.ipv4."));
        }
        assert_eq!(check(&result, "proxies")["worth"], "ok");
        assert_eq!(result["findings"].as_array().unwrap().len(), 0, "without a target nothing is diagnosed");
    });
}

#[test]
fn outdated_lines_of_sysctl_conf_are_called_so() {
    Namespace::of("outdated_lines_of_sysctl_conf_are_called_so").run(|| {
        let text = "net.ipv4.tcp_tw_recycle = 1\nnet.ipv4.tcp_fin_timeout = 10\n";
        // A file that every system has, in place of one that it need not have.
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("99-guide.conf"), text).unwrap();
        let script = format!(
            "mount --bind {} /etc/sysctl.d && exec {} doctor",
            folder.path().display(),
            env!("CARGO_BIN_EXE_connstorm")
        );
        let output = support::bound_to_us("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
        let text = stdout(&output);
        for part in
            ["99-guide.conf:1", "gone since Linux 4.12", "99-guide.conf:2", "does not shorten TIME_WAIT"]
        {
            assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(part), "{part}: {text}");
        }
    });
}

#[test]
fn full_ports_and_their_destination_are_seen() {
    let namespace = Namespace::of("full_ports_and_their_destination_are_seen")
        .sysctl("net.ipv4.ip_local_port_range", "40000 40099")
        .sysctl("net.ipv4.tcp_tw_reuse", 0);
    namespace.run(|| {
        // Outside of the range, so that all of it is there for connections.
        let to: std::net::SocketAddr = "127.0.0.1:9000".parse().unwrap();
        let _target = Target::start(Config::new(vec![to], Behaviour::Sink)).unwrap();
        let held: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(to).unwrap()).collect();
        let result = examine(&format!("{to}"));
        let tuple = check(&result, &format!("127.0.0.1 to {to}"));
        assert_eq!(
            (&tuple["worth"], &tuple["value"]),
            (&"warning".into(), &"100 of 100 ports, 0 in TIME_WAIT".into())
        );
        support::doctor::proves_only(&result, "ports-exhausted-by-live-connections");
        drop(held);
    });
}

#[test]
fn a_target_in_order_gives_nothing_and_exit_code_0() {
    Namespace::of("a_target_in_order_gives_nothing_and_exit_code_0").run(|| {
        for kind in Kind::ALL {
            let (_target, to) = targets::start(kind, Behaviour::Echo);
            let mut doctor = doctor();
            doctor.arg(format!("{kind}://{to}/"));
            if kind.is_encrypted() {
                // Its certificate is its own.
                doctor.arg("--insecure");
            }
            let output = doctor.output().unwrap();
            let text = stdout(&output);
            assert_eq!(output.status.code(), Some(0), "{kind}: {text}");
            assert!(text.contains("nothing wrong was found") && !text.contains('\x1b'), "{text}");
        }
    });
}

/// Works without root: nobody, in the namespace of the test.
#[test]
fn nobody_may_use_it_and_is_told_what_was_not_seen() {
    Namespace::of("nobody_may_use_it_and_is_told_what_was_not_seen").run(|| {
        let (_target, to) = targets::start(Kind::Tcp, Behaviour::Echo);
        let mut builder = tempfile::Builder::new();
        let folder =
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir().unwrap();
        let copy = folder.path().join("connstorm");
        std::fs::copy(env!("CARGO_BIN_EXE_connstorm"), &copy).unwrap();
        let uid = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
        let output = support::bound_to_us("setpriv")
            .args(uid)
            .arg(&copy)
            .args(["doctor", &to.to_string(), "--json", "-"])
            .output()
            .unwrap();
        // In a user namespace without that user it can't be tried.
        if String::from_utf8_lossy(&output.stderr).contains("setres") {
            return;
        }
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{:#}", result["findings"]);
        assert!(result["state"]["established"].is_u64());
        assert_eq!(
            result["state"]["listening"][0]["holder"],
            Value::Null,
            "another user's program is not seen"
        );
    });
}

#[test]
fn what_is_saved_can_be_planned_for_and_a_damaged_file_is_named() {
    Namespace::of("what_is_saved_can_be_planned_for_and_a_damaged_file_is_named")
        .sysctl("net.ipv4.ip_local_port_range", "40000 41023")
        .sysctl("net.ipv4.tcp_tw_reuse", 0)
        .run(|| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("host.json");
            let saved = doctor().arg("--save").arg(&file).output().unwrap();
            assert_eq!(saved.status.code(), Some(0));
            let plan = |file: &std::path::Path| {
                connstorm()
                    .args(["plan", "--rate", "100/s", "--json", "-", "--host"])
                    .arg(file)
                    .output()
                    .unwrap()
            };
            let forecast: Value = serde_json::from_slice(&plan(&file).stdout).unwrap();
            assert_eq!(forecast["forecast"]["ports"]["exhausted"]["ordinal"], 1025);

            let text = std::fs::read_to_string(&file).unwrap();
            for (spoilt, says) in [
                (text[..text.len() / 2].to_owned(), "damaged"),
                (text.replace("\"schema_version\": 1", "\"schema_version\": 7"), "version 7"),
                ("{}".to_owned(), "no setting"),
            ] {
                std::fs::write(&file, spoilt).unwrap();
                let output = plan(&file);
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(2), "{errors}");
                assert!(errors.contains(says) && errors.contains("host.json"), "{errors}");
            }
        });
}

#[test]
fn mistakes_are_wrong_usage_and_what_cannot_be_written_is_named() {
    for (arguments, says) in [
        (vec!["ftp://a:1"], "'ftp' is not a scheme"),
        (vec!["127.0.0.1"], "has no port"),
        (vec!["127.0.0.1:1", "--timeout", "soon"], "--timeout"),
        (vec!["127.0.0.1:1", "--timeout", "1h"], "from 100ms to 60s"),
        (vec!["--expect", "10.0.0.1"], "TARGET"),
        (vec!["--save", "-", "--json", "-"], "can't both go to standard output"),
    ] {
        let output = doctor().args(&arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(says), "{says}: {errors}");
    }
    let output = doctor().args(["--json", "/none/here.json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("'/none/here.json'"));
}

#[test]
fn a_hosts_file_that_overrides_dns_and_an_expected_address_are_told() {
    Namespace::of("a_hosts_file_that_overrides_dns_and_an_expected_address_are_told").run(|| {
        let hosts = [("/etc/hosts", "127.0.0.1 localhost\n127.0.0.7 shop.example\n")];
        let refused = with_files(&hosts, "shop.example:80");
        let told = refused["findings"].as_array().unwrap();
        assert!(
            told.iter().any(|f| f["id"] == "name-leads-elsewhere" && f["certainty"] == "possible"),
            "{told:#?}"
        );
        let expected = with_files(&hosts, "shop.example:80 --expect 203.0.113.7");
        let told = expected["findings"].as_array().unwrap();
        assert!(
            told.iter().any(|f| f["id"] == "name-leads-elsewhere" && f["certainty"] == "proved"),
            "{told:#?}"
        );
        // DNS, asked past the hosts file, knows better.
        let _server = name_server();
        let both = [hosts[0], ("/etc/resolv.conf", "nameserver 127.0.0.1\n")];
        let told = with_files(&both, "shop.example:80");
        assert_eq!(told["target"]["name"]["by_dns"][0], "203.0.113.7");
        let told = told["findings"].as_array().unwrap();
        assert!(
            told.iter().any(|f| f["id"] == "name-leads-elsewhere" && f["certainty"] == "likely"),
            "{told:#?}"
        );
        // The resolver's word for a name that there is not.
        let nobody = [hosts[0], ("/etc/resolv.conf", "nameserver 127.0.0.9\n")];
        let unknown = with_files(&nobody, "nowhere.example:80");
        support::doctor::proves_only(&unknown, "name-does-not-resolve");
    });
}

/// A name server that has 203.0.113.7 for every name, and nothing in IPv6. Ends with the process.
fn name_server() -> std::thread::JoinHandle<()> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:53").unwrap();
    std::thread::spawn(move || {
        let mut question = [0u8; 512];
        while let Ok((length, client)) = socket.recv_from(&mut question) {
            let mut answer = question[..length].to_vec();
            let is_a = answer[length - 3] == 1;
            (answer[2], answer[3], answer[7]) = (0x81, 0x80, u8::from(is_a));
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 7]);
            }
            socket.send_to(&answer, client).unwrap();
        }
    })
}
