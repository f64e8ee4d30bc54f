//! The `connstorm` program: parse, run, exit code.

fn main() -> std::process::ExitCode {
    connstorm::cli::main()
}
