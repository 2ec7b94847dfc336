// SPDX-License-Identifier: Apache-2.0
#include "worker/data/token_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "configs/canonical.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "worker/data/token_file.h"

namespace finescale {

namespace {

namespace fs = std::filesystem;

constexpr const char* kFileEnding = ".tokens";

// The one process that makes a file holds it; a dead one lets go. Without locks on the file system
// several make the same file, and the last rename wins.
class FileLock {
 public:
  explicit FileLock(const std::string& path)
      : file_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)), path_(path) {
    if (file_ >= 0) {
      (void)::flock(file_, LOCK_EX);
    }
  }
  ~FileLock() {
    if (file_ >= 0) {
      ::unlink(path_.c_str());
      ::close(file_);
    }
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int file_;
  std::string path_;
};

// Oldest first, until the rest fits; never the one just used.
void bound(const TokenCache& cache, const fs::path& keep) {
  struct Entry {
    fs::file_time_type used;
    fs::path path;
    std::int64_t size;
  };
  std::vector<Entry> entries;
  std::int64_t total = 0;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(cache.directory, code)) {
    if (entry.path().extension() == kFileEnding) {
      entries.push_back({entry.last_write_time(code), entry.path(),
                         static_cast<std::int64_t>(entry.file_size(code))});
      total += std::max<std::int64_t>(0, entries.back().size);
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const Entry& entry : entries) {
    if (total > cache.max_bytes && entry.path != keep) {
      fs::remove(entry.path, code);
      total -= entry.size;
    }
  }
}

// What processes left that died while they made this file: the lock is ours.
void remove_parts(const TokenCache& cache, const std::string& name) {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(cache.directory, code)) {
    const std::string other = entry.path().filename().string();
    if (other.starts_with(name + ".") && other.ends_with(".part")) {
      fs::remove(entry.path(), code);
    }
  }
}

CachedTokens in_memory(const ExampleSource& source, const std::string& why) {
  CachedTokens out;
  out.facts = source([&out](const Example& example) { out.table.add(example); });
  out.story = "tokens are not cached: " + why;
  return out;
}

// Of all files that it is made of.
void add_contents(config::DatasetRef& ref) {
  for (config::FileRef& file : *ref.mutable_files()) {
    if (file.content().empty()) {
      file.set_content(hash_file(file.path()));
    }
    // What a format is found by, when it is not given.
    file.set_content(file.content() + fs::path(file.path()).extension().string());
  }
  for (config::DatasetRef& input : *ref.mutable_inputs()) {
    add_contents(input);
  }
}

// What the source threw must not be taken for a fault of the file.
struct WriteFault {
  std::string why;
};

DatasetFacts write_file(const std::string& path, const std::string& key,
                        const ExampleSource& source) {
  const auto guarded = [](const auto& step) {
    try {
      step();
    } catch (const Error& error) {
      throw WriteFault{error.where() + " " + error.message()};
    }
  };
  std::optional<TokenFileWriter> writer;
  guarded([&] { writer.emplace(path); });
  DatasetFacts facts =
      source([&](const Example& example) { guarded([&] { writer->add(example); }); });
  guarded([&] { writer->finish(key, facts); });
  return facts;
}

}  // namespace

std::string cache_directory(const std::string& own) {
  const char* given = std::getenv("FINESCALE_CACHE_DIR");
  return given != nullptr && *given != '\0' ? given : own;
}

std::string token_key(const config::DatasetRef& ref, const config::DataRules& rules,
                      const TokenCache& cache) {
  config::DatasetRef files = ref;
  files.clear_name();
  files.clear_held_out_part();
  files.clear_tags();
  add_contents(files);
  config::DataRules same = rules;
  same.clear_eval_fraction();
  return hash_hex("finescale tokens 2\n" + key_text(files) + key_text(same) + cache.tokenizer_hash);
}

CachedTokens cached_tokens(const TokenCache& cache, const std::string& key,
                           const ExampleSource& source) {
  const fs::path path = fs::path(cache.directory) / (key + kFileEnding);
  std::string damage;
  const auto read = [&]() -> std::optional<CachedTokens> {
    std::optional<CachedTokens> found = read_token_file(path.string(), key, &damage);
    if (found) {
      std::error_code code;
      fs::last_write_time(path, fs::file_time_type::clock::now(), code);  // used now
      found->story = "tokens from the cache";
    }
    return found;
  };
  if (std::optional<CachedTokens> found = read()) {
    return std::move(*found);
  }
  try {
    make_directories(cache.directory);
  } catch (const Error& error) {
    return in_memory(source, error.message());
  }
  const FileLock lock(path.string() + ".lock");
  if (std::optional<CachedTokens> found = read()) {  // another made it meanwhile
    return std::move(*found);
  }
  remove_parts(cache, path.filename().string());
  const std::string temporary = path.string() + "." + std::to_string(::getpid()) + ".part";
  std::error_code code;
  try {
    (void)write_file(temporary, key, source);
    fs::rename(temporary, path);
    bound(cache, path);
    if (std::optional<CachedTokens> found = read_token_file(path.string(), key, &damage)) {
      found->story = damage.empty() ? "tokens cached in " + cache.directory
                                    : "the cached tokens were made again: " + damage;
      return std::move(*found);
    }
    damage = "the file cannot be read back";
  } catch (const WriteFault& fault) {
    damage = fault.why;
  } catch (const fs::filesystem_error& error) {
    damage = error.what();
  } catch (...) {
    fs::remove(temporary, code);
    throw;
  }
  fs::remove(temporary, code);
  return in_memory(source, damage);
}

}  // namespace finescale
