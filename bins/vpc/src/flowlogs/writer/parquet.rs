//! Objects in Parquet.

use std::sync::Arc;

use parquet::{
    basic::{Compression, ConvertedType, GzipLevel, Repetition, Type as PhysicalType},
    data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::types::{Type, TypePtr},
};
use underlay_flowlog::{Column, Field, Format, Line};

/// What a text column says where a field does not apply. What AWS writes there is not documented;
/// a number that does not apply is null here.
const NONE: &str = "-";

/// Writes lines of a format as one row group: a column per field, its pages compressed by gzip.
pub(super) fn encode(format: &Format, lines: &[Line<'_>]) -> Result<Vec<u8>, ParquetError> {
    let columns = format.fields().iter().map(|field| column_type(*field));
    let schema = Type::group_type_builder("flow_log")
        .with_fields(columns.collect::<Result<_, _>>()?)
        .build()?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::GZIP(GzipLevel::default()))
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut rows = file.next_row_group()?;
    for field in format.fields() {
        let column = rows.next_column()?;
        let column = column.ok_or_else(|| ParquetError::EOF(field.column_name()))?;
        write_column(column, *field, lines)?;
    }
    rows.close()?;
    file.into_inner()
}

fn column_type(field: Field) -> Result<TypePtr, ParquetError> {
    let name = field.column_name();
    let column = match field.column() {
        Column::Int32 => Type::primitive_type_builder(&name, PhysicalType::INT32),
        Column::Int64 => Type::primitive_type_builder(&name, PhysicalType::INT64),
        Column::Text => Type::primitive_type_builder(&name, PhysicalType::BYTE_ARRAY)
            .with_converted_type(ConvertedType::UTF8),
    };
    column
        .with_repetition(Repetition::OPTIONAL)
        .build()
        .map(Arc::new)
}

fn write_column(
    mut column: SerializedColumnWriter<'_>,
    field: Field,
    lines: &[Line<'_>],
) -> Result<(), ParquetError> {
    match field.column() {
        Column::Int32 => {
            let (values, present) = numbers::<i32>(field, lines);
            let writer = column.typed::<Int32Type>();
            writer.write_batch(&values, Some(&present), None)?;
        }
        Column::Int64 => {
            let (values, present) = numbers::<i64>(field, lines);
            let writer = column.typed::<Int64Type>();
            writer.write_batch(&values, Some(&present), None)?;
        }
        Column::Text => {
            let texts = lines.iter().map(|line| line.value(field).unwrap_or(NONE));
            let values: Vec<_> = texts.map(ByteArray::from).collect();
            let present = vec![1; values.len()];
            let writer = column.typed::<ByteArrayType>();
            writer.write_batch(&values, Some(&present), None)?;
        }
    }
    column.close()
}

/// The values there are, and for each line whether it has one.
fn numbers<T: std::str::FromStr>(field: Field, lines: &[Line<'_>]) -> (Vec<T>, Vec<i16>) {
    let value = |line: &Line<'_>| line.value(field)?.parse::<T>().ok();
    let all: Vec<_> = lines.iter().map(value).collect();
    let present = all.iter().map(|value| i16::from(value.is_some())).collect();
    (all.into_iter().flatten().collect(), present)
}
