//! The thin end: a component's exports, bound to plain functions.

/// Export `describe`, `run` and `compensate` as the world wants them. `run` takes (host, call), `compensate` also what is known
/// about `run`. On other targets than wasm there is nothing to export: tests call the functions.
#[macro_export]
macro_rules! component {
    ($manifest:expr, $run:expr, $compensate:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::Step for Component {
                fn describe() -> String {
                    $manifest.to_owned()
                }

                fn run(call: $crate::Invocation) -> Result<$crate::Outcome, $crate::StepError> {
                    $run(&$crate::Live, &call)
                }

                fn compensate(
                    call: $crate::Invocation,
                    prior: $crate::Prior,
                ) -> Result<$crate::Outcome, $crate::StepError> {
                    $compensate(&$crate::Live, &call, &prior)
                }
            }

    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}
