//! Tokens that each expert of a mixture got, update by update.
//!
//! Beside a journal of a mixture of experts lies a file of its name and the ending `.experts`: for every record of the
//! journal a number (u32, little-endian) for every layer and expert, layer after layer.

use crate::config::ModelConfig;
use crate::run_config::RunConfig;
use crate::sweep::error::{SweepError, at};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Tokens that one expert got over a stretch of updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ExpertTokens {
    /// Last update of the stretch, which begins after that of the stretch before.
    pub step: u64,
    /// Layer, from 0.
    pub layer: usize,
    /// Expert, from 0.
    pub expert: usize,
    /// Tokens routed to it, each once for every one of its top experts.
    pub tokens: u64,
}

/// Numbers an update: layers × experts; 0 for a dense model.
#[must_use]
pub fn width(model: &ModelConfig) -> usize {
    model.experts.as_ref().map_or(0, |experts| experts.count as usize * model.layers as usize)
}

/// The file beside a journal.
#[must_use]
pub fn file_beside(journal: &Path) -> PathBuf {
    // Names of jobs have dots in them: nothing is replaced.
    let mut name = journal.file_name().unwrap_or_default().to_os_string();
    name.push(".experts");
    journal.with_file_name(name)
}

/// The numbers of every record of a journal; empty where there are none.
///
/// # Errors
/// [`SweepError::Train`] when the file cannot be read.
pub fn read(journal: &Path, width: usize) -> Result<Vec<Vec<u32>>, SweepError> {
    let file = file_beside(journal);
    if width == 0 || !file.exists() {
        return Ok(Vec::new());
    }
    let bytes = std::fs::read(&file).map_err(at(&file, "read"))?;
    let (numbers, _) = bytes.as_chunks::<4>();
    Ok(numbers
        .chunks_exact(width)
        .map(|record| record.iter().map(|&four| u32::from_le_bytes(four)).collect())
        .collect())
}

/// Adds up the numbers between the validations of a run of `total` updates, `first` of which were done before the first
/// record.
#[must_use]
pub fn by_validation(records: &[Vec<u32>], config: &RunConfig, first: u64, total: u64) -> Vec<ExpertTokens> {
    let experts = config.model.experts.as_ref().map_or(1, |experts| experts.count as usize);
    let mut rows = Vec::new();
    let mut sums = vec![0_u64; width(&config.model)];
    let last = first + records.len() as u64;
    for (step, record) in (first + 1..).zip(records) {
        for (sum, &tokens) in sums.iter_mut().zip(record) {
            *sum += u64::from(tokens);
        }
        if config.validates_at(step, total) || step == last {
            for (i, tokens) in sums.iter_mut().enumerate() {
                let (layer, expert) = (i / experts, i % experts);
                rows.push(ExpertTokens { step, layer, expert, tokens: std::mem::take(tokens) });
            }
        }
    }
    rows
}

/// Rows as CSV with the columns `run,step,layer,expert,tokens`; the header stands before the first run.
#[must_use]
pub fn csv(runs: &[(String, Vec<ExpertTokens>)]) -> String {
    let mut text = "run,step,layer,expert,tokens\n".to_owned();
    for (run, rows) in runs {
        // Names may hold commas and quotes.
        let run = if run.contains([',', '"', '\n']) {
            format!("\"{}\"", run.replace('"', "\"\""))
        } else {
            run.clone()
        };
        for row in rows {
            text += &format!("{run},{},{},{},{}\n", row.step, row.layer, row.expert, row.tokens);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::preset;

    #[test]
    fn sums_between_validations_lose_no_token() {
        let model = preset("moe-8x0.03m").unwrap();
        let wide = width(&model);
        let config = RunConfig {
            model,
            optimiser: crate::OptimiserConfig::default(),
            data: crate::DataConfig::default(),
            batch: 2,
            seed: 0,
            validate_every: 3,
            noise_every: 0,
        };
        let records: Vec<Vec<u32>> =
            (0..7_u32).map(|t| (0..wide as u32).map(|i| 10 * t + i).collect()).collect();
        let rows = by_validation(&records, &config, 0, 7);
        assert_eq!(rows.len(), 3 * wide);
        assert_eq!(rows.iter().map(|row| row.step).max(), Some(7));
        let all: u64 = records.iter().flatten().map(|&n| u64::from(n)).sum();
        assert_eq!(rows.iter().map(|row| row.tokens).sum::<u64>(), all);
        // The first stretch of the last expert: updates 1 … 3.
        let last = rows[wide - 1];
        assert_eq!((last.step, last.tokens), (3, 30 + 3 * (wide as u64 - 1)));
        let text = csv(&[("a,b".to_owned(), rows[..1].to_vec())]);
        assert_eq!(text, "run,step,layer,expert,tokens\n\"a,b\",3,0,0,30\n");
    }
}
