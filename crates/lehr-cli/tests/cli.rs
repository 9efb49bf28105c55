//! The command as a person or a program meets it: answers, errors, exit codes, the JSON contract, the reference.

#[path = "cli/answers.rs"]
mod answers;
#[path = "cli/clusters.rs"]
mod clusters;
#[path = "cli/contract.rs"]
mod contract;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/finals.rs"]
mod finals;
#[path = "cli/formats.rs"]
mod formats;
#[path = "cli/json_schema.rs"]
mod json_schema;
#[path = "cli/manifest.rs"]
mod manifest;
#[path = "cli/manners.rs"]
mod manners;
#[path = "cli/outside.rs"]
mod outside;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/reference.rs"]
mod reference;
#[path = "cli/report.rs"]
mod report;
#[path = "cli/reproduce.rs"]
mod reproduce;
#[path = "cli/robust.rs"]
mod robust;
#[path = "cli/running.rs"]
mod running;
#[path = "cli/serve.rs"]
mod serve;
#[path = "cli/support.rs"]
mod support;
#[path = "cli/sweep.rs"]
mod sweep;
#[path = "cli/train.rs"]
mod train;
