// SPDX-License-Identifier: Apache-2.0
// A Slurm of three shell scripts on PATH, with its queue in a file. Each answer of sbatch, squeue
// and scontrol is planned by a word; without one it is good.
#pragma once

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace finescale {

// answer NAME: logs the call; does what the next planned word says.
inline constexpr const char* kFakeAnswer = R"sh(
answer() { echo "$1" >>calls; word=$(head -1 "$1.plan" 2>/dev/null); sed -i 1d "$1.plan" 2>/dev/null
  case $word in
    away) echo "$1: error: Unable to contact slurm controller (connect failure)" >&2; exit 1 ;;
    hang) exec sleep 20 ;;
    garbage) echo '<html>busy</html>'; exit 0 ;;
    silent) exit 1 ;;
    refuse) echo "$1: error: Invalid partition name specified" >&2; exit 1 ;;
  esac; }
)sh";

// Words with made_: the job is made, but the answer does not say so.
inline constexpr const char* kFakeSbatch = R"sh(
for argument; do case $argument in --job-name=*) name=${argument#*=} ;; esac; done
[ -f "${!#}" ] || exit 1
make() { id=$(($(cat last 2>/dev/null || echo 100) + 1)); echo $id >last; echo "$id|PENDING|$name" >>queue; }
answer sbatch
case $word in
  made_garbage) make; echo oops ;;
  made_timeout) make; echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1 ;;
  made_hang) make; exec sleep 20 ;;
  made_late) (sleep 0.3; make) >/dev/null 2>&1 & exit 1 ;;
  *) make; echo "$id" ;;
esac
)sh";

class FakeSlurm {
 public:
  FakeSlurm() {
    std::string pattern = (std::filesystem::temp_directory_path() / "fake-slurm-XXXXXX").string();
    place_ = ::mkdtemp(pattern.data());
    const char* path = std::getenv("PATH");
    path_ = path == nullptr ? "" : path;
    ::setenv("PATH", (place_ + ":" + path_).c_str(), 1);
    const std::string begin = "#!/bin/bash\ncd " + place_ + kFakeAnswer;
    write("squeue", begin + "answer squeue\ncat queue 2>/dev/null\ntrue\n");
    write("sbatch", begin + kFakeSbatch);
    write("scontrol", begin + "answer scontrol\n:\n");
  }
  ~FakeSlurm() {
    ::setenv("PATH", path_.c_str(), 1);
    std::filesystem::remove_all(place_);
  }
  FakeSlurm(const FakeSlurm&) = delete;
  FakeSlurm& operator=(const FakeSlurm&) = delete;

  void plan(const std::string& program, const std::vector<std::string>& words) const {
    std::ofstream out(place_ + "/" + program + ".plan");
    for (const std::string& word : words) {
      out << word << "\n";
    }
  }
  void set_queue(const std::string& text) const { std::ofstream(place_ + "/queue") << text; }
  [[nodiscard]] std::string queue() const { return read("queue"); }
  [[nodiscard]] int jobs() const { return count(queue(), "\n"); }
  [[nodiscard]] int calls(const std::string& program) const {
    return count(read("calls"), program + "\n");
  }
  // As on a machine without it, or any other Slurm.
  void remove(const std::string& program) const {
    std::filesystem::remove(place_ + "/" + program);
    ::setenv("PATH", place_.c_str(), 1);
  }
  [[nodiscard]] const std::string& place() const { return place_; }

 private:
  void write(const std::string& name, const std::string& text) const {
    const std::string path = place_ + "/" + name;
    std::ofstream(path) << text;
    ::chmod(path.c_str(), 0755);
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream in(place_ + "/" + name);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  static int count(const std::string& text, const std::string& what) {
    int n = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
      ++n;
    }
    return n;
  }

  std::string place_;
  std::string path_;
};

}  // namespace finescale
