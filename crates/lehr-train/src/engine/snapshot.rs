//! Snapshots: weights, optimiser state and the number of updates, in one safetensors file that appears whole or not at all.

use super::layout::Tensor;
use crate::error::TrainError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::Path;

/// Version of the format.
const VERSION: &str = "1";

/// What a snapshot holds.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// Everything that decides the losses, as JSON; a snapshot of another configuration is refused.
    pub identity: String,
    /// Updates done.
    pub completed: u64,
    /// Weights.
    pub parameters: &'a [f32],
    /// First moments.
    pub first: &'a [f32],
    /// Second moments.
    pub second: &'a [f32],
}

/// What was read back.
#[derive(Debug)]
pub struct Loaded {
    /// Updates done.
    pub completed: u64,
    /// Weights.
    pub parameters: Vec<f32>,
    /// First moments.
    pub first: Vec<f32>,
    /// Second moments.
    pub second: Vec<f32>,
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Writes `data` to `file` by way of a temporary file beside it, flushed to the disk before it takes the name.
///
/// # Errors
/// [`TrainError::File`].
pub fn write_atomically(file: &Path, data: &[u8]) -> Result<(), TrainError> {
    use std::io::Write;
    let error = |action, source| TrainError::File { file: file.to_owned(), action, source };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = folder.join(format!(".{name}.{}.part", std::process::id()));
    let written = std::fs::File::create(&temporary)
        .and_then(|mut output| output.write_all(data).and_then(|()| output.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, file));
    if let Err(source) = written {
        // The error that is reported is the first one; the leftover is ours.
        let _ = std::fs::remove_file(&temporary);
        return Err(error("write", source));
    }
    // The name itself must survive a crash, too; a file system that cannot flush a folder keeps the file all the same.
    if let Ok(folder) = std::fs::File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Writes a snapshot.
///
/// # Errors
/// [`TrainError::File`], [`TrainError::Snapshot`] when the tensors cannot be encoded.
pub fn save(file: &Path, tensors: &[Tensor], snapshot: &Snapshot<'_>) -> Result<(), TrainError> {
    let error = |problem: String| TrainError::Snapshot {
        file: file.to_owned(),
        problem,
        expected: "a snapshot that safetensors can encode".to_owned(),
    };
    let mut buffers = Vec::new();
    for tensor in tensors {
        for (prefix, values) in [
            ("", snapshot.parameters),
            ("optimiser.first.", snapshot.first),
            ("optimiser.second.", snapshot.second),
        ] {
            let name = format!("{prefix}{}", tensor.name);
            buffers.push((name, tensor.shape.clone(), bytes(&values[tensor.range.clone()])));
        }
    }
    let views: Result<Vec<_>, _> = buffers
        .iter()
        .map(|(name, shape, data)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect();
    let views = views.map_err(|problem: safetensors::SafeTensorError| error(problem.to_string()))?;
    let checksum = buffers.iter().fold(0u32, |sum, (_, _, data)| crc32fast_of(sum, data));
    let metadata = HashMap::from([
        ("lehr.format".to_owned(), VERSION.to_owned()),
        ("lehr.completed".to_owned(), snapshot.completed.to_string()),
        ("lehr.identity".to_owned(), snapshot.identity.clone()),
        ("lehr.crc32".to_owned(), checksum.to_string()),
    ]);
    let data = safetensors::serialize(views, Some(metadata)).map_err(|problem| error(problem.to_string()))?;
    write_atomically(file, &data)
}

/// CRC-32 of `data`, going on from `sum`.
fn crc32fast_of(sum: u32, data: &[u8]) -> u32 {
    let mut hasher = flate2::Crc::new();
    hasher.update(&sum.to_le_bytes());
    hasher.update(data);
    hasher.sum()
}

/// Reads a snapshot of the configuration `identity`.
///
/// # Errors
/// [`TrainError::File`]; [`TrainError::Snapshot`] when it is broken or of another configuration.
pub fn load(file: &Path, tensors: &[Tensor], identity: &str) -> Result<Loaded, TrainError> {
    let error = |problem: String, expected: &str| TrainError::Snapshot {
        file: file.to_owned(),
        problem,
        expected: expected.to_owned(),
    };
    let whole = "a whole snapshot; delete it and resume from an earlier one or from the start";
    let data = std::fs::read(file).map_err(|source| TrainError::File {
        file: file.to_owned(),
        action: "read",
        source,
    })?;
    let broken = |problem: safetensors::SafeTensorError| error(format!("not readable: {problem}"), whole);
    let (_, header) = SafeTensors::read_metadata(&data).map_err(broken)?;
    let read = SafeTensors::deserialize(&data).map_err(broken)?;
    let empty = HashMap::new();
    let metadata = header.metadata().as_ref().unwrap_or(&empty);
    let stated = |key: &str| metadata.get(key).map(String::as_str);
    if stated("lehr.format") != Some(VERSION) {
        let found = stated("lehr.format").unwrap_or("none");
        return Err(error(format!("its format is {found}"), "a snapshot of format 1, written by lehr train"));
    }
    if stated("lehr.identity") != Some(identity) {
        let found = stated("lehr.identity").unwrap_or("nothing");
        return Err(error(
            format!("it belongs to another configuration: {found}"),
            &format!("a snapshot of {identity}"),
        ));
    }
    let completed = stated("lehr.completed").and_then(|text| text.parse().ok());
    let completed = completed.ok_or_else(|| error("no number of updates".to_owned(), whole))?;
    let length = tensors.last().map_or(0, |tensor| tensor.range.end);
    let mut loaded = Loaded {
        completed,
        parameters: vec![0.0; length],
        first: vec![0.0; length],
        second: vec![0.0; length],
    };
    let mut checksum = 0;
    for tensor in tensors {
        for (prefix, values) in [
            ("", &mut loaded.parameters),
            ("optimiser.first.", &mut loaded.first),
            ("optimiser.second.", &mut loaded.second),
        ] {
            let name = format!("{prefix}{}", tensor.name);
            let view = read.tensor(&name).map_err(broken)?;
            if view.dtype() != Dtype::F32 || view.shape() != tensor.shape {
                let found = format!("tensor {name} is {:?} {:?}", view.dtype(), view.shape());
                return Err(error(found, &format!("F32 {:?}", tensor.shape)));
            }
            checksum = crc32fast_of(checksum, view.data());
            let (numbers, _) = view.data().as_chunks::<4>();
            for (value, number) in values[tensor.range.clone()].iter_mut().zip(numbers) {
                *value = f32::from_le_bytes(*number);
            }
        }
    }
    if stated("lehr.crc32") != Some(checksum.to_string().as_str()) {
        return Err(error("its checksum does not match its tensors".to_owned(), whole));
    }
    Ok(loaded)
}
