// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/gguf_header.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace finescale {

namespace {

constexpr std::uint32_t kMostDimensions = 4;
// The least bytes of an entry: a key of one letter with a value of one byte; a name of one letter,
// one dimension, type and offset.
constexpr std::uint64_t kLeastKeyBytes = 8 + 1 + 4 + 1;
constexpr std::uint64_t kLeastTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

// What a tensor's entry says, and where it says it: offsets can be judged only when all are known.
struct Entry {
  GgufTensor tensor;
  std::uint64_t at = 0;
};

std::uint32_t read_version(GgufCursor& cursor) {
  const std::string_view magic = cursor.file().substr(0, kGgufMagic.size());
  if (magic != kGgufMagic) {
    cursor.fail("this is not a GGUF file: it does not begin with the letters GGUF", 0,
                "check the path; a download page saved as a file looks like this");
  }
  cursor.skip(kGgufMagic.size(), "magic");
  const std::uint64_t at = cursor.at();
  const auto version = cursor.number<std::uint32_t>("version");
  if ((version & 0xFFFFU) == 0 && version != 0) {
    cursor.fail("the file is big-endian", at, "convert it for little-endian machines");
  }
  if (version != 2 && version != 3) {
    cursor.fail("version " + std::to_string(version) + " is not supported (2 and 3 are)", at,
                "convert the model again with a current converter");
  }
  return version;
}

std::uint64_t read_count(GgufCursor& cursor, const char* what, std::uint64_t least_bytes) {
  cursor.enter(what);
  const std::uint64_t at = cursor.at();
  const auto count = cursor.number<std::uint64_t>(what);
  if (count > cursor.left() / least_bytes) {
    cursor.fail(std::to_string(count) + " entries need more bytes than the " +
                    std::to_string(cursor.left()) + " left in the file",
                at);
  }
  return count;
}

void read_shape(GgufCursor& cursor, GgufTensor& tensor) {
  const std::uint64_t at = cursor.at();
  const auto rank = cursor.number<std::uint32_t>("number of dimensions");
  if (rank < 1 || rank > kMostDimensions) {
    cursor.fail("a tensor has " + std::to_string(rank) + " dimensions, must have 1 to 4", at);
  }
  tensor.shape.rank = static_cast<int>(rank);
  std::uint64_t elements = 1;
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  for (std::uint32_t axis = 0; axis < rank; ++axis) {
    const std::uint64_t dim_at = cursor.at();
    const auto size = cursor.number<std::uint64_t>("dimension");
    if (size == 0 || size > kMost / elements) {
      cursor.fail("dimension " + std::to_string(axis) + " is " + std::to_string(size) +
                      (size == 0 ? ", must be at least 1" : ": the tensor has too many elements"),
                  dim_at);
    }
    elements *= size;
    tensor.shape.dims[rank - 1 - axis] = static_cast<std::int64_t>(size);
  }
}

void read_type(GgufCursor& cursor, GgufTensor& tensor) {
  const std::uint64_t at = cursor.at();
  const auto code = cursor.number<std::uint32_t>("type");
  tensor.type = find_gguf_type(code);
  if (tensor.type == nullptr) {
    cursor.fail("type " + gguf_type_name(code) + " is not supported", at,
                "supported are " + gguf_type_list() + ": get the model in one of them");
  }
  const std::int64_t row = tensor.shape[tensor.shape.rank - 1];
  if (row % tensor.type->block_elements != 0) {
    cursor.fail("rows of " + std::to_string(row) + " are not whole blocks of " +
                    std::to_string(tensor.type->block_elements) + " as " + tensor.type->name +
                    " needs",
                at);
  }
  const std::int64_t blocks = tensor.shape.num_elements() / tensor.type->block_elements;
  if (static_cast<std::uint64_t>(blocks) >
      cursor.file().size() / static_cast<std::uint64_t>(tensor.type->block_bytes)) {
    cursor.fail("shape " + tensor.shape.text() + " of " + tensor.type->name +
                    " needs more bytes than the whole file has (" +
                    std::to_string(cursor.file().size()) + ")",
                at);
  }
}

Entry read_entry(GgufCursor& cursor, std::uint64_t index) {
  Entry entry;
  cursor.enter("tensor " + std::to_string(index));
  const std::uint64_t begin = cursor.at();
  const std::string_view name = cursor.text("name");
  constexpr std::size_t kLongestName = 255;  // ggml allows 63
  if (name.empty() || name.size() > kLongestName || !is_printable_utf8(name)) {
    cursor.fail("a tensor's name must be 1 to 255 bytes of printable text", begin);
  }
  entry.tensor.name = name;
  cursor.enter("tensor " + entry.tensor.name);
  read_shape(cursor, entry.tensor);
  read_type(cursor, entry.tensor);
  entry.at = cursor.at();
  entry.tensor.offset = cursor.number<std::uint64_t>("offset");
  return entry;
}

std::uint64_t alignment_of(GgufCursor& cursor, const GgufMetadata& metadata) {
  const std::int64_t alignment =
      metadata.integer("general.alignment").value_or(std::int64_t{kGgufDefaultAlignment});
  constexpr std::int64_t kMost = std::int64_t{1} << 30;
  if (alignment < 1 || alignment > kMost || (alignment & (alignment - 1)) != 0) {
    throw Error(ErrorKind::kData,
                "gguf: the alignment is " + std::to_string(alignment) + ", must be a power of two",
                metadata.place("general.alignment"));
  }
  cursor.enter("start of the data");
  return static_cast<std::uint64_t>(alignment);
}

// Offsets in the file count from the start of the data; from here on, from the start of the file.
void place_tensors(GgufCursor& cursor, std::vector<Entry>& entries, std::uint64_t alignment,
                   std::uint64_t data_begin) {
  const std::uint64_t size = cursor.file().size();
  for (Entry& entry : entries) {
    GgufTensor& tensor = entry.tensor;
    cursor.enter("tensor " + tensor.name);
    if (tensor.offset % alignment != 0) {
      cursor.fail("offset " + std::to_string(tensor.offset) +
                      " is not a multiple of the alignment " + std::to_string(alignment),
                  entry.at);
    }
    const std::uint64_t bytes = tensor.size_bytes();
    if (data_begin > size || tensor.offset > size - data_begin ||
        bytes > size - data_begin - tensor.offset) {
      cursor.fail("offset " + std::to_string(tensor.offset) + " and " + std::to_string(bytes) +
                      " bytes reach beyond the end of the file (data begins at " +
                      std::to_string(data_begin) + ", the file has " + std::to_string(size) + ")",
                  entry.at);
    }
    tensor.offset += data_begin;
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.tensor.offset < b.tensor.offset; });
  for (std::size_t i = 1; i < entries.size(); ++i) {
    const GgufTensor& before = entries[i - 1].tensor;
    if (before.offset + before.size_bytes() > entries[i].tensor.offset) {
      cursor.enter("tensor " + entries[i].tensor.name);
      cursor.fail("its bytes overlap those of " + before.name, entries[i].at);
    }
  }
}

}  // namespace

