//! The migrations are embedded by a macro: cargo has to know that a new file among them is a reason to build again.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
