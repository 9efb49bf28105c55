//! The engine on the CPU: explicit forward and backward passes, no tape.

pub mod adamw;
pub mod attention;
pub mod cpu;
pub mod experts;
pub mod head;
pub mod kernel;
pub mod layout;
pub mod matmul;
pub mod network;
pub mod real;
pub mod snapshot;
