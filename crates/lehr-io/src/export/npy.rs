//! The rates as a NumPy file.

use super::{Contents, Draft, Evidence, Exporter, Request, Write};

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "npy",
    aliases: &["numpy"],
    title: "the rates for NumPy",
    shapes: "any schedule",
    remark: "",
    evidence: Evidence::ReadBack,
    resume: "the row of that update and those after it are what is left to do",
    load: "",
    log: None,
    write: Write::Any(|request| Ok(write(request))),
};

/// NumPy's format 1.0: magic, header length, a Python dictionary padded to 64 bytes, the numbers.
fn write(request: &Request<'_>) -> Draft {
    let wanted = request.wanted;
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
