#!/usr/bin/env bash
# steps-wasm/build.sh [--check]
#
# Builds the step components and writes what they were built from.
#
#   build.sh           builds every component into components/ (the five steps that the binary embeds) and examples/components/
#                      (noop and the scripted ones; those written in C have a build.sh of their own beside them), and writes
#                      components.lock.json into both folders
#   build.sh --check   builds into a temporary folder and compares with what is committed; writes nothing else
#
# The target wasm32-unknown-unknown is the installed one, else one that .ci/wasm-target makes under
# ${XDG_CACHE_HOME:-$HOME/.cache}/arcadia-wasm.
#
# The same rustc and the same standard library give the same bytes, in any folder on any machine: three prefixes are remapped,
# so that no path of the machine gets into a component. A standard library from elsewhere gives other bytes and the same
# behaviour. --check compares bytes where rustc and the standard library are the recorded ones, else the imports, exports and
# manifests, and says which comparison it made.
#
# The lock:
#   rustc       the first line of `rustc -vV`
#   std_sha256  of libstd-*.rlib of the target
#   components  by name: sha256 and size_bytes of the file, and inputs_sha256: over the lines "<sha256 of a file>  <its path
#               from the root of the repository>\n", sorted bytewise by path, of every file that goes into it. These are
#               wit/*.wit, steps-wasm/Cargo.toml, steps-wasm/Cargo.lock, and Cargo.toml, manifest.json and src/** of the step's
#               crate and of each crate of this workspace that it is built on (folders/ below). tests/ doesn't go into it.
#
# Exit codes: 0 as wished; 1 --check found a difference; anything else: a tool failed.
set -euo pipefail
export LC_ALL=C

TARGET=wasm32-unknown-unknown
STEPS="create-droplet wait-droplet-active register-droplet destroy-droplet create-droplet-snapshot"
EXAMPLES="noop scripted scripted-pivot"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
workspace=$root/steps-wasm
cd "$workspace"
check=no
case "$#:${1:-}" in
    0:) ;;
    1:--check) check=yes ;;
    *) echo "use: steps-wasm/build.sh [--check]" >&2; exit 2 ;;
esac

PATH=$("$root/.ci/wasm-target" "${XDG_CACHE_HOME:-$HOME/.cache}/arcadia-wasm")
export PATH
rustc_version=$(rustc -vV | sed -n 1p)
library=$(rustc --print target-libdir --target $TARGET)
std_sha256=$(cat "$library"/libstd-*.rlib | sha256sum | cut -d' ' -f1)

# The crates of this workspace that a component is built from, as folders below steps-wasm/.
folders() { # name
    case $1 in
        noop) echo "guest examples/noop" ;;
        scripted | scripted-pivot) echo "guest examples/script examples/$1" ;;
        *) echo "digitalocean droplets guest $1" ;;
    esac
}

manifest() { # name
    case " $EXAMPLES " in
        *" $1 "*) echo "examples/$1/manifest.json" ;;
        *) echo "$1/manifest.json" ;;
    esac
}

inputs_sha256() { # name
    local folder
    {
        printf '%s\n' wit/*.wit steps-wasm/Cargo.toml steps-wasm/Cargo.lock
        for folder in $(folders "$1"); do
            find "steps-wasm/$folder/Cargo.toml" "steps-wasm/$folder/src" -type f
            if [ -f "steps-wasm/$folder/manifest.json" ]; then echo "steps-wasm/$folder/manifest.json"; fi
        done
    } | sort | xargs sha256sum | sha256sum | cut -d' ' -f1
}

# No path of this machine may get into a component: the sources of the standard library, of the crates and of this workspace
# appear under the names that official builds use, or under /step.
remapped() {
    local commit crates flags
    commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
    flags="--remap-path-prefix=$(rustc --print sysroot)/lib/rustlib/src/rust=/rustc/$commit"
    flags+=$'\x1f'"--remap-path-prefix=$workspace=/step"
    for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        flags+=$'\x1f'"--remap-path-prefix=$crates=/rust/deps"
    done
    printf '%s' "$flags"
}

# One crate at a time: built together, they would share features that a single build doesn't have.
build() { # name
    CARGO_ENCODED_RUSTFLAGS=$rustflags cargo build --quiet --locked --release --target $TARGET --package "$1" \
        --config "target.$TARGET.linker=\"wasm-component-ld\""
}

# Where a build leaves its file.
built() { # name
    local name=${1//-/_}
    echo "${CARGO_TARGET_DIR:-$workspace/target}/$TARGET/release/$name.wasm"
}

write_lock() { # folder names...
    local folder=$1 name separator=""
    shift
    {
        printf '{\n  "rustc": "%s",\n  "std_sha256": "%s",\n  "components": {' "$rustc_version" "$std_sha256"
        for name in "$@"; do
            printf '%s\n    "%s": {\n' "$separator" "$name"
            printf '      "sha256": "%s",\n' "$(sha256sum < "$folder/$name.wasm" | cut -d' ' -f1)"
            printf '      "inputs_sha256": "%s",\n' "$(cd "$root" && inputs_sha256 "$name")"
            printf '      "size_bytes": %s\n    }' "$(stat -c %s "$folder/$name.wasm")"
            separator=,
        done
        printf '\n  }\n}\n'
    } > "$folder/components.lock.json"
}

# Compare what was built now with what is committed.
compare() { # committed folder, names...
    local committed=$1 name same=0
    shift
    if grep -qF "\"rustc\": \"$rustc_version\"" "$committed/components.lock.json" &&
        grep -qF "\"std_sha256\": \"$std_sha256\"" "$committed/components.lock.json"; then
        echo "$committed: comparing bytes ($rustc_version, the recorded standard library)"
        for name in "$@"; do
            if cmp -s "$committed/$name.wasm" "$(built "$name")"; then continue; fi
            echo "$committed/$name.wasm: the bytes differ from what is built now"
            same=1
        done
    else
        echo "$committed: comparing imports, exports and manifests (another rustc or standard library than the recorded one)"
        for name in "$@"; do
            inspect "$committed/$name.wasm" "$(manifest "$name")" > "$scratch/committed.wit" || same=1
            inspect "$(built "$name")" "$(manifest "$name")" > "$scratch/built.wit" || same=1
            if cmp -s "$scratch/committed.wit" "$scratch/built.wit"; then continue; fi
            echo "$committed/$name.wasm: imports or exports differ from what is built now"
            same=1
        done
    fi
    return $same
}

inspect() { # file manifest
    cargo run --quiet --locked --package inspect -- "$1" "$2"
}

cargo fetch --quiet --locked
rustflags=$(remapped)
for name in $STEPS $EXAMPLES; do
    echo "building $name"
    build "$name"
done

if [ $check = yes ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    result=0
    compare components $STEPS || result=1
    compare examples/components $EXAMPLES || result=1
    [ $result = 0 ] && echo "nothing differs"
    exit $result
fi

mkdir -p components examples/components
for name in $STEPS; do cp "$(built "$name")" "components/$name.wasm"; done
for name in $EXAMPLES; do cp "$(built "$name")" "examples/components/$name.wasm"; done
write_lock components $STEPS
write_lock examples/components $EXAMPLES
ls -l components/*.wasm examples/components/*.wasm
