// SPDX-License-Identifier: Apache-2.0
// Parquet by Apache Arrow where the build found it; rows come as records of their text columns.
#include "worker/data/formats/formats.h"

#include "core/error.h"

#ifdef FINESCALE_HAVE_ARROW
#include <arrow/api.h>
#include <arrow/io/api.h>
#include <parquet/arrow/reader.h>
#endif

namespace finescale {

#ifdef FINESCALE_HAVE_ARROW

namespace {

using OrderedJson = nlohmann::ordered_json;

template <class T>
T value_or_throw(arrow::Result<T> result, const std::string& path) {
  if (!result.ok()) {
    throw Error(ErrorKind::kData, "Parquet: " + result.status().ToString(), path);
  }
  return std::move(result).ValueUnsafe();
}

// A damaged file claims sizes that it does not have. Compressed text seldom shrinks a hundredfold.
constexpr std::int64_t kMemoryAtLeast = 64LL << 20;
constexpr std::int64_t kMemoryPerByte = 1000;

OrderedJson cell(const arrow::Array& array, std::int64_t row);

template <class List>
OrderedJson list_of(const arrow::Array& array, std::int64_t row) {
  const auto& list = static_cast<const List&>(array);
  const std::int64_t begin = list.value_offset(row);
  OrderedJson out = OrderedJson::array();
  for (std::int64_t i = 0; i < list.value_length(row); ++i) {
    out.push_back(cell(*list.values(), begin + i));
  }
  return out;
}

OrderedJson group_of(const arrow::StructArray& group, std::int64_t row) {
  OrderedJson out = OrderedJson::object();
  for (int i = 0; i < group.num_fields(); ++i) {
    OrderedJson value = cell(*group.field(i), row);
    if (!value.is_null()) {  // columns that this row does not have
      out[group.type()->field(i)->name()] = std::move(value);
    }
  }
  return out;
}

OrderedJson record_of(const arrow::RecordBatch& batch, std::int64_t row) {
  OrderedJson record = OrderedJson::object();
  for (int c = 0; c < batch.num_columns(); ++c) {
    OrderedJson value = cell(*batch.column(c), row);
    if (!value.is_null()) {
      record[batch.column_name(c)] = std::move(value);
    }
  }
  return record;
}

template <class Typed>
OrderedJson value_of(const arrow::Array& array, std::int64_t row) {
  return static_cast<const Typed&>(array).Value(row);
}

// Texts, numbers, lists and structs; anything else has no place in an example.
OrderedJson cell(const arrow::Array& array, std::int64_t row) {
  if (array.IsNull(row)) {
    return nullptr;
  }
  switch (array.type_id()) {
    case arrow::Type::STRING:
      return static_cast<const arrow::StringArray&>(array).GetString(row);
    case arrow::Type::LARGE_STRING:
      return static_cast<const arrow::LargeStringArray&>(array).GetString(row);
    case arrow::Type::DICTIONARY: {  // a column of few different texts
      const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
      return cell(*coded.dictionary(), coded.GetValueIndex(row));
    }
    case arrow::Type::INT32:
      return value_of<arrow::Int32Array>(array, row);
    case arrow::Type::INT64:
      return value_of<arrow::Int64Array>(array, row);
    case arrow::Type::UINT32:
      return value_of<arrow::UInt32Array>(array, row);
    case arrow::Type::FLOAT:
      return value_of<arrow::FloatArray>(array, row);
    case arrow::Type::DOUBLE:
      return value_of<arrow::DoubleArray>(array, row);
    case arrow::Type::BOOL:
      return value_of<arrow::BooleanArray>(array, row);
    case arrow::Type::LIST:
      return list_of<arrow::ListArray>(array, row);
    case arrow::Type::LARGE_LIST:
      return list_of<arrow::LargeListArray>(array, row);
    case arrow::Type::STRUCT:
      return group_of(static_cast<const arrow::StructArray&>(array), row);
    default:
      return "<" + array.type()->ToString() + ">";
  }
}

}  // namespace

void read_parquet(const std::string& path, RecordSink& sink) {
  const auto file =
      value_or_throw(arrow::io::MemoryMappedFile::Open(path, arrow::io::FileMode::READ), path);
  const std::int64_t size_bytes = value_or_throw(file->GetSize(), path);
  arrow::CappedMemoryPool pool(arrow::default_memory_pool(),
                               kMemoryAtLeast + kMemoryPerByte * size_bytes);
  const auto reader = value_or_throw(parquet::arrow::OpenFile(file, &pool), path);
  const auto batches = value_or_throw(reader->GetRecordBatchReader(), path);
  std::int64_t row = 0;
  while (const auto batch = value_or_throw(batches->Next(), path)) {
    // Offsets inside their buffers, texts in UTF-8: the reader itself does not look.
    if (const arrow::Status status = batch->ValidateFull(); !status.ok()) {
      throw Error(ErrorKind::kData, "Parquet: " + status.ToString(), path);
    }
    for (std::int64_t i = 0; i < batch->num_rows(); ++i) {
      if (!sink.record(record_of(*batch, i), ++row)) {
        return;
      }
    }
  }
}

#else

void read_parquet(const std::string& path, RecordSink& /*sink*/) {
  throw Error(ErrorKind::kResource, "this build has no Apache Arrow, which reads Parquet", path,
              "convert it once: python3 -c \"import pandas; pandas.read_parquet('" + path +
                  "').to_json('data.jsonl', orient='records', lines=True, force_ascii=False)\"");
}

#endif

}  // namespace finescale
