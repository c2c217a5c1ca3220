//! `inspect FILE MANIFEST`: what a component imports and exports, as WIT, and whether it holds the manifest.
//!
//! For `build.sh --check`, where two toolchains give different bytes for the same step: what it prints has to be the same.

use std::fs;

use anyhow::{Context, Result, bail};
use wit_component::{DecodedWasm, WitPrinter};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, manifest] = arguments.as_slice() else {
        bail!("use: inspect FILE MANIFEST")
    };
    let bytes = fs::read(file).with_context(|| format!("{file} can't be read"))?;
    let manifest_bytes = fs::read(manifest).with_context(|| format!("{manifest} can't be read"))?;
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&bytes)? else {
        bail!("{file} is no component");
    };
    if !bytes
        .windows(manifest_bytes.len())
        .any(|window| window == manifest_bytes)
    {
        bail!("{file} doesn't hold {manifest}");
    }
    let package = resolve.worlds[world]
        .package
        .context("a world without a package")?;
    let others: Vec<_> = resolve
        .packages
        .iter()
        .map(|(id, _)| id)
        .filter(|id| *id != package)
        .collect();
    let mut printer = WitPrinter::default();
    printer.print(&resolve, package, &others)?;
    println!("{}", printer.output);
    Ok(())
}
