//! The points of one job, one record an update, with all their bits.
//!
//! ```text
//! record  56 bytes, little-endian:  update u64 │ loss f64 │ gradient norm f64 │ validation f64 │ balance f64 │ z f64
//!         │ sequence gradient norm f64
//!         NaN stands for a value that was not measured
//! ```
//! The journal is flushed to the disk before every snapshot, so it always reaches at least as far as the newest one;
//! what it holds beyond the snapshot that a job resumes from is cut off and trained again, to the same bits.

use crate::config::ModelConfig;
use crate::error::TrainError;
use crate::expert_tokens;
use crate::run_config::RunConfig;
use crate::sweep::error::{SweepError, at};
use crate::trainer::Trainer;
use flate2::Crc;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What one update measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// The update, 1 … T.
    pub update: u64,
    /// Loss of the update's batch before the update, nats per token.
    pub loss: f64,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Validation loss after the update, nats per token.
    pub validation: Option<f64>,
    /// Load-balance loss of a mixture of experts.
    pub balance_loss: Option<f64>,
    /// Router z-loss of a mixture of experts.
    pub z_loss: Option<f64>,
    /// Root mean square norm of the gradients of the batch's single sequences, where it was measured.
    pub sequence_gradient_norm: Option<f64>,
}

/// Bytes of a record.
pub const RECORD: u64 = 56;

impl Record {
    /// As stored.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; RECORD as usize] {
        let mut bytes = [0; RECORD as usize];
        let or_nan = |value: Option<f64>| value.unwrap_or(f64::NAN).to_bits();
        let words = [
            self.update,
            self.loss.to_bits(),
            self.gradient_norm.to_bits(),
            or_nan(self.validation),
            or_nan(self.balance_loss),
            or_nan(self.z_loss),
            or_nan(self.sequence_gradient_norm),
        ];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut words = [0_u64; 7];
        for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(from);
            *word = u64::from_le_bytes(eight);
        }
        let measured = |bits| Some(f64::from_bits(bits)).filter(|value| !value.is_nan());
        Self {
            update: words[0],
            loss: f64::from_bits(words[1]),
            gradient_norm: f64::from_bits(words[2]),
            validation: measured(words[3]),
            balance_loss: measured(words[4]),
            z_loss: measured(words[5]),
            sequence_gradient_norm: measured(words[6]),
        }
    }
}

/// The next update of a run of `total` updates, with what its configuration has measured before and after it.
///
/// # Errors
/// [`TrainError::Diverged`] when anything measured is not finite; [`TrainError`] when data cannot be read.
pub fn advance(
    trainer: &mut dyn Trainer,
    config: &RunConfig,
    rate: f64,
    total: u64,
) -> Result<Record, TrainError> {
    let update = trainer.completed() + 1;
    let finite = |quantity, value: f64| {
        if value.is_finite() { Ok(value) } else { Err(TrainError::Diverged { update, quantity, value }) }
    };
    let measured = config.measures_noise_at(update);
    let sequence_gradient_norm = measured.then(|| trainer.sequence_gradient_norm()).transpose()?;
    let report = trainer.update(rate)?;
    let validates = config.validates_at(update, total);
    let validation = validates.then(|| trainer.evaluate()).transpose()?;
    Ok(Record {
        update,
        loss: finite("loss", report.loss)?,
        gradient_norm: finite("gradient norm", report.gradient_norm)?,
        validation: validation.map(|loss| finite("validation loss", loss)).transpose()?,
        balance_loss: report.balance_loss,
        z_loss: report.z_loss,
        sequence_gradient_norm,
    })
}

/// Number of whole records in a journal; 0 where there is none.
#[must_use]
pub fn records_in(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |meta| meta.len() / RECORD)
}

/// The records of a journal; a half-written last one is passed over. `first` updates were done before its first record.
///
/// # Errors
/// [`SweepError::Train`] when it cannot be read; [`SweepError::Folder`] when its updates do not follow one another.
pub fn read(file: &Path, first: u64) -> Result<Vec<Record>, SweepError> {
    let mut bytes = Vec::new();
    match File::open(file) {
        Ok(mut open) => open.read_to_end(&mut bytes).map_err(at(file, "read"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(file, "read")(error)),
    };
    let records: Vec<Record> = bytes.chunks_exact(RECORD as usize).map(Record::from_bytes).collect();
    for (i, record) in records.iter().enumerate() {
        let wanted = first + i as u64 + 1;
        if record.update != wanted {
            return Err(SweepError::Folder {
                place: file.to_path_buf(),
                problem: format!("record {} is of update {}", i + 1, record.update),
                expected: format!("update {wanted}; remove this job's files to train it again"),
            });
        }
    }
    Ok(records)
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
    sum: Crc,
    records: u64,
    /// Of a mixture of experts, the file beside: tokens per expert.
    experts: Option<Experts>,
}

/// The file beside a journal.
#[derive(Debug)]
struct Experts {
    path: PathBuf,
    file: BufWriter<File>,
    sum: Crc,
}

/// What a journal held when it was last put on the disk: enough to tell whether it still does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Number of records.
    pub records: u64,
    /// CRC-32 of their bytes.
    pub crc32: u32,
    /// CRC-32 of the bytes beside, of a mixture of experts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts_crc32: Option<u32>,
}

