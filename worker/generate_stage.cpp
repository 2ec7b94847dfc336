// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/random.h"
#include "worker/data/example_file.h"
#include "worker/data/tasks/task.h"
#include "worker/data_stages.h"
#include "worker/eval/generate.h"
#include "worker/measured_model.h"
#include "worker/model_fit.h"

namespace finescale {

namespace {

using Json = nlohmann::json;

constexpr std::int64_t kAnswersAtOnce = 64;  // answers decoded together; what a resume counts in
constexpr const char* kPartial = "/partial.jsonl";

// One answer as a line, and back.
std::string line_of(const std::string& text, bool is_whole) {
  return Json{{"text", text}, {"whole", is_whole}}.dump(-1, ' ', false,
                                                        Json::error_handler_t::replace);
}

struct Answer {
  std::string text;
  bool is_whole = false;  // it ended by itself
};

// Lines that are whole: a killed attempt may leave a torn one.
std::vector<Answer> read_partial(const std::string& path) {
  std::vector<Answer> answers;
  std::ifstream in(path, std::ios::binary);
  std::string line;
  while (std::getline(in, line) && !in.eof()) {
    const Json value = Json::parse(line, nullptr, false);
    if (!value.is_object() || !value.contains("text") || !value.contains("whole")) {
      break;
    }
    answers.push_back({value["text"].get<std::string>(), value["whole"].get<bool>()});
  }
  return answers;
}

class GenerateStage {
 public:
  GenerateStage(const config::GenerateSpec& spec, const Engine& engine, const DataStageInput& input)
      : spec_(spec), in_(input), engine_(engine) {}

  proto::StageResult run() {
    prepare();
    restore();
    const std::int64_t groups = (num_answers() + kAnswersAtOnce - 1) / kAnswersAtOnce;
    // Ranks that gather units from each other must take the same number of steps, which depends on
    // the answers: they decode the same prompts.
    Group& group = engine_.zero_stage == 3 ? engine_.mesh->data() : engine_.mesh->replica();
    for (std::int64_t first = done_ / kAnswersAtOnce; first < groups; first += group.size()) {
      const std::int64_t mine = first + group.rank();
      keep(group, mine < groups ? answer(mine) : std::string());
      if (pulse() && done_ < num_answers()) {
        proto::StageResult result;
        result.set_outcome(proto::StageResult::STOPPED);
        result.set_why("told to stop after " + std::to_string(done_) + " answers");
        return result;
      }
    }
    return finish();
  }

 private:
  void prepare() {
    model_ = std::make_unique<MeasuredModel>(
        engine_, in_.resident->adapted(engine_, spec_.model(), DType::kF32, *in_.dirs,
                                       ModelUse::kGenerates));
    tokenizer_ = in_.resident->tokenizer(spec_.tokenizer(), *in_.dirs);
    check_model_fits(model_->config(), *tokenizer_, spec_.rules());
    data_ = in_.resident->dataset(spec_.data(), spec_.rules(), spec_.tokenizer(), *in_.dirs);
    in_.logger->info("data: {}", data_->describe());
    choose_prompts();
    if (!spec_.generate().prefix().empty()) {
      prefix_ = tokenizer_->encode(spec_.generate().prefix());
    }
    verifier_ = spec_.data().has_task() ? make_task(spec_.data().task()) : nullptr;
  }

