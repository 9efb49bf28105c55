//! Plans of sweeps: their text, and the jobs made of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match lehr_train::sweep::plan::PlanFile::parse("plan.toml", text) {
        Ok(plan) => {
            // Horizons of a thousand million updates are sound; writing them out for every job is not what is tested here.
            if plan.plan.grid.iter().flat_map(|grid| &grid.total).any(|total| *total > 10_000) {
                return;
            }
            match lehr_train::sweep::Graph::new(&plan, 32) {
                Ok(graph) => assert!(graph.jobs.iter().all(|job| job.first() < job.last())),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
