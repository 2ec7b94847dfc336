// SPDX-License-Identifier: Apache-2.0
#include "worker/data/token_file.h"

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "worker/data/token_cache.h"

namespace finescale {

namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMagic = 0x34304E4B4F545346;  // "FSTOKN04" on a little-endian machine
constexpr std::size_t kHashBytes = 32;

Json facts_json(const std::string& key, const DatasetFacts& f, std::uint64_t payload_bytes,
                std::size_t records) {
  return {{"key", key},
          {"payload_bytes", payload_bytes},
          {"records", records},
          {"counts", {f.counts.read, f.counts.skipped, f.counts.truncated, f.counts.dropped}},
          {"forms", f.forms},
          {"formats", f.formats},
          {"first_bad", f.first_bad},
          {"end_token", f.end_token}};
}

DatasetFacts facts_of(const Json& json) {
  DatasetFacts f;
  const auto counts = json.at("counts").get<std::array<std::int64_t, 4>>();
  f.counts = {counts[0], counts[1], counts[2], counts[3]};
  f.forms = json.at("forms").get<FormCounts>();
  f.formats = json.at("formats").get<std::string>();
  f.first_bad = json.at("first_bad").get<std::string>();
  f.end_token = json.at("end_token").get<std::int32_t>();
  return f;
}

std::uint64_t read_u64(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

// Every record inside the payload; a file may have the right hash and come from another program.
bool are_inside(std::span<const ExampleRecord> records, std::uint64_t payload_bytes) {
  for (const ExampleRecord& record : records) {
    if (record.offset % 4 != 0 || record.offset > payload_bytes ||
        record.size_bytes() > payload_bytes - record.offset ||
        record.num_prompt > record.num_tokens || record.second > record.num_tokens) {
      return false;
    }
  }
  return true;
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Throws std::string: what is wrong.
CachedTokens parse(MappedFile file, const std::string& key) {
  const std::span<const std::byte> all = std::as_bytes(std::span(file.bytes()));
  constexpr std::size_t kFixed = 2 * sizeof(std::uint64_t) + kHashBytes;
  if (all.size() < kFixed || read_u64(all) != kMagic) {
    throw std::string("it is no token file of this version");
  }
  const std::span<const std::byte> hashed = all.first(all.size() - kHashBytes);
  if (hash_hex(as_text(hashed)) != as_text(all.last(kHashBytes))) {
    throw std::string("its checksum is wrong");
  }
  const std::uint64_t facts_bytes = read_u64(hashed.last(sizeof(std::uint64_t)));
  const std::uint64_t room = all.size() - kFixed;  // payload, index, facts
  if (facts_bytes > room) {
    throw std::string("its facts do not fit");
  }
  const std::span<const std::byte> body = hashed.subspan(sizeof(std::uint64_t), room);
  const Json json = Json::parse(as_text(body.last(facts_bytes)), nullptr, false);
  try {
    if (json.at("key") != key) {
      throw std::string("it belongs to other data");
    }
    const auto payload_bytes = json.at("payload_bytes").get<std::uint64_t>();
    const auto count = json.at("records").get<std::uint64_t>();
    const std::uint64_t index_bytes = room - facts_bytes;
    if (payload_bytes > index_bytes || payload_bytes % 8 != 0 ||
        (index_bytes - payload_bytes) / sizeof(ExampleRecord) != count) {
      throw std::string("its index does not fit");
    }
    const std::span<const ExampleRecord> records = {
        reinterpret_cast<const ExampleRecord*>(body.data() + payload_bytes), count};
    if (!are_inside(records, payload_bytes)) {
      throw std::string("its index points outside");
    }
    return {ExampleTable(std::move(file), body.first(payload_bytes), records), facts_of(json), ""};
  } catch (const Json::exception&) {
    throw std::string("its facts cannot be read");
  }
}

}  // namespace

TokenFileWriter::TokenFileWriter(std::string path)
    : path_(std::move(path)), out_(path_, std::ios::binary | std::ios::trunc) {
  write(&kMagic, sizeof(kMagic));
}

void TokenFileWriter::write(const void* data, std::size_t size_bytes) {
  hasher_.update(data, size_bytes);
  out_.write(static_cast<const char*>(data), static_cast<std::streamsize>(size_bytes));
  if (!out_) {
    throw Error(ErrorKind::kIo, std::string("cannot be written: ") + std::strerror(errno), path_);
  }
}

void TokenFileWriter::add(const Example& example) {
  buffer_.clear();
  ExampleRecord record = append_payload(example, buffer_);
  record.offset = payload_bytes_;
  records_.push_back(record);
  payload_bytes_ += buffer_.size();
  write(buffer_.data(), buffer_.size());
}

void TokenFileWriter::finish(const std::string& key, const DatasetFacts& facts) {
  constexpr std::uint64_t kZero = 0;
  const std::uint64_t padding = (8 - payload_bytes_ % 8) % 8;  // the index is aligned
  write(&kZero, padding);
  write(records_.data(), records_.size() * sizeof(ExampleRecord));
  // A text of the data may be no UTF-8: it is shown, never compared.
  const std::string text = facts_json(key, facts, payload_bytes_ + padding, records_.size())
                               .dump(-1, ' ', false, Json::error_handler_t::replace);
  write(text.data(), text.size());
  const std::uint64_t size = text.size();
  write(&size, sizeof(size));
  const std::string hash = hasher_.hex();
  out_.write(hash.data(), static_cast<std::streamsize>(hash.size()));
  out_.close();
  if (!out_) {
    throw Error(ErrorKind::kIo, std::string("cannot be written: ") + std::strerror(errno), path_);
  }
}

std::optional<CachedTokens> read_token_file(const std::string& path, const std::string& key,
                                            std::string* damage) {
  try {
    return parse(MappedFile(path), key);
  } catch (const Error&) {
    return std::nullopt;  // not there, or it cannot be mapped
  } catch (const std::string& why) {
    *damage = why;
    return std::nullopt;
  }
}

}  // namespace finescale