  // The first of a permutation of the pool, as a data budget of train is; then in their order.
  void choose_prompts() {
    const config::Generate& generate = spec_.generate();
    const std::int64_t budget = generate.has_data_budget() ? generate.data_budget() : data_->size();
    if (budget > data_->size()) {
      throw Error(ErrorKind::kData,
                  "data_budget is " + std::to_string(budget) + ", but the data have only " +
                      std::to_string(data_->size()) + " examples",
                  *in_.label, "lower generate.data_budget");
    }
    const Permutation order(static_cast<std::uint64_t>(data_->size()),
                            static_cast<std::uint64_t>(spec_.seed()), Purpose::kSubset);
    for (std::int64_t i = 0; i < budget; ++i) {
      prompts_.push_back(static_cast<std::int64_t>(order[static_cast<std::uint64_t>(i)]));
    }
    std::sort(prompts_.begin(), prompts_.end());
    for (const std::int64_t prompt : prompts_) {
      if ((*data_)[prompt].num_prompt == 0 || (*data_)[prompt].prompt.empty()) {
        throw Error(ErrorKind::kData, "an example has no prompt to answer", *in_.label,
                    "generate reads {prompt, response}");
      }
    }
  }

  [[nodiscard]] std::int64_t num_answers() const {
    return std::ssize(prompts_) * spec_.generate().samples();
  }
  [[nodiscard]] std::int64_t prompt_of(std::int64_t answer) const {
    return prompts_[static_cast<std::size_t>(answer / spec_.generate().samples())];
  }

  // What older attempts kept, whole groups of it. Collective over the world.
  void restore() {
    if (in_.world->rank() == 0) {
      std::vector<std::string> places = {in_.place->attempt_dir};
      places.insert(places.end(), in_.place->resume_dirs.begin(), in_.place->resume_dirs.end());
      for (const std::string& place : places) {
        std::vector<Answer> found = read_partial(place + kPartial);
        if (found.size() > answers_.size()) {
          answers_ = std::move(found);
        }
      }
      answers_.resize(std::min<std::size_t>(answers_.size() / kAnswersAtOnce * kAnswersAtOnce,
                                            static_cast<std::size_t>(num_answers())));
      done_ = std::ssize(answers_);
      std::string text;
      for (const Answer& answer : answers_) {
        text += line_of(answer.text, answer.is_whole) + "\n";
      }
      write_file_atomically(in_.place->attempt_dir + kPartial, text);
      if (done_ > 0) {
        in_.logger->info("continues behind {} of {} answers", done_, num_answers());
      }
    }
    std::string done = std::to_string(done_);
    in_.world->broadcast(done, 0);
    done_ = std::stoll(done);
  }

  // The lines of one group's answers.
  std::string answer(std::int64_t number) {
    const config::Generate& generate = spec_.generate();
    GenerationOptions options;
    options.sampling.temperature = generate.temperature();
    options.sampling.top_k = generate.top_k();
    options.sampling.top_p = generate.top_p();
    options.seed = static_cast<std::uint64_t>(spec_.seed());
    options.max_new = generate.max_new_tokens();
    options.stop_tokens = {data_->facts().end_token};
    std::vector<std::vector<std::int32_t>> prompts;
    const std::int64_t end = std::min((number + 1) * kAnswersAtOnce, num_answers());
    for (std::int64_t i = number * kAnswersAtOnce; i < end; ++i) {
      const ExampleView example = (*data_)[prompt_of(i)];
      std::vector<std::int32_t>& prompt =
          prompts.emplace_back(example.tokens.begin(), example.tokens.begin() + example.num_prompt);
      prompt.insert(prompt.end(), prefix_.begin(), prefix_.end());
      // By the example, not by its place among those asked: other budgets get the same answers.
      options.indexes.push_back(static_cast<std::uint64_t>(prompt_of(i)) *
                                    static_cast<std::uint64_t>(kMaxSamples) +
                                static_cast<std::uint64_t>(i % generate.samples()));
    }
    std::string lines;
    for (const Generated& generated : Generator(model_->eval()).run(prompts, options)) {
      lines += line_of(generate.prefix() + tokenizer_->decode(generated.tokens),
                       generated.reason == FinishReason::kStopToken) +
               "\n";
    }
    return lines;
  }

