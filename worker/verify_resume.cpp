// SPDX-License-Identifier: Apache-2.0
#include "worker/verify_resume.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"
#include "comm/group.h"
#include "configs/canonical.h"
#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "worker/stage_executor.h"

namespace finescale {

namespace {

namespace fs = std::filesystem;

constexpr double kTolerance = 1e-3;  // relative, of a loss: float32 sums in another order

class Scratch {
 public:
  Scratch() : path_((fs::temp_directory_path() / "finescale-verify-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) {
      throw Error(ErrorKind::kResource, "cannot make a temporary directory", path_, "set TMPDIR");
    }
  }
  ~Scratch() {
    std::error_code code;
    fs::remove_all(path_, code);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] std::string make(const std::string& name) const {
    make_directories(path_ + "/" + name);
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

struct Record {
  config::StageSpec spec;  // on one rank
  proto::StageResult result;
  std::vector<std::string> input_dirs;
  std::int64_t begins_after = 0;  // updates that its trunk has done
  bool was_tensor_parallel = false;
};

// "threads=2" of "isa=avx2 threads=2 ranks=1".
std::string word_of(const std::string& environment, const std::string& name) {
  std::istringstream in(environment);
  for (std::string word; in >> word;) {
    if (word.starts_with(name + "=")) {
      return word.substr(name.size() + 1);
    }
  }
  return "";
}

// Without the trunk when it is gone: from the beginning the bits are the same.
void drop_lost_start(const std::string& beside, config::StageSpec& spec) {
  const std::string start = spec.train().start();
  if (start.empty() || path_exists(beside + "/" + start + "/checkpoint.h5")) {
    return;
  }
  spec.mutable_train()->clear_start();
  auto* inputs = spec.mutable_inputs();
  inputs->erase(std::find(inputs->begin(), inputs->end(), start));
}

Record read_record(const std::string& artifact) {
  if (!path_exists(artifact + "/manifest.json") || !path_exists(artifact + "/checkpoint.h5")) {
    throw Error(ErrorKind::kConfig, "it is no artifact of a training stage", artifact,
                "give DIR TRIAL of a campaign, or a directory below its artifacts/");
  }
  for (const std::string& problem : verify_manifest(artifact, true)) {
    throw Error(ErrorKind::kCheckpoint, problem, {}, "finescale audit shows what else is damaged");
  }
  Record record;
  const auto group = make_single_group();
  parse_canonical(CheckpointReader(*group, artifact + "/checkpoint.h5").state().stage_text,
                  record.spec);
  if (!record.spec.has_train() ||
      !record.result.ParseFromString(read_file(artifact + "/result.pb"))) {
    throw Error(ErrorKind::kConfig, "it is no artifact of a training stage", artifact);
  }
  const std::string beside = fs::path(artifact).parent_path().string();
  drop_lost_start(beside, record.spec);
  record.begins_after = record.spec.train().has_start() ? record.result.inherited().steps() : 0;
  for (const std::string& input : record.spec.inputs()) {
    std::string& directory = record.input_dirs.emplace_back(beside);
    directory.append("/").append(input);
    if (!path_exists(directory)) {
      throw Error(ErrorKind::kConfig, "its input " + input + " is not there", artifact);
    }
  }
  record.was_tensor_parallel = record.spec.mesh().tensor() > 1;
  record.spec.mutable_mesh()->Clear();  // of it tensor ranks alone change bits
  return record;
}

class Rerun {
 public:
  Rerun(const Record& record, Logger& logger) : record_(record), logger_(logger) {}

  // Up to update `last`, in its own process' terms: with an executor that knows nothing.
  proto::StageResult run(const std::string& place, const std::vector<std::string>& resume,
                         std::int64_t last) {
    const auto group = make_single_group();
    ExecutorOptions options;
    const std::string& environment = record_.result.environment();
    options.threads = std::max(1, std::atoi(word_of(environment, "threads").c_str()));
    options.device = word_of(environment, "gpu").empty() ? "cpu" : "auto";
    StageExecutor executor(*group, options, logger_);
    AttemptPlace attempt;
    attempt.attempt_dir = place;
    attempt.resume_dirs = resume;
    attempt.input_dirs = record_.input_dirs;
    attempt.epoch = 1;
    StageHooks hooks;
    hooks.on_progress = [last](const proto::Progress& progress) {
      return progress.doing() == "train" && progress.step() >= last;
    };
    return executor.execute(record_.spec, attempt, hooks);
  }

 private:
  const Record& record_;
  Logger& logger_;
};

// The bytes of every tensor below /model and /adapter.
std::string first_difference(const std::string& a, const std::string& b) {
  const auto group = make_single_group();
  CheckpointReader left(*group, a);
  CheckpointReader right(*group, b);
  for (const char* root : {"/model", "/adapter"}) {
    for (const LogicalTensor& tensor : left.tensors(root)) {
      std::string path = std::string(root) + "/" + tensor.name;
      if (!right.has(path)) {
        return path;
      }
      const auto count = static_cast<std::size_t>(tensor.shape.num_elements());
      std::vector<float> values[2] = {std::vector<float>(count), std::vector<float>(count)};
      for (int i = 0; i < 2; ++i) {
        CheckpointTensor wanted;
        wanted.path = path;
        wanted.shape = tensor.shape;
        wanted.part = local_part(tensor, 0, 1);
        wanted.local = TensorView(values[i].data(), DType::kF32, tensor.shape);
        (i == 0 ? left : right).read({wanted});
      }
      if (std::memcmp(values[0].data(), values[1].data(), count * sizeof(float)) != 0) {
        return path;
      }
    }
  }
  return "";
}

bool is_same(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

bool is_same(const proto::StepRow& a, const proto::StepRow& b) {
  return a.tokens() == b.tokens() && a.labels() == b.labels() && is_same(a.loss(), b.loss()) &&
         is_same(a.lr(), b.lr()) && is_same(a.grad_norm(), b.grad_norm());
}

}  // namespace

bool ResumeCertificate::is_tolerance_equal() const {
  return may_differ && largest_deviation <= kTolerance;
}

void compare_rows(const proto::StageResult& record, const proto::StageResult& again,
                  std::int64_t last, ResumeCertificate& certificate) {
  auto other = again.steps().begin();
  for (const proto::StepRow& row : record.steps()) {
    if (row.step() > last) {
      break;
    }
    other = std::find_if(other, again.steps().end(),
                         [&](const proto::StepRow& one) { return one.step() >= row.step(); });
    const bool is_there = other != again.steps().end() && other->step() == row.step();
    if (!certificate.differs_at && (!is_there || !is_same(row, *other))) {
      certificate.differs_at = row.step();
    }
    const double deviation =
        is_there ? std::abs(other->loss() - row.loss()) / std::max(1e-30, std::abs(row.loss()))
                 : HUGE_VAL;
    certificate.largest_deviation = std::max(certificate.largest_deviation, deviation);
    ++certificate.rows;
  }
}

ResumeCertificate verify_resume(const std::string& artifact, std::int64_t steps, Logger& logger) {
  const Record record = read_record(artifact);
  const std::int64_t end =
      record.result.steps().empty() ? 0 : record.result.steps().rbegin()->step();
  const std::int64_t begin = record.begins_after;
  const std::int64_t last = steps > 0 ? std::min(end, begin + steps) : end;
  if (last <= begin) {
    throw Error(ErrorKind::kConfig, "the stage has no update of its own to execute again",
                artifact);
  }
  ResumeCertificate certificate;
  certificate.key = record.spec.key();
  certificate.first_step = begin + 1;
  certificate.last_step = last;
  const Scratch scratch;
  Rerun rerun(record, logger);
  std::vector<std::string> resume;
  if (last - begin > 1) {
    certificate.resumed_after = begin + (last - begin) / 2;
    const std::string first = scratch.make("first");
    (void)rerun.run(first, {}, certificate.resumed_after);
    resume.push_back(first);
  }
  const std::string second = scratch.make("second");
  const proto::StageResult again = rerun.run(second, resume, last);
  compare_rows(record.result, again, last, certificate);
  certificate.compared_weights = again.outcome() == proto::StageResult::DONE;
  if (certificate.compared_weights) {
    certificate.weights_differ =
        first_difference(artifact + "/checkpoint.h5", second + "/checkpoint.h5");
  }
  certificate.recorded_environment = record.result.environment();
  certificate.environment = again.environment();
  certificate.may_differ = record.was_tensor_parallel;
  for (const char* what : {"isa", "threads", "gpu"}) {
    certificate.may_differ =
        certificate.may_differ ||
        word_of(certificate.recorded_environment, what) != word_of(certificate.environment, what);
  }
  return certificate;
}

}  // namespace finescale
