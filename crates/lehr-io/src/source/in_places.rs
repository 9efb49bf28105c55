//! A source as the Parquet reader sees it: read in places.

use super::{ReadSeek, Source};
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::io::{self, Read, Seek, SeekFrom};

impl Length for Source {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Source {
    type T = io::BufReader<Box<dyn ReadSeek>>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let mut reader = self.open().map_err(|error| ParquetError::External(Box::new(error)))?;
        reader.seek(SeekFrom::Start(start))?;
        Ok(io::BufReader::new(reader))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let mut reader = self.open().map_err(|error| ParquetError::External(Box::new(error)))?;
        reader.seek(SeekFrom::Start(start))?;
        let mut buffer = Vec::with_capacity(length.min(1 << 26));
        reader.take(length as u64).read_to_end(&mut buffer)?;
        if buffer.len() < length {
            return Err(ParquetError::EOF(format!(
                "expected {length} bytes at byte {start}, found {}",
                buffer.len()
            )));
        }
        Ok(buffer.into())
    }
}
