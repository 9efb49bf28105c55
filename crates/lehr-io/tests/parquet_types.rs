//! Columns of every type that Parquet has, as numbers, as text, and refused by their names.

use arrow_array::builder::{Float64Builder, ListBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float16Array, Float32Array, Float64Array,
    Int8Array, Int64Array, LargeStringArray, NullArray, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray, UInt8Array, UInt32Array, UInt64Array,
};
use lehr_io::Source;
use lehr_io::table::{Cell, Format, Want, columns, for_each_row};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

/// Three rows of every type; the second is missing where a column may lack values.
fn table() -> Source {
    let mut names = StringDictionaryBuilder::<Int32Type>::new();
    names.extend([Some("a"), None, Some("a")]);
    let mut lists = ListBuilder::new(Float64Builder::new());
    for value in [1.0, 2.0, 3.0] {
        lists.values().append_value(value);
        lists.append(true);
    }
    let half = [1.5_f32, 65504.0].map(half::f16::from_f32);
    let decimal = Decimal128Array::from(vec![314, 271, 141]).with_precision_and_scale(10, 2).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("int8", Arc::new(Int8Array::from(vec![Some(-128), None, Some(127)]))),
        ("int64", Arc::new(Int64Array::from(vec![-1, 0, 1 << 53]))),
        ("uint8", Arc::new(UInt8Array::from(vec![Some(255), None, Some(0)]))),
        ("uint32", Arc::new(UInt32Array::from(vec![Some(u32::MAX), None, Some(7)]))),
        ("uint64", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1 << 63]))),
        ("float16", Arc::new(Float16Array::from(vec![Some(half[0]), None, Some(half[1])]))),
        ("float32", Arc::new(Float32Array::from(vec![Some(0.1), None, Some(f32::INFINITY)]))),
        ("float64", Arc::new(Float64Array::from(vec![Some(2.5), None, Some(1e-300)]))),
        ("nothing", Arc::new(NullArray::new(3))),
        ("truth", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("text", Arc::new(StringArray::from(vec![Some("ä"), None, Some("")]))),
        ("large", Arc::new(LargeStringArray::from(vec![Some("b"), None, Some("c")]))),
        (
            "view",
            Arc::new(StringViewArray::from(vec![Some("d"), None, Some("a text of more than twelve bytes")])),
        ),
        ("dictionary", Arc::new(names.finish())),
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3]))),
        ("decimal", Arc::new(decimal)),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"\xff"[..], b"", b"x"]))),
        ("list", Arc::new(lists.finish())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    // Two row groups.
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    Source::bytes("all.parquet", writer.into_inner().unwrap())
}

fn numbers(source: &Source, name: &str, want: Want) -> Result<Vec<Option<f64>>, String> {
    let mut found = Vec::new();
    for_each_row(source, Format::Parquet, &[(name, want)], &mut |_, cells| {
        assert!(matches!(cells[0], Cell::Number(_) | Cell::Missing));
        found.push(cells[0].number());
        Ok(true)
    })
    .map_err(|error| error.to_string())?;
    Ok(found)
}

fn texts(source: &Source, name: &str) -> Result<Vec<Option<String>>, String> {
    let mut found = Vec::new();
    for_each_row(source, Format::Parquet, &[(name, Want::Text)], &mut |_, cells| {
        found.push(cells[0].text().map(str::to_owned));
        Ok(true)
    })
    .map_err(|error| error.to_string())?;
    Ok(found)
}

#[test]
fn numbers_of_every_type_are_their_values() {
    let source = table();
    assert_eq!(columns(&source, Format::Parquet).unwrap().len(), 18);
    let wanted: [(&str, [Option<f64>; 3]); 9] = [
        ("int8", [Some(-128.0), None, Some(127.0)]),
        ("int64", [Some(-1.0), Some(0.0), Some(9_007_199_254_740_992.0)]),
        ("uint8", [Some(255.0), None, Some(0.0)]),
        ("uint32", [Some(4_294_967_295.0), None, Some(7.0)]),
        ("uint64", [Some(18_446_744_073_709_551_615.0), Some(0.0), Some(9_223_372_036_854_775_808.0)]),
        ("float16", [Some(1.5), None, Some(65504.0)]),
        ("float32", [Some(f64::from(0.1_f32)), None, Some(f64::INFINITY)]),
        ("float64", [Some(2.5), None, Some(1e-300)]),
        ("nothing", [None, None, None]),
    ];
    for (name, values) in wanted {
        assert_eq!(numbers(&source, name, Want::Number).unwrap(), values, "{name}");
        assert_eq!(numbers(&source, name, Want::Perhaps).unwrap(), values, "{name}");
    }
}

#[test]
fn text_is_of_strings_and_of_numbers_written_out() {
    let source = table();
    let wanted: [(&str, [Option<&str>; 3]); 7] = [
        ("text", [Some("ä"), None, Some("")]),
        ("large", [Some("b"), None, Some("c")]),
        ("view", [Some("d"), None, Some("a text of more than twelve bytes")]),
        ("dictionary", [Some("a"), None, Some("a")]),
        ("truth", [Some("true"), None, Some("false")]),
        ("uint32", [Some("4294967295"), None, Some("7")]),
        ("float16", [Some("1.5"), None, Some("65504")]),
    ];
    for (name, values) in wanted {
        let values: Vec<Option<String>> = values.iter().map(|value| value.map(str::to_owned)).collect();
        assert_eq!(texts(&source, name).unwrap(), values, "{name}");
    }
}

#[test]
fn a_column_of_another_type_is_refused_by_its_name_and_type() {
    let source = table();
    let wanted = [
        ("time", "INT64 (TIMESTAMP(MICROS,false))"),
        ("decimal", "INT64 (DECIMAL(10,2))"),
        ("bytes", "BYTE_ARRAY"),
        ("list", "group (a list, a map or several columns)"),
    ];
    for (name, kind) in wanted {
        let error = texts(&source, name).unwrap_err();
        assert_eq!(error, format!("all.parquet: column '{name}' is of type {kind}; expected text"), "{name}");
        let error = numbers(&source, name, Want::Number).unwrap_err();
        assert!(error.ends_with(&format!("is of type {kind}; expected numbers")), "{error}");
        assert_eq!(numbers(&source, name, Want::Perhaps).unwrap(), [None; 3], "{name}");
    }
    let error = numbers(&source, "text", Want::Number).unwrap_err();
    assert!(error.ends_with("is of type BYTE_ARRAY (STRING); expected numbers"), "{error}");
    assert_eq!(numbers(&source, "gone", Want::Number).unwrap(), [None; 3]);
}