  // Takes the groups of all ranks in their order. Collective over the group.
  void keep(Group& group, const std::string& mine) {
    std::string round;
    for (int rank = 0; rank < group.size(); ++rank) {
      std::string lines = rank == group.rank() ? mine : std::string();
      group.broadcast(lines, rank);
      round += lines;
    }
    done_ += std::count(round.begin(), round.end(), '\n');
    if (in_.world->rank() != 0) {
      return;
    }
    const std::string path = in_.place->attempt_dir + kPartial;
    std::ofstream out(path, std::ios::binary | std::ios::app);
    out << round << std::flush;
    if (!out) {
      throw Error(ErrorKind::kIo, "the answers cannot be written", path);
    }
  }

  [[nodiscard]] bool pulse() const {
    proto::Progress progress;
    progress.set_doing("generate");
    progress.set_step(done_);
    progress.set_steps(num_answers());
    return in_.hooks->on_progress && in_.hooks->on_progress(progress);
  }

  proto::StageResult finish() {
    proto::StageResult result;
    if (in_.world->rank() == 0) {
      answers_ = read_partial(in_.place->attempt_dir + kPartial);
      FS_CHECK(std::ssize(answers_) == num_answers(), "every prompt has its answers");
      write_data(result);
      std::filesystem::remove(in_.place->attempt_dir + kPartial);
    }
    std::string bytes = result.SerializeAsString();
    in_.world->broadcast(bytes, 0);
    result.ParseFromString(bytes);
    if (result.evals(result.evals_size() - 1).value() == 0) {
      throw Error(ErrorKind::kData, "every answer is empty", *in_.label,
                  "train longer before generating");
    }
    result.set_outcome(proto::StageResult::DONE);
    return result;
  }

  void write_data(proto::StageResult& result) const {
    std::vector<RawExample> examples;
    std::array<std::int64_t, 4> verdicts{};
    std::int64_t cut = 0;
    for (std::size_t i = 0; i < answers_.size(); ++i) {
      const ExampleView asked = (*data_)[prompt_of(static_cast<std::int64_t>(i))];
      const Answer& answer = answers_[i];
      cut += static_cast<std::int64_t>(!answer.is_whole);
      if (verifier_ != nullptr) {
        ++verdicts[static_cast<std::size_t>(
            verifier_->verify(asked.verified_prompt(), answer.text))];
      }
      if (answer.text.empty()) {
        continue;  // nothing to learn
      }
      RawExample& example = examples.emplace_back();
      example.form = ExampleForm::kPromptResponse;
      example.prompt = asked.prompt;
      example.response = answer.text;
      example.expected = asked.response;
      example.problem = asked.problem;
    }
    write_examples(in_.place->attempt_dir + "/data.jsonl", examples);
    const std::int64_t n = num_answers();
    for (std::size_t v = 0; verifier_ != nullptr && v < verdicts.size(); ++v) {
      add_metric(in_, verdict_metric(static_cast<Verdict>(v)),
                 static_cast<double>(verdicts[v]) / static_cast<double>(n), n, result);
    }
    add_metric(in_, "examples", static_cast<double>(examples.size()), n, result);
    in_.logger->info("{}: {} answers to {} prompts, {} cut at max_new_tokens, {} empty", *in_.label,
                     n, prompts_.size(), cut, n - std::ssize(examples));
  }

  static constexpr std::int64_t kMaxSamples = 100000;  // of the schema
  const config::GenerateSpec& spec_;
  const DataStageInput& in_;
  const Engine& engine_;
  std::unique_ptr<MeasuredModel> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const Dataset> data_;
  std::unique_ptr<Task> verifier_;
  std::vector<std::int64_t> prompts_;  // examples that are asked
  std::vector<std::int32_t> prefix_;
  std::vector<Answer> answers_;  // of rank 0
  std::int64_t done_ = 0;
};

}  // namespace

proto::StageResult run_generate_stage(const config::GenerateSpec& spec, const Engine& engine,
                                      const DataStageInput& input) {
  return GenerateStage(spec, engine, input).run();
}

}  // namespace finescale
