// SPDX-License-Identifier: Apache-2.0
// Speed of checkpoints against the same bytes by pwrite + fsync of all ranks into one file, and the
// stall of a background write against memcpy; alternated, medians. Not a test: it needs a quiet
// machine and a disk.
//   mpirun -n 2 checkpoint-bench DIR [MIB [ROUNDS [ranges|columns]]]
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/async_writer.h"
#include "checkpoint/checkpoint.h"
#include "comm/mpi/mpi_group.h"
#include "core/error.h"
#include "core/parallel.h"

namespace finescale {
namespace {

constexpr std::int64_t kColumns = 4096;
constexpr int kTensors = 24;  // weights and two slots of an optimizer, eight layers
constexpr std::size_t kPiece = std::size_t{1} << 20;

class Bench {
 public:
  // Every tensor is cut into flat ranges of equal size, as ZeRO does, or by columns, as tensor
  // parallelism cuts half of the weights.
  Bench(Group& group, std::string directory, std::int64_t mib, bool columns)
      : group_(group),
        directory_(std::move(directory)),
        rows_((mib << 20) / kTensors / (kColumns * 4)) {
    CheckpointTensor tensor;
    tensor.shape = Shape{rows_, kColumns};
    tensor.part = {Shape{0, 0}, tensor.shape};
    const std::int64_t total = rows_ * kColumns;
    tensor.begin = total * group_.rank() / group_.size();
    tensor.end = total * (group_.rank() + 1) / group_.size();
    if (columns) {
      const std::int64_t width = kColumns / group_.size();
      tensor.part = {Shape{0, width * group_.rank()}, Shape{rows_, width}};
      tensor.begin = 0;
      tensor.end = rows_ * width;
    }
    const std::int64_t count = tensor.end - tensor.begin;
    memory_.resize(static_cast<std::size_t>(count * kTensors));
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      memory_[i] = static_cast<float>(i % 1013) * 0.37F;
    }
    for (int i = 0; i < kTensors; ++i) {
      tensor.path = "/model/layer" + std::to_string(i);
      tensor.local = TensorView(memory_.data() + i * count, DType::kF32, Shape{count});
      tensors_.push_back(tensor);
    }
  }

  [[nodiscard]] double gigabytes() const {
    return static_cast<double>(rows_ * kColumns * kTensors) * 4e-9;
  }
  // Of the slowest rank.
  double seconds(const std::function<void()>& body) {
    group_.barrier();
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double> mine = std::chrono::steady_clock::now() - start;
    return group_.max(mine.count());
  }

  // Each rank its contiguous share, 1 MiB at a time.
  void raw_write() {
    const int file = open_raw(O_CREAT | O_WRONLY);
    each_piece([&](std::byte* data, std::size_t size, off_t offset) {
      FS_CHECK(::pwrite(file, data, size, offset) == static_cast<ssize_t>(size), "pwrite");
    });
    FS_CHECK(::fsync(file) == 0, "fsync");
    ::close(file);
  }
  void raw_read() {
    const int file = open_raw(O_RDONLY);
    each_piece([&](std::byte* data, std::size_t size, off_t offset) {
      FS_CHECK(::pread(file, data, size, offset) == static_cast<ssize_t>(size), "pread");
    });
    ::close(file);
  }
  void write() { write_checkpoint(group_, path(), {}, tensors_); }
  void read() { CheckpointReader(group_, path()).read(tensors_); }
  void start(AsyncCheckpointWriter& writer) { writer.start(path(), {}, tensors_); }
  void copy(std::vector<float>& to) const {
    parallel_for(std::ssize(memory_), 1 << 18, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(to.data() + begin, memory_.data() + begin,
                  static_cast<std::size_t>(end - begin) * sizeof(float));
    });
  }
  [[nodiscard]] std::size_t num_floats() const { return memory_.size(); }
  [[nodiscard]] const std::vector<CheckpointTensor>& tensors() const { return tensors_; }
  void remove() {
    group_.barrier();
    if (group_.rank() == 0) {
      ::unlink(path().c_str());
      ::unlink(raw_path().c_str());
      ::sync();
    }
    group_.barrier();
  }

