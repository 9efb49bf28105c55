//! The rates themselves: CSV, JSON, NumPy.

use super::{Contents, Draft};
use lehr::Schedule;

pub(super) fn csv(wanted: &[f64]) -> Draft {
    let mut text = String::from("step,lr\n");
    for (i, rate) in wanted.iter().enumerate() {
        text += &format!("{},{rate:e}\n", i + 1);
    }
    Draft::text("schedule.csv", text, wanted.to_vec())
        .note("row `step` is the rate that update `step` uses, counted from 1")
}

pub(super) fn json(schedule: &Schedule, wanted: &[f64]) -> Draft {
    let value = serde_json::json!({
        "version": 1,
        "text": schedule.to_string(),
        "family": schedule.family(),
        "schedule": schedule,
        "lr": wanted,
    });
    let text = serde_json::to_string(&value).unwrap_or_default() + "\n";
    Draft::text("schedule.json", text, wanted.to_vec()).note("lr[i] is the rate that update i + 1 uses")
}

/// NumPy's format 1.0: magic, header length, a Python dictionary padded to 64 bytes, the numbers.
pub(super) fn npy(wanted: &[f64]) -> Draft {
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({},), }}", wanted.len());
    let padding = 64 - (10 + header.len() + 1) % 64;
    header += &" ".repeat(padding % 64);
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    for rate in wanted {
        bytes.extend_from_slice(&rate.to_le_bytes());
    }
    Draft {
        file_name: "schedule.npy",
        contents: Contents::Bytes(bytes),
        rates: wanted.to_vec(),
        notes: vec!["element i is the rate that update i + 1 uses".to_owned()],
        executed: true,
    }
}
