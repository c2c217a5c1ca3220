fn main() -> std::process::ExitCode {
    arcadia::cli::main()
}
