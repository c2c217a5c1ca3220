//! A component, checked and compiled: what a call begins with.

use std::{panic::AssertUnwindSafe, sync::Arc};

use wasmtime::component::{Component, Linker, types::ComponentItem};
use wit_component::{DecodedWasm, WitPrinter};

use super::{
    bindings::{StepComponentPre, arcadia::step::types},
    compiler::Code,
    scan::{Scanned, scan},
    state::GuestState,
};
use crate::saga::id::sha256_hex;

/// Cheap to clone. Instances are made from it without linking anew.
#[derive(Clone)]
pub struct Compiled(Arc<Inner>);

struct Inner {
    pre: StepComponentPre<GuestState>,
    digest: String,
    size_bytes: usize,
    imports: Vec<String>,
    wit: Option<String>,
}

/// Why bytes are no step component. Nothing of an upload is kept then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("not a WebAssembly component")]
    NotAComponent,
    #[error(
        "a core module, not a component: build it as a component (wasm-tools component new, or wasm-component-ld)"
    )]
    CoreModule,
    /// Not of this package, not of the WASI 0.2 that is linked, or a function of them that the host doesn't have.
    #[error("foreign import {name:?}: a step may import arcadia:step and WASI 0.2, and no more")]
    ForeignImport { name: String },
    #[error("not a component of the world arcadia:step/step-component: {what}")]
    WrongWorld { what: String },
    #[error("{found} {what} are more than the limit of {limit}")]
    TooLarge {
        what: &'static str,
        found: usize,
        limit: usize,
    },
    #[error("an invalid component: {0}")]
    Invalid(String),
    #[error("compiling it was given up: {0}")]
    Limit(CompileLimit),
    /// Compiling the same again most likely ends the same.
    #[error("the compiler failed on it ({status})")]
    Failed { status: String },
    /// Says nothing about the component: no process could be started, or it was ended from outside.
    #[error("the process that compiles does not do its work: {reason}")]
    NoCompiler { reason: String },
}

/// What compiling a component needed more of than it may use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileLimit {
    #[error("it needs more than {bytes} bytes of memory")]
    Memory { bytes: u64 },
    #[error("it takes more than {seconds} s of CPU time")]
    Cpu { seconds: u64 },
    #[error("it did not end within {seconds} s")]
    Wall { seconds: u64 },
    #[error("its machine code has more than {bytes} bytes")]
    Code { bytes: usize },
}

/// A component that is worth compiling.
pub(super) struct Checked {
    pub(super) digest: String,
    size_bytes: usize,
    scanned: Scanned,
}

impl Checked {
    pub(super) fn of(wasm: &[u8]) -> Result<Checked, CompileError> {
        Ok(Checked {
            scanned: scan(wasm)?,
            digest: sha256_hex(wasm),
            size_bytes: wasm.len(),
        })
    }
}

impl Compiled {
    /// In this process.
    pub(super) fn of_wasm(linker: &Linker<GuestState>, wasm: &[u8]) -> Result<Compiled, CompileError> {
        let checked = Checked::of(wasm)?;
        let component = Component::from_binary(linker.engine(), wasm).map_err(invalid)?;
        Compiled::link(linker, &component, &checked, wit(wasm))
    }

    pub(super) fn of_code(
        linker: &Linker<GuestState>,
        checked: &Checked,
        code: &Code,
    ) -> Result<Compiled, CompileError> {
        let component = code.component(linker.engine()).map_err(invalid)?;
        Compiled::link(linker, &component, checked, code.wit().map(str::to_owned))
    }

    fn link(
        linker: &Linker<GuestState>,
        component: &Component,
        checked: &Checked,
        wit: Option<String>,
    ) -> Result<Compiled, CompileError> {
        let Scanned { imports, export } = &checked.scanned;
        check_signatures(component, export)?;
        let pre = linker
            .instantiate_pre(component)
            .map_err(|error| CompileError::ForeignImport {
                name: unlinked(&format!("{error:#}")),
            })?;
        let pre = StepComponentPre::new(pre).map_err(|error| CompileError::WrongWorld {
            what: format!("{error:#}"),
        })?;
        Ok(Compiled(Arc::new(Inner {
            pre,
            digest: checked.digest.clone(),
            size_bytes: checked.size_bytes,
            imports: imports.clone(),
            wit,
        })))
    }

    pub(super) fn pre(&self) -> &StepComponentPre<GuestState> {
        &self.0.pre
    }

    /// sha256 of the component's bytes, 64 hex digits.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes
    }

    /// Interfaces that the component imports, with their versions.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// The component's world as WIT text; none when it can't be written as one.
    pub fn wit(&self) -> Option<&str> {
        self.0.wit.as_deref()
    }
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Compiled").field(&self.0.digest).finish()
    }
}

fn invalid(error: wasmtime::Error) -> CompileError {
    CompileError::Invalid(format!("{error:#}"))
}

/// The linker looks at what is imported only; what is exported is looked at here, so that no call ever finds another signature.
fn check_signatures(component: &Component, export: &str) -> Result<(), CompileError> {
    let engine = component.engine();
    let component_type = component.component_type();
    let types = component_type.instance_type();
    let wrong = |what: String| Err(CompileError::WrongWorld { what });
    let Some(ComponentItem::ComponentInstance(step)) =
        component_type.get_export(engine, export).map(|export| export.ty)
    else {
        return wrong(format!("{export} is not an interface"));
    };
    for name in ["describe", "run", "compensate"] {
        let Some(ComponentItem::ComponentFunc(function)) =
            step.get_export(engine, name).map(|export| export.ty)
        else {
            return wrong(format!("{export} has no function {name}"));
        };
        type Answer = (Result<types::Outcome, types::StepError>,);
        let fits = match name {
            "describe" => function.typecheck::<(), (String,)>(&types),
            "run" => function.typecheck::<(types::Invocation,), Answer>(&types),
            _ => function.typecheck::<(types::Invocation, types::Prior), Answer>(&types),
        };
        if let Err(error) = fits {
            return wrong(format!("the signature of {name} is another one: {error:#}"));
        }
    }
    Ok(())
}

/// The linker says `component imports instance `a:b/c@1.0.0`, but …: instance export `d` …`.
fn unlinked(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if quoted.is_empty() {
        message.to_owned()
    } else {
        quoted.join("#")
    }
}

/// For people only. The decoder is not made for hostile input, so a panic of it counts as "can't be written".
pub(super) fn wit(wasm: &[u8]) -> Option<String> {
    std::panic::catch_unwind(AssertUnwindSafe(|| {
        let DecodedWasm::Component(resolve, world) = wit_component::decode(wasm).ok()? else {
            return None;
        };
        let root = resolve.worlds[world].package?;
        let nested: Vec<_> = resolve
            .packages
            .iter()
            .map(|(id, _)| id)
            .filter(|id| *id != root)
            .collect();
        let mut printer = WitPrinter::default();
        printer.print(&resolve, root, &nested).ok()?;
        Some(printer.output.to_string())
    }))
    .ok()
    .flatten()
}