impl Seal {
    /// The seal of the first `records` records of a journal as it is on the disk, with `width` tokens of experts beside each;
    /// `None` where it has fewer.
    ///
    /// # Errors
    /// [`SweepError::Train`] when a file cannot be read.
    pub fn of(path: &Path, records: u64, width: usize) -> Result<Option<Self>, SweepError> {
        let Some(points) = sum_of(path, records * RECORD)? else { return Ok(None) };
        let experts_crc32 = match width {
            0 => None,
            width => match sum_of(&expert_tokens::file_beside(path), records * 4 * width as u64)? {
                Some(sum) => Some(sum.sum()),
                None => return Ok(None),
            },
        };
        Ok(Some(Self { records, crc32: points.sum(), experts_crc32 }))
    }
}

/// The checksum of a file's first bytes; `None` where it has fewer.
fn sum_of(path: &Path, bytes: u64) -> Result<Option<Crc>, SweepError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && bytes == 0 => {
            return Ok(Some(Crc::new()));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path, "read")(error)),
    };
    let (mut sum, mut left) = (Crc::new(), bytes);
    let mut buffer = vec![0; 1 << 16];
    let mut file = file.take(bytes);
    while left > 0 {
        match file.read(&mut buffer).map_err(at(path, "read"))? {
            0 => return Ok(None),
            read => {
                sum.update(&buffer[..read]);
                left -= read as u64;
            }
        }
    }
    Ok(Some(sum))
}

/// Opens a file of records and cuts it to its first `keep`, with their checksum; `None` when it has fewer.
fn open_at(path: &Path, keep: u64, record: u64) -> Result<Option<(BufWriter<File>, Crc)>, SweepError> {
    let mut file = rewritable(path).map_err(at(path, "open"))?;
    let length = file.metadata().map_err(at(path, "read"))?.len();
    if length < keep * record {
        return Ok(None);
    }
    let Some(sum) = sum_of(path, keep * record)? else { return Ok(None) };
    file.set_len(keep * record).map_err(at(path, "cut"))?;
    file.seek(SeekFrom::End(0)).map_err(at(path, "read"))?;
    Ok(Some((BufWriter::with_capacity(64 * record as usize, file), sum)))
}

/// Opens a file to read and write what is there; makes it where it is not.
///
/// # Errors
/// As the system's.
pub(super) fn rewritable(path: &Path) -> std::io::Result<File> {
    File::options().create(true).truncate(false).read(true).write(true).open(path)
}

impl Journal {
    /// Opens a model's journal and cuts it to its first `keep` records; `None` when it has fewer.
    ///
    /// # Errors
    /// [`SweepError::Train`] when it cannot be opened or cut.
    pub fn open(path: &Path, keep: u64, model: &ModelConfig) -> Result<Option<Self>, SweepError> {
        let Some((file, sum)) = open_at(path, keep, RECORD)? else { return Ok(None) };
        let experts = match expert_tokens::width(model) {
            0 => None,
            width => {
                let path = expert_tokens::file_beside(path);
                let Some((file, sum)) = open_at(&path, keep, 4 * width as u64)? else { return Ok(None) };
                Some(Experts { path, file, sum })
            }
        };
        Ok(Some(Self { path: path.to_path_buf(), file, sum, records: keep, experts }))
    }

    /// An empty journal that keeps no tokens of experts; `None` where what is there cannot be cut.
    ///
    /// # Errors
    /// [`SweepError::Train`] when it cannot be opened or cut.
    pub fn without_experts(path: &Path) -> Result<Option<Self>, SweepError> {
        let Some((file, sum)) = open_at(path, 0, RECORD)? else { return Ok(None) };
        Ok(Some(Self { path: path.to_path_buf(), file, sum, records: 0, experts: None }))
    }

    /// Adds a record, with the tokens that each expert got: `[layer][expert]`, empty for dense models.
    ///
    /// # Errors
    /// [`SweepError::Train`] when it cannot be written.
    pub fn push(&mut self, record: &Record, experts: &[Vec<u64>]) -> Result<(), SweepError> {
        let bytes = record.to_bytes();
        self.file.write_all(&bytes).map_err(at(&self.path, "write"))?;
        self.sum.update(&bytes);
        self.records += 1;
        if let Some(Experts { path, file, sum }) = &mut self.experts {
            for &tokens in experts.iter().flatten() {
                let bytes = u32::try_from(tokens).unwrap_or(u32::MAX).to_le_bytes();
                file.write_all(&bytes).map_err(at(path, "write"))?;
                sum.update(&bytes);
            }
        }
        Ok(())
    }

    /// What the journal holds, so that a reader can tell whether it still does.
    #[must_use]
    pub fn seal(&self) -> Seal {
        let experts_crc32 = self.experts.as_ref().map(|experts| experts.sum.sum());
        Seal { records: self.records, crc32: self.sum.sum(), experts_crc32 }
    }

    /// Hands what was added to the system, so that other processes see it.
    ///
    /// # Errors
    /// [`SweepError::Train`] when it cannot be written.
    pub fn show(&mut self) -> Result<(), SweepError> {
        if let Some(Experts { path, file, .. }) = &mut self.experts {
            file.flush().map_err(at(path, "write"))?;
        }
        self.file.flush().map_err(at(&self.path, "write"))
    }

    /// Puts what was added on the disk.
    ///
    /// # Errors
    /// [`SweepError::Train`] when it cannot be written.
    pub fn sync(&mut self) -> Result<(), SweepError> {
        self.show()?;
        if let Some(Experts { path, file, .. }) = &self.experts {
            file.get_ref().sync_data().map_err(at(path, "write"))?;
        }
        self.file.get_ref().sync_data().map_err(at(&self.path, "write"))
    }
}