GgufHeader parse_gguf(std::string_view file, const std::string& path) {
  GgufCursor cursor(file, path);
  GgufHeader header;
  header.version = read_version(cursor);
  const std::uint64_t num_tensors = read_count(cursor, "tensor count", kLeastTensorBytes);
  const std::uint64_t num_keys = read_count(cursor, "metadata count", kLeastKeyBytes);
  header.metadata = GgufMetadata(path);
  for (std::uint64_t i = 0; i < num_keys; ++i) {
    header.metadata.read_entry(cursor);
  }
  std::vector<Entry> entries;
  entries.reserve(num_tensors);
  for (std::uint64_t i = 0; i < num_tensors; ++i) {
    entries.push_back(read_entry(cursor, i));
  }
  const std::uint64_t alignment = alignment_of(cursor, header.metadata);
  header.data_begin = (cursor.at() + alignment - 1) / alignment * alignment;
  place_tensors(cursor, entries, alignment, header.data_begin);
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.tensor.name < b.tensor.name; });
  header.tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    if (!header.tensors.empty() && header.tensors.back().name == entry.tensor.name) {
      cursor.enter("tensor " + entry.tensor.name);
      cursor.fail("the tensor is there twice", entry.at);
    }
    header.tensors.push_back(std::move(entry.tensor));
  }
  return header;
}

}  // namespace finescale
