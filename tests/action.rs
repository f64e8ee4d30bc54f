//! `scripts/action`, the steps of the GitHub Action, in a runner's environment made for the test: what it writes to the
//! files that GitHub reads, and what it prints for GitHub to show. A release is a folder beside a stand-in for `gh`.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A runner: a folder with the files that GitHub names in the environment.
struct Runner {
    folder: tempfile::TempDir,
}

impl Runner {
    fn new() -> Runner {
        let folder = tempfile::tempdir().unwrap();
        for file in ["path", "output", "summary"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("tools")).unwrap();
        Runner { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// A step of the action, with the inputs that action.yml hands over.
    fn step(&self, step: &str, inputs: &[(&str, &str)]) -> Output {
        let path = format!(
            "{}:{}:{}",
            self.file("tools").display(),
            self.file("temp/connstorm/bin").display(),
            std::env::var("PATH").unwrap()
        );
        std::fs::create_dir_all(self.file("temp")).unwrap();
        Command::new("scripts/action")
            .arg(step)
            .env("PATH", path)
            .env("RUNNER_TEMP", self.file("temp"))
            .env("GITHUB_PATH", self.file("path"))
            .env("GITHUB_OUTPUT", self.file("output"))
            .env("GITHUB_STEP_SUMMARY", self.file("summary"))
            .envs(inputs.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn outputs(&self) -> BTreeMap<String, String> {
        let text = self.text("output");
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The program, as `binary: target/…` puts it on the path.
    fn with_program(self) -> Runner {
        let output = self.step("install", &[("BINARY", env!("CARGO_BIN_EXE_connstorm"))]);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("connstorm "), "{output:?}");
        assert_eq!(self.text("path").trim(), self.file("temp/connstorm/bin").to_str().unwrap());
        self
    }

    fn script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.file("tools").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_run_that_passes_annotates_nothing_and_leaves_every_report() {
    let runner = Runner::new().with_program();
    let output =
        runner.step("run", &[("SCENARIO", "scenarios/ci/passes.toml"), ("ARGS", "--name 'two words'")]);
    assert!(output.status.success(), "{output:?}");
    let outputs = runner.outputs();
    assert!(["0", "4"].contains(&outputs["exit-code"].as_str()), "{output:?}");
    let result = std::fs::read_to_string(&outputs["result"]).unwrap();
    assert!(result.contains("\"two words\""), "quotes of `args` are those of a shell");
    for file in ["result.json", "report.html", "junit.xml", "summary.md"] {
        assert!(Path::new(&outputs["folder"]).join(file).exists(), "{file}");
    }
    assert_eq!(
        runner.text("summary"),
        std::fs::read_to_string(Path::new(&outputs["folder"]).join("summary.md")).unwrap()
    );
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(outputs["exit-code"] == "4" || !told.contains("::error"), "{told}");
}

#[test]
fn a_run_that_fails_is_annotated_in_one_line_each() {
    let runner = Runner::new().with_program();
    let output = runner.step("run", &[("SCENARIO", "scenarios/ci/fails.toml"), ("ARGS", "")]);
    // The verdict is the last step's, after the report was uploaded.
    assert!(output.status.success(), "{output:?}");
    assert_eq!(runner.outputs()["exit-code"], "3", "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = told.lines().filter(|line| line.starts_with("::error title=connstorm threshold::"));
    assert!(errors.count() >= 1, "{told}");
    let finding =
        told.lines().find(|line| line.starts_with("::warning title=")).unwrap_or_else(|| panic!("{told}"));
    assert!(finding.contains("%0A- "), "the remedies are in the same line: {finding}");
}

#[test]
fn a_scenario_that_is_wrong_is_an_error_of_the_step_and_runs_nothing_in_its_arguments() {
    let runner = Runner::new().with_program();
    let harm = runner.file("harm");
    let arguments = format!("--no-such-flag '$(touch {0})' `touch {0}`", harm.display());
    let output = runner.step("run", &[("SCENARIO", "scenarios/ci/passes.toml"), ("ARGS", &arguments)]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(runner.outputs()["exit-code"], "2");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("exit code 2 and wrote no result"),
        "{output:?}"
    );
    assert!(!harm.exists(), "arguments are split, not run");
    assert_eq!(runner.text("summary"), "");
}

/// A release as `scripts/package` makes it, and a `gh` that has it.
fn release(runner: &Runner, checksum_holds: bool) {
    let stage = runner.file("stage");
    std::fs::create_dir_all(stage.join("usr/bin")).unwrap();
    runner.script("connstorm", "#!/bin/sh\necho connstorm 9.9.9\n");
    std::fs::rename(runner.file("tools/connstorm"), stage.join("usr/bin/connstorm")).unwrap();
    let machine = std::env::consts::ARCH;
    let archive = format!("connstorm-9.9.9-{machine}-linux.tar.gz");
    let store = runner.file("release");
    std::fs::create_dir(&store).unwrap();
    let packed = Command::new("tar")
        .args(["-C", stage.to_str().unwrap(), "-czf"])
        .arg(store.join(&archive))
        .arg("./usr")
        .status();
    assert!(packed.unwrap().success());
    let sum = Command::new("sha256sum").arg(&archive).current_dir(&store).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let sum = if checksum_holds { sum } else { format!("{}{}", "0".repeat(64), &sum[64..]) };
    std::fs::write(store.join("SHA256SUMS"), sum).unwrap();
    let gh = format!(
        "#!/bin/sh\ncase \"$1 $2\" in\n'release view') echo v9.9.9 ;;\n'release download')\n  [ \"$3\" = v9.9.9 ] || exit 1\n  \
         while [ $# -gt 0 ]; do [ \"$1\" = --dir ] && cp '{}'/* \"$2\"; shift; done ;;\nesac\n",
        store.display()
    );
    runner.script("gh", &gh);
}

#[test]
fn a_release_is_installed_by_its_checksum_alone() {
    for (version, says) in [("v9.9.9", ""), ("main", "::notice title=connstorm::installing v9.9.9")] {
        let runner = Runner::new();
        release(&runner, true);
        let output = runner
            .step("install", &[("BINARY", ""), ("VERSION", version), ("REPOSITORY", "owner/connstorm")]);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(says), "{output:?}");
        assert!(runner.file("temp/connstorm/bin/connstorm").exists());
    }
    let runner = Runner::new();
    release(&runner, false);
    let output =
        runner.step("install", &[("BINARY", ""), ("VERSION", "v9.9.9"), ("REPOSITORY", "owner/connstorm")]);
    assert!(!output.status.success(), "{output:?}");
    assert!(
        !runner.file("temp/connstorm/bin/connstorm").exists(),
        "what was changed on the way is not installed"
    );
}
