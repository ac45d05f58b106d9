//! A stand-in for `cubecl-llvm`, so that the CUDA back end builds on a machine with nothing but Rust.
//!
//! The real crate's build script downloads LLVM. `cubecl-cuda` names it without condition, but never calls it when its
//! feature `cpp` is on: kernels are then compiled by NVIDIA's NVRTC, which is loaded when the program runs and makes
//! the better code on current GPUs anyway (it keeps TMA, asynchronous copies and clusters). This crate has the names
//! that `cubecl-cuda` 0.11.3 mentions, and refuses to compile anything.

use std::{ffi::c_char, fmt};

use cubecl_core::{Compiler, ir::nvidia::SmArch, prelude::KernelDefinition};
use cubecl_environment::backtrace::BackTrace;
use cubecl_runtime::{compiler::CompilationError, kernel::BufferIOAttr};

/// What the real compiler could make code for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// The host.
    #[default]
    Cpu,
    /// AMD GPUs.
    AmdGpu,
    /// NVIDIA GPUs.
    Nvptx,
}

/// Refuses every kernel.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// The target.
    pub target: LlvmTarget,
}

/// Options of the real compiler.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// CPU architecture.
    pub arch: Option<()>,
    /// GPU architecture.
    pub sm_arch: Option<SmArch>,
    /// PTX version.
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    /// Whether parameters are grid constants.
    pub grid_constants: bool,
}

/// A compiled module; none is ever made.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// PTX text.
    pub ptx: Vec<c_char>,
    /// Name of the kernel.
    pub entrypoint: String,
    /// Intermediate code.
    pub ir: String,
    /// Bytes of shared memory.
    pub shared_memory_size: usize,
    /// The kernel's buffers.
    pub io: Vec<BufferIOAttr>,
}

/// What the real compiler hands out.
#[derive(Clone, Debug)]
pub enum PlironArtifact {
    /// Code for an NVIDIA GPU.
    NvptxCode(NvptxModule),
    /// Nothing.
    Unsupported,
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("built without LLVM")
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(&mut self, _: KernelDefinition, _: &PlironOptions) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this program was built without LLVM; CUDA kernels go through NVRTC (feature cpp of cubecl-cuda)"
                .into(),
            backtrace: BackTrace::capture(),
        })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

/// Names of the NVIDIA target.
pub mod nvptx {
    /// PTX versions.
    pub mod ptx_version {
        use std::fmt;

        /// A PTX version.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct PtxVersion(u32);

        impl PtxVersion {
            /// The version a driver understands: none, for nothing is compiled.
            pub fn for_driver(_: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "ptx{}", self.0)
            }
        }
    }
}

/// Names shared by the GPU targets.
pub mod shared {
    /// What a target cannot do.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// A GPU target.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA.
            Nvptx,
        }

        /// The real crate removes features that it cannot compile; NVRTC can compile them all.
        pub fn restrict_features(_: &mut DeviceProperties, _: GpuTarget) {}
    }
}
