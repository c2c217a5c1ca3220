//! From bytes to a component that can be called: out of the cache, or compiled apart.

use std::sync::Arc;

use super::{Asked, CompileError, Compiled, Runtime, compiled::Checked, compiler::Code};

pub struct Loaded {
    pub component: Compiled,
    /// Code that was made just now, and is not in the cache yet.
    pub fresh: Option<Fresh>,
}

/// See [`Runtime::keep`].
pub struct Fresh {
    digest: String,
    code: Code,
}

impl Runtime {
    /// Checks, and compiles unless the code is in the cache. Compiling takes milliseconds to many seconds, by size, in a
    /// process that has its own [limits](super::CompilerOptions) and is killed when it is over them, or when the future is
    /// dropped. Must be called within a tokio runtime.
    pub async fn load(self: &Arc<Self>, wasm: Arc<[u8]>, asked: Asked) -> Result<Loaded, CompileError> {
        let (runtime, bytes) = (self.clone(), wasm.clone());
        let (checked, kept) = blocking(move || {
            let checked = Checked::of(&bytes)?;
            let kept = runtime.kept(&checked)?;
            Ok((checked, kept))
        })
        .await?;
        if let Some(component) = kept {
            return Ok(Loaded {
                component,
                fresh: None,
            });
        }
        let code = self.compiler.compile(&checked.digest, &wasm, asked).await?;
        let runtime = self.clone();
        blocking(move || {
            let component = Compiled::of_code(&runtime.linker, &checked, &code)?;
            let fresh = Fresh {
                digest: checked.digest,
                code,
            };
            Ok(Loaded {
                component,
                fresh: Some(fresh),
            })
        })
        .await
    }

    /// Puts code into the cache, so that it isn't compiled again after the next start. Whoever loads a component that may
    /// still be refused does so once it isn't: a refused upload leaves no trace.
    pub async fn keep(self: &Arc<Self>, fresh: Fresh) {
        let runtime = self.clone();
        let kept = blocking(move || {
            if let Some(cache) = &runtime.cache {
                cache.put(&fresh.digest, &fresh.code);
            }
            Ok(())
        });
        // Said in the log already; then it is compiled again.
        let _ = kept.await;
    }

    /// What is in the cache; one that the engine no longer takes isn't.
    fn kept(&self, checked: &Checked) -> Result<Option<Compiled>, CompileError> {
        let Some(cache) = &self.cache else { return Ok(None) };
        let Some(code) = cache.get(&checked.digest) else {
            return Ok(None);
        };
        match Compiled::of_code(&self.linker, checked, &code) {
            Ok(component) => Ok(Some(component)),
            Err(CompileError::Invalid(reason)) => {
                tracing::warn!(
                    digest = checked.digest,
                    reason,
                    "the engine does not take the code that was kept"
                );
                cache.forget(&checked.digest);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Apart from the threads that serve.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CompileError> + Send + 'static,
) -> Result<T, CompileError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        if error.is_cancelled() {
            return Err(CompileError::NoCompiler {
                reason: "the host is ending".to_owned(),
            });
        }
        tracing::error!(%error, "a component made the host panic");
        Err(CompileError::Invalid("the host does not take it".to_owned()))
    })
}
