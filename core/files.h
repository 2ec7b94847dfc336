// SPDX-License-Identifier: Apache-2.0
// Files that are whole or absent: write beside, fsync, rename, fsync the directory.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace finescale {

// Throws kIo (kResource for a full disk or a read-only place) naming the path.
void write_file_atomically(const std::string& path, std::string_view bytes, int mode = 0644);
// `before_rename` is called when the bytes are on disk under another name, which can take a while;
// when it throws, the path is as it was.
void write_file_atomically(const std::string& path, std::string_view bytes, int mode,
                           const std::function<void()>& before_rename);
[[nodiscard]] std::string read_file(const std::string& path);
// What lies there. None is what cannot be looked at either, as a name that is too long or one
// behind a directory that may not be searched: whoever opens it says why. std::filesystem's throw
// there.
[[nodiscard]] bool path_exists(const std::string& path);
[[nodiscard]] bool path_is_directory(const std::string& path);
[[nodiscard]] bool path_is_file(const std::string& path);
void make_directories(const std::string& path);
void sync_file(const std::string& path);       // fsync of an existing file
void sync_directory(const std::string& path);  // fsync of a directory entry table
// Everything written so far to the file system of this directory, by anybody on this machine: one
// flush for many files.
void sync_file_system(const std::string& directory);
// Neither flushed nor beside: for what is flushed later and known by a checksum.
void write_file(const std::string& path, std::string_view bytes);
void rename_path(const std::string& from, const std::string& to);
void rename_durably(const std::string& from,
                    const std::string& to);  // rename + fsync of the parent

}  // namespace finescale
