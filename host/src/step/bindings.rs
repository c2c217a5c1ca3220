//! The contract (`wit/`) as Rust: what a component exports, and the traits behind what it imports.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "step-component",
    imports: {
        "arcadia:step/context.checkpoint": async | trappable,
        "arcadia:step/http.fetch": async | trappable,
        "arcadia:step/http.recall": async | trappable,
        "arcadia:step/inventory.get": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
