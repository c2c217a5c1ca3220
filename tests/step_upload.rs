//! Uploads that are no step components: refused, and the answer says why.

use arcadia::step::{CompileError, Compiled, DescribeError};

use crate::step_guest::{Guest, MANIFEST, RUNTIME, WIT, component};

fn refused(wasm: Vec<u8>) -> CompileError {
    RUNTIME.compile(wasm.into()).expect_err("it was taken")
}

fn text(component: &str) -> Vec<u8> {
    wat::parse_str(component).expect("the component's text parses")
}

#[test]
fn a_step_component_tells_what_it_is() {
    let guest = Guest {
        imports: r#"(import "arcadia:step/info@0.1.0" "now-ms" (func $now (result i64)))"#,
        ..Guest::default()
    };
    let wasm = guest.wasm();
    let compiled: Compiled = RUNTIME.compile(wasm.clone().into()).unwrap();
    assert_eq!(compiled.size_bytes(), wasm.len());
    assert_eq!(compiled.digest(), arcadia::saga::id::sha256_hex(&wasm));
    assert!(
        compiled.imports().contains(&"arcadia:step/info@0.1.0".to_owned()),
        "{:?}",
        compiled.imports()
    );
    let wit = compiled.wit().expect("its world can be written");
    assert!(wit.contains("export arcadia:step/step@0.1.0;"), "{wit}");
    assert!(wit.contains("import arcadia:step/info@0.1.0;"), "{wit}");
}

#[test]
fn what_is_no_component_is_called_by_its_name() {
    assert_eq!(refused(Vec::new()), CompileError::NotAComponent);
    assert_eq!(refused(b"hello, world".to_vec()), CompileError::NotAComponent);
    assert_eq!(refused(text("(module)")), CompileError::CoreModule);
}

