//! A sweep trains every run as if it had been trained alone, whatever is killed in between.

#[path = "sweep/branching.rs"]
mod branching;
#[path = "sweep/damage.rs"]
mod damage;
#[path = "sweep/killing.rs"]
mod killing;
#[path = "sweep/planning.rs"]
mod planning;
#[path = "sweep/support.rs"]
mod support;
