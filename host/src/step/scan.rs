//! The first look at an upload: what it is, how large, what it imports and exports. Reads the bytes once and compiles nothing, so
//! that what can't be run never costs compile time.

use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload};

use super::{
    CompileError,
    limits::{
        MAX_COMPONENT_BYTES, MAX_COMPONENTS, MAX_FUNCTION_BYTES, MAX_FUNCTIONS, MAX_INSTANCES, MAX_MODULES,
        MAX_NESTING, MAX_TYPES,
    },
};

/// The contract's package and version, as names of interfaces carry it.
const PACKAGE: &str = "arcadia:step/";
const VERSION: &str = "0.1.0";
const EXPORT: &str = "step";
const INTERFACES: [&str; 6] = ["context", "http", "info", "inventory", "log", "types"];

/// Interfaces of WASI 0.2 that are linked. Those of sockets and files are there because languages bring them along; they deny.
const WASI_VERSION: &str = "0.2.0";
const WASI: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

pub(super) struct Scanned {
    /// Names of the interfaces that the component imports, in its order.
    pub(super) imports: Vec<String>,
    /// The name under which it exports the step's functions.
    pub(super) export: String,
}

pub(super) fn scan(wasm: &[u8]) -> Result<Scanned, CompileError> {
    at_most("bytes", wasm.len(), MAX_COMPONENT_BYTES)?;
    if Parser::is_core_wasm(wasm) {
        return Err(CompileError::CoreModule);
    }
    if !Parser::is_component(wasm) {
        return Err(CompileError::NotAComponent);
    }
    let mut scan = Scan::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(invalid)?;
        scan.payload(&payload)?;
    }
    if let Some(foreign) = scan.imports.iter().find(|name| !is_known(name)) {
        return Err(CompileError::ForeignImport {
            name: foreign.clone(),
        });
    }
    match scan.export {
        Some(export) => Ok(Scanned {
            imports: scan.imports,
            export,
        }),
        None => Err(CompileError::WrongWorld {
            what: format!("it does not export the interface {PACKAGE}{EXPORT}@{VERSION}"),
        }),
    }
}

#[derive(Default)]
struct Scan {
    depth: usize,
    modules: usize,
    components: usize,
    functions: usize,
    instances: usize,
    types: usize,
    imports: Vec<String>,
    export: Option<String>,
}

impl Scan {
    fn payload(&mut self, payload: &Payload<'_>) -> Result<(), CompileError> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.depth += 1;
                at_most("levels of nesting", self.depth, MAX_NESTING)?;
                match encoding {
                    Encoding::Module => add(&mut self.modules, 1, "core modules", MAX_MODULES),
                    Encoding::Component => add(&mut self.components, 1, "components", MAX_COMPONENTS),
                }
            }
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Payload::FunctionSection(section) => {
                add(&mut self.functions, section.count(), "functions", MAX_FUNCTIONS)
            }
            Payload::CodeSectionEntry(body) => {
                at_most("bytes of one function", body.range().len(), MAX_FUNCTION_BYTES)
            }
            Payload::InstanceSection(section) => {
                add(&mut self.instances, section.count(), "instances", MAX_INSTANCES)
            }
            Payload::ComponentInstanceSection(section) => {
                add(&mut self.instances, section.count(), "instances", MAX_INSTANCES)
            }
            Payload::TypeSection(section) => add(&mut self.types, section.count(), "types", MAX_TYPES),
            Payload::CoreTypeSection(section) => add(&mut self.types, section.count(), "types", MAX_TYPES),
            Payload::ComponentTypeSection(section) => {
                add(&mut self.types, section.count(), "types", MAX_TYPES)
            }
            Payload::ComponentImportSection(section) if self.depth == 1 => {
                for import in section.clone() {
                    self.imports.push(import.map_err(invalid)?.name.name.to_owned());
                }
                Ok(())
            }
            Payload::ComponentExportSection(section) if self.depth == 1 => {
                for export in section.clone() {
                    let export = export.map_err(invalid)?;
                    if export.kind == ComponentExternalKind::Instance && is_step(export.name.name) {
                        self.export = Some(export.name.name.to_owned());
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn is_known(name: &str) -> bool {
    let Some((interface, version)) = name.split_once('@') else {
        return false;
    };
    match interface.strip_prefix(PACKAGE) {
        Some(own) => INTERFACES.contains(&own) && is_compatible(version, VERSION),
        None => WASI.contains(&interface) && is_compatible(version, WASI_VERSION),
    }
}

fn is_step(name: &str) -> bool {
    name.strip_prefix(PACKAGE)
        .and_then(|own| own.split_once('@'))
        .is_some_and(|(own, version)| own == EXPORT && is_compatible(version, VERSION))
}

/// Below 1.0 the minor number tells what fits together.
fn is_compatible(version: &str, ours: &str) -> bool {
    match (semver::Version::parse(version), semver::Version::parse(ours)) {
        (Ok(version), Ok(ours)) => {
            version.pre.is_empty() && (version.major, version.minor) == (ours.major, ours.minor)
        }
        _ => false,
    }
}

fn add(sum: &mut usize, more: u32, what: &'static str, limit: u32) -> Result<(), CompileError> {
    *sum = sum.saturating_add(more as usize);
    at_most(what, *sum, limit as usize)
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), CompileError> {
    if found > limit {
        Err(CompileError::TooLarge { what, found, limit })
    } else {
        Ok(())
    }
}

fn invalid(error: wasmparser::BinaryReaderError) -> CompileError {
    CompileError::Invalid(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_known_by_its_name_and_a_compatible_version() {
        for known in [
            "arcadia:step/http@0.1.0",
            "arcadia:step/types@0.1.7",
            "wasi:cli/exit@0.2.0",
            "wasi:io/streams@0.2.99",
        ] {
            assert!(is_known(known), "{known}");
        }
        for foreign in [
            "arcadia:step/http",
            "arcadia:step/http@0.2.0",
            "arcadia:step/http@1.0.0",
            "arcadia:step/step@0.1.0",
            "arcadia:steps/http@0.1.0",
            "wasi:http/types@0.2.0",
            "wasi:cli/exit@0.3.0",
            "wasi:cli/exit@0.2.0-rc-2023",
            "foo",
        ] {
            assert!(!is_known(foreign), "{foreign}");
        }
    }
}