#[test]
fn a_foreign_import_is_named() {
    assert_eq!(
        refused(text(r#"(component (import "wasi:http/types@0.2.0" (instance)))"#)),
        CompileError::ForeignImport {
            name: "wasi:http/types@0.2.0".to_owned(),
        }
    );
    assert_eq!(
        refused(text(r#"(component (import "launch" (func)))"#)),
        CompileError::ForeignImport {
            name: "launch".to_owned(),
        }
    );
}

#[test]
fn a_function_that_the_host_does_not_have_is_named() {
    let wit = WIT.replace("interface info {", "interface info { teleport: func();");
    let wasm = component(
        &wit,
        r#"(module
            (import "arcadia:step/info@0.1.0" "teleport" (func $teleport))
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
            (func (export "arcadia:step/step@0.1.0#describe") (result i32) (call $teleport) (unreachable))
            (func (export "arcadia:step/step@0.1.0#run") (param i32) (result i32) (unreachable))
            (func (export "arcadia:step/step@0.1.0#compensate") (param i32) (result i32) (unreachable)))"#,
    );
    assert_eq!(
        refused(wasm),
        CompileError::ForeignImport {
            name: "arcadia:step/info@0.1.0#teleport".to_owned(),
        }
    );
}

#[test]
fn a_component_without_the_step_interface_is_of_the_wrong_world() {
    let CompileError::WrongWorld { what } = refused(text("(component)")) else {
        panic!("another error");
    };
    assert!(what.contains("arcadia:step/step@0.1.0"), "{what}");
}

#[test]
fn a_step_with_another_signature_is_of_the_wrong_world_and_the_function_is_named() {
    let wasm = component(
        "package arcadia:step@0.1.0;
        interface step { describe: func() -> u32; run: func(); compensate: func(); }
        world step-component { export step; }",
        r#"(module
            (func (export "arcadia:step/step@0.1.0#describe") (result i32) (unreachable))
            (func (export "arcadia:step/step@0.1.0#run") (unreachable))
            (func (export "arcadia:step/step@0.1.0#compensate") (unreachable)))"#,
    );
    let CompileError::WrongWorld { what } = refused(wasm) else {
        panic!("another error");
    };
    assert!(
        what.contains("the signature of describe is another one"),
        "{what}"
    );
}

#[test]
fn a_component_over_the_size_limit_is_refused_before_it_is_read() {
    let error = refused(vec![0; (64 << 20) + 1]);
    assert_eq!(
        error.to_string(),
        "67108865 bytes are more than the limit of 67108864"
    );
}

#[test]
fn a_truncated_component_is_refused_wherever_it_was_cut() {
    let wasm = Guest::default().wasm();
    for length in (0..wasm.len()).step_by(7) {
        refused(wasm[..length].to_vec());
    }
}

#[test]
fn broken_bytes_never_end_the_host() {
    let wasm = Guest::default().wasm();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut taken = 0;
    for _ in 0..400 {
        let mut broken = wasm.clone();
        for _ in 0..=next() % 4 {
            let at = next() as usize % broken.len();
            broken[at] = next() as u8;
        }
        taken += u32::from(RUNTIME.compile(broken.into()).is_ok());
    }
    println!("{taken} of 400 broken components still compile");
    for _ in 0..200 {
        let length = next() as usize % 4_096;
        let mut noise = b"\0asm\x0d\0\x01\0".to_vec();
        noise.extend((0..length).map(|_| next() as u8));
        refused(noise);
    }
}

#[tokio::test]
async fn describe_gives_the_manifest() {
    let manifest = RUNTIME.describe(&Guest::default().compiled()).await.unwrap();
    assert_eq!(manifest.name, "guest");
    assert_eq!(manifest.version.to_string(), "1.2.3");
    assert_eq!(manifest.json.as_str(), MANIFEST);
}

#[tokio::test]
async fn a_manifest_that_breaks_rules_is_refused_with_their_places() {
    let guest = Guest {
        manifest: r#"{"name":"Guest","run":{"max_attempts":0},"http":[{"service":"x","methods":[]}]}"#
            .to_owned(),
        ..Guest::default()
    };
    let Err(DescribeError::Manifest(violations)) = RUNTIME.describe(&guest.compiled()).await else {
        panic!("it was taken");
    };
    let places: Vec<&str> = violations
        .iter()
        .map(|violation| violation.pointer.as_str())
        .collect();
    assert_eq!(
        places,
        [
            "/name",
            "/version",
            "/run/max_attempts",
            "/http/0/methods",
            "/http/0/path_prefixes"
        ]
    );
}

#[tokio::test]
async fn describe_may_not_call_the_host() {
    let guest = Guest {
        imports: r#"(import "arcadia:step/info@0.1.0" "now-ms" (func $now (result i64)))"#,
        describe: "(drop (call $now))",
        ..Guest::default()
    };
    let Err(DescribeError::Trap(failure)) = RUNTIME.describe(&guest.compiled()).await else {
        panic!("it was allowed");
    };
    assert_eq!(failure.code, "describe-import");
    assert!(failure.message.contains("info.now-ms"), "{failure:?}");
}

#[tokio::test]
async fn describe_has_little_time() {
    let guest = Guest {
        describe: "(loop $spin (br $spin))",
        ..Guest::default()
    };
    assert_eq!(
        RUNTIME.describe(&guest.compiled()).await,
        Err(DescribeError::Timeout)
    );
}

#[tokio::test]
async fn a_manifest_that_asks_for_less_memory_than_the_component_begins_with_is_refused() {
    let guest = Guest {
        pages: 40,
        manifest: r#"{"name":"guest","version":"1.2.3","limits":{"memory_bytes":2621439}}"#.to_owned(),
        ..Guest::default()
    };
    let Err(DescribeError::Manifest(violations)) = RUNTIME.describe(&guest.compiled()).await else {
        panic!("it was taken");
    };
    assert_eq!(
        violations[0].to_string(),
        "/limits/memory_bytes: expected at least 2621440, which describe alone uses"
    );
}