 private:
  [[nodiscard]] std::string path() const { return directory_ + "/bench.h5"; }
  [[nodiscard]] std::string raw_path() const { return directory_ + "/bench.raw"; }
  [[nodiscard]] int open_raw(int flags) const {
    const int file = ::open(raw_path().c_str(), flags, 0644);
    FS_CHECK(file >= 0, raw_path());
    return file;
  }
  void each_piece(const std::function<void(std::byte*, std::size_t, off_t)>& body) {
    auto* bytes = reinterpret_cast<std::byte*>(memory_.data());
    const std::size_t total = memory_.size() * sizeof(float);
    const auto base = static_cast<off_t>(total) * group_.rank();
    for (std::size_t done = 0; done < total; done += kPiece) {
      body(bytes + done, std::min(kPiece, total - done), base + static_cast<off_t>(done));
    }
  }

  Group& group_;
  std::string directory_;
  std::int64_t rows_;
  std::vector<float> memory_;
  std::vector<CheckpointTensor> tensors_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Series {
  const char* name;
  std::vector<double> seconds;
};

// The ratio is the median of the ratios of neighbouring runs.
void report(const Series& what, const Series& against, double gigabytes) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < what.seconds.size(); ++i) {
    ratios.push_back(against.seconds[i] / what.seconds[i]);
  }
  const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
  std::printf("  %-12s %6.2f GB/s, %-14s %6.2f GB/s: speed ratio %.2f [%.2f, %.2f]\n", what.name,
              gigabytes / median(what.seconds), against.name, gigabytes / median(against.seconds),
              median(ratios), *least, *most);
}

void run(Group& group, const std::string& directory, std::int64_t mib, int rounds, bool columns) {
  Bench bench(group, directory, mib, columns);
  Series raw_write{"pwrite+fsync", {}};
  Series write{"write", {}};
  Series raw_read{"pread", {}};
  Series read{"read", {}};
  Series copy{"memcpy", {}};
  Series stall{"stall", {}};
  std::vector<float> to(bench.num_floats());
  AsyncCheckpointWriter writer(group);
  writer.reserve(bench.tensors());
  for (int round = 0; round <= rounds; ++round) {
    bench.remove();
    const double raw = bench.seconds([&] { bench.raw_write(); });
    bench.remove();
    const double ours = bench.seconds([&] { bench.write(); });
    const double ours_read = bench.seconds([&] { bench.read(); });
    bench.remove();
    bench.raw_write();
    const double raw_again = bench.seconds([&] { bench.raw_read(); });
    const double copied = bench.seconds([&] { bench.copy(to); });
    const double stalled = bench.seconds([&] { bench.start(writer); });
    writer.wait();
    if (round == 0) {
      continue;  // first touches
    }
    raw_write.seconds.push_back(raw);
    write.seconds.push_back(ours);
    read.seconds.push_back(ours_read);
    raw_read.seconds.push_back(raw_again);
    copy.seconds.push_back(copied);
    stall.seconds.push_back(stalled);
  }
  bench.remove();
  if (group.rank() == 0) {
    std::printf("%d ranks, %lld MiB by %s, %d rounds\n", group.size(), static_cast<long long>(mib),
                columns ? "columns" : "ranges", rounds);
    report(write, raw_write, bench.gigabytes());
    report(read, raw_write, bench.gigabytes());
    report(read, raw_read, bench.gigabytes());
    report(stall, copy, bench.gigabytes());
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  const finescale::MpiSession session(&argc, &argv);
  const auto world = finescale::make_world_group();
  if (argc < 2) {
    std::fprintf(stderr,
                 "usage: mpirun -n RANKS checkpoint-bench DIR [MIB [ROUNDS [ranges|columns]]]\n");
    return 2;
  }
  finescale::run(*world, argv[1], argc > 2 ? std::atoll(argv[2]) : 256,
                 argc > 3 ? std::atoi(argv[3]) : 5, argc > 4 && std::string(argv[4]) == "columns");
  return 0;
}
