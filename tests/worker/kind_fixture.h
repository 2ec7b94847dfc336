// SPDX-License-Identifier: Apache-2.0
// Every kind that the schema knows of a oneof, in every variant that its fields have, and a small
// training run with it. A new kind is covered without a line here.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "comm/local/local_group.h"
#include "configs/chosen_tensors.h"
#include "configs/schema/train.pb.h"
#include "core/parallel.h"
#include "core/random.h"
#include "worker/measured_model.h"
#include "worker/precision.h"
#include "worker/train_model.h"

namespace finescale::kind_test {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

struct Kind {
  std::string name;                           // lora_init_2
  const FieldDescriptor* field;               // of the oneof
  std::function<void(Message& kind)> adjust;  // null: as it is by default
  friend void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }
};

// A field's other settings: enums, switches, and numbers that are off by default or absent.
inline void add_variants(const FieldDescriptor& kind, const FieldDescriptor& field,
                         std::vector<Kind>& all) {
  const std::string name = kind.name() + "_" + field.name();
  if (field.is_repeated()) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_INT32) {  // layers: below them nothing is kept
      all.push_back({name, &kind, [&field](Message& message) {
                       message.GetReflection()->AddInt32(&message, &field, 1);
                       message.GetReflection()->AddInt32(&message, &field, 2);
                     }});
    }
    return;
  }
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      all.push_back({name, &kind, [&field](Message& message) {
                       message.GetReflection()->SetBool(&message, &field,
                                                        !field.default_value_bool());
                     }});
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      for (int i = 0; i < field.enum_type()->value_count(); ++i) {
        const auto* value = field.enum_type()->value(i);
        if (value != field.default_value_enum()) {
          all.push_back({name + "_" + std::to_string(value->number()), &kind,
                         [&field, value](Message& message) {
                           message.GetReflection()->SetEnum(&message, &field, value);
                         }});
        }
      }
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      if (field.has_default_value() && field.default_value_double() == 0) {
        all.push_back({name, &kind, [&field](Message& message) {
                         message.GetReflection()->SetDouble(&message, &field, 0.25);
                       }});
      }
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      if (!field.has_default_value()) {  // off when it is absent
        all.push_back({name, &kind, [&field](Message& message) {
                         message.GetReflection()->SetInt32(&message, &field, 2);
                       }});
      }
      break;
    default:
      break;
  }
}

// Of the only oneof of a message type.
inline std::vector<Kind> kinds_of(const Descriptor& type) {
  std::vector<Kind> all;
  for (int i = 0; i < type.oneof_decl(0)->field_count(); ++i) {
    const FieldDescriptor& kind = *type.oneof_decl(0)->field(i);
    all.push_back({kind.name(), &kind, nullptr});
    for (int f = 0; f < kind.message_type()->field_count(); ++f) {
      add_variants(kind, *kind.message_type()->field(f), all);
    }
  }
  return all;
}

inline void choose(const Kind& kind, Message& oneof) {
  Message* chosen = oneof.GetReflection()->MutableMessage(&oneof, kind.field);
  const Descriptor& type = *chosen->GetDescriptor();
  if (const FieldDescriptor* rank = type.FindFieldByName("rank"); rank != nullptr) {
    chosen->GetReflection()->SetInt32(chosen, rank, 3);  // what a small model has room for
  }
  if (const FieldDescriptor* soft = type.FindFieldByName("temperature"); soft != nullptr) {
    chosen->GetReflection()->SetDouble(chosen, soft, 2);
    chosen->GetReflection()->SetDouble(chosen, type.FindFieldByName("weight"), 0.75);
  }
  if (const FieldDescriptor* names = type.FindFieldByName("parameters"); names != nullptr) {
    for (const char* name :
         {"q_proj.weight", "v_proj", "down_proj", "layers.2.*norm", "embed_*", "lm_head"}) {
      chosen->GetReflection()->AddString(chosen, names, name);
    }
  }
  if (const FieldDescriptor* count = type.FindFieldByName("num_virtual_tokens"); count != nullptr) {
    chosen->GetReflection()->SetInt32(chosen, count, 3);
  }
  if (const FieldDescriptor* ids = type.FindFieldByName("prompt_tuning_init_ids"); ids != nullptr) {
    chosen->GetReflection()->AddInt32(chosen, ids, 9);
    chosen->GetReflection()->AddInt32(chosen, ids, 4);
  }
  if (kind.adjust) {
    kind.adjust(*chosen);
  }
}

inline std::vector<Kind> methods() {
  return kinds_of(*config::Method::descriptor());
}
inline std::vector<Kind> objectives() {
  return kinds_of(*config::Objective::descriptor());
}
inline std::vector<Kind> update_rules() {
  return kinds_of(*config::UpdateRule::descriptor());
}
inline std::vector<Kind> averages() {
  return kinds_of(*config::Average::descriptor());
}
inline Kind find(const std::vector<Kind>& kinds, const std::string& name) {
  for (const Kind& kind : kinds) {
    if (kind.name == name) {
      return kind;
    }
  }
  throw std::runtime_error("no kind " + name);
}

constexpr int kVocab = 44;

// A gated model with two key heads for four queries, and one with biases, position tables and no
// gate.
inline config::ModelConfig small_model(bool biased) {
  config::ModelConfig config;
  const auto size = [](auto& model) {
    model.set_vocab_size(kVocab);
    model.set_hidden_size(16);
    model.set_num_layers(4);
    model.set_num_heads(4);
    model.set_intermediate_size(24);
    model.set_max_positions(64);
    model.set_initializer_range(0.3);  // attention far from uniform
  };
  if (biased) {
    size(*config.mutable_gpt2());
  } else {
    size(*config.mutable_llama());
    config.mutable_llama()->set_num_kv_heads(2);
    config.mutable_llama()->set_head_dim(6);
    config.mutable_llama()->set_tie_embeddings(false);
  }
  return config;
}

// Texts, or with pairs preferences: two tokens of prompt, then answers of different lengths.
inline Dataset examples(bool pairs, bool weighted) {
  Random random(3, Purpose::kTest);
  std::vector<Example> all(24);
  for (Example& example : all) {
    example.loss_weight = weighted ? 0.3 * static_cast<double>((&example - all.data()) % 4) : 1;
    const auto add = [&](std::uint64_t count) {
      for (std::uint64_t t = 0; t < count; ++t) {
        example.tokens.push_back(static_cast<std::int32_t>(random.below(kVocab)));
      }
    };
    add(4 + random.below(9));
    example.num_prompt = 2;
    if (pairs) {
      example.second = static_cast<std::int32_t>(example.tokens.size());
      add(4 + random.below(5));
      example.learnt = {{2, example.second},
                        {example.second + 2, static_cast<std::int32_t>(example.tokens.size())}};
    }
  }
  return Dataset(all);
}

struct Choice {
  Kind method = find(methods(), "full");
  Kind objective = find(objectives(), "sft");
  Kind rule = find(update_rules(), "adamw");
  std::optional<Kind> average = {};
  bool biased = false;
  bool weighted = false;  // examples count in the loss differently, some not at all
  config::Precision precision = config::PRECISION_F32;
  friend void PrintTo(const Choice& c, std::ostream* out) {
    *out << c.method.name << ", " << c.objective.name << ", " << c.rule.name
         << (c.precision == config::PRECISION_BF16 ? ", bf16" : "");
  }
};

inline config::Train settings(const Choice& choice) {
  config::Train train;
  choose(choice.method, *train.mutable_method());
  choose(choice.objective, *train.mutable_objective());
  choose(choice.rule, *train.mutable_optimizer());
  if (choice.average) {
    choose(*choice.average, *train.mutable_average());
  }
  train.set_learning_rate(1e-2);
  train.set_weight_decay(0.01);
  train.mutable_batch()->set_examples(8);
  train.set_micro_batch_tokens(26);
  train.set_steps(6);
  train.set_precision(choice.precision);
  return train;
}

// Whether the model has what the method trains.
inline bool fits(const Choice& choice) {
  const auto wanted = tensor_choice(settings(choice).method());
  return !wanted || !chosen_tensors(decoder_shape(small_model(choice.biased)), *wanted).empty();
}

// The ranks of a group that train one choice.
class TrainedRun {
 public:
  TrainedRun(Group& group, const Choice& choice, const MeshShape& mesh = {}, int zero_stage = 0,
             const Stream& stream = Stream())
      : train(settings(choice)),
        mesh_(group, mesh),
        messages_(&group.monitor()),
        objective_(make_objective(train.objective())),
        data_(examples(objective_->needs_pairs(), choice.weighted)),
        loader(data_, train, 1) {
    set_num_threads(1);
    engine.mesh = &mesh_;
    engine.zero_stage = zero_stage;
    engine.stream = stream;
    engine.messages = mesh.pipeline > 1 ? &messages_ : nullptr;
    engine = engine_for(engine, train);
    base = std::make_shared<BaseModel>(make_base_model(engine, small_model(choice.biased),
                                                       storage_of(choice.precision),
                                                       base_form(engine, train)));
    initialize(*base, 1);
    if (objective_->needs_reference()) {
      MeasuredModel start(engine, {base, {}});
      reference_ = std::make_unique<ReferenceScores>(start.eval(), data_, loader);
    }
    model = std::make_unique<TrainModel>(engine, *base, train, 1, loader);
    model->set_reference(reference_.get());
    if (const auto divergence = objective_->divergence()) {  // from a model of other weights
      auto weights = std::make_shared<BaseModel>(make_base_model(
          engine, small_model(choice.biased), storage_of(choice.precision), BaseForm()));
      initialize(*weights, 2);
      teacher_model_ = std::make_unique<MeasuredModel>(engine, AdaptedModel{weights, {}});
      teacher_ =
          std::make_unique<Teacher>(teacher_model_->eval(), *divergence, loader.max_micro_batches(),
                                    loader.max_micro_batch_tokens());
      model->set_teacher(teacher_.get());
    }
  }

  // Loss of a step's batch; the gradient is in place.
  double pass(std::int64_t step) {
    loader.fill(step, batch_);
    model->begin_step(step + 1);
    return again();
  }
  // The same batch once more: what counts as constant within a step stays.
  double again() { return model->forward_backward(batch_, scale()); }
  [[nodiscard]] double scale() const { return 1.0 / model->num_terms(batch_); }
  void step(std::int64_t step) {
    losses.push_back(pass(step));
    model->find_gradient_norm();
    losses.push_back(model->gradient_norm());
    model->update(step + 1, 1e-2);
  }
  void steps(std::int64_t from, std::int64_t to) {
    for (std::int64_t i = from; i < to; ++i) {
      step(i);
    }
  }
  void save(const std::string& path) {
    write_checkpoint(mesh_.world(), path, {}, model->share_for_writing(true, false));
    model->have_written();
  }
  void load(const std::string& path) {
    CheckpointReader reader(mesh_.world(), path);
    reader.read(model->owned_for_reading(false));
    model->have_read();
  }

  config::Train train;

 private:
  Mesh mesh_;
  MessageQueues messages_;
  std::unique_ptr<Objective> objective_;
  Dataset data_;
  GlobalBatch batch_;
  std::unique_ptr<ReferenceScores> reference_;
  std::unique_ptr<MeasuredModel> teacher_model_;
  std::unique_ptr<Teacher> teacher_;

 public:
  Engine engine;
  TrainLoader loader;
  std::shared_ptr<BaseModel> base;
  std::unique_ptr<TrainModel> model;
  std::vector<double> losses;  // and norms
};

// Everything that a run trains: values by path, where they lie.
inline std::vector<CheckpointTensor> trained(TrainModel& model) {
  std::vector<CheckpointTensor> values;
  for (CheckpointTensor& tensor : model.owned_for_reading(false)) {
    if (tensor.path.starts_with("/model/") || tensor.path.starts_with("/adapter/")) {
      values.push_back(std::move(tensor));
    }
  }
  return values;
}

// All numbers of a checkpoint, in double precision, by path.
inline std::map<std::string, std::vector<double>> numbers_of(const std::string& path) {
  std::map<std::string, std::vector<double>> all;
  const auto single = make_single_group();
  CheckpointReader reader(*single, path);
  for (const std::string group : {"/model", "/adapter", "/optimizer", "/average"}) {
    for (const LogicalTensor& tensor : reader.tensors(group)) {
      std::vector<double> values(static_cast<std::size_t>(tensor.shape.num_elements()));
      CheckpointTensor wanted;
      wanted.path = group + "/" + tensor.name;
      wanted.shape = tensor.shape;
      wanted.part = {Shape(tensor.shape), tensor.shape};
      wanted.part.offset.dims = {};
      wanted.local = TensorView(values.data(), DType::kF64, tensor.shape);
      reader.read({wanted});
      all[wanted.path] = std::move(values);
    }
  }
  return all;
}

// Noise keyed by the element, so that nothing that trains stays where it starts.
inline void perturb(const std::vector<CheckpointTensor>& tensors, double size) {
  for (const CheckpointTensor& tensor : tensors) {
    if (tensor.path.ends_with("/places")) {  // no numbers to compute with
      continue;
    }
    Random random(17, Purpose::kTest, name_stream(tensor.path));
    for (std::int64_t i = 0; i < tensor.local.num_elements(); ++i) {
      const double noise = size * random.normal();
      tensor.local.dtype == DType::kF64 ? tensor.local.as<double>()[i] += noise
                                        : tensor.local.as<float>()[i] += static_cast<float>(noise);
    }
  }
}

}  // namespace finescale::kind_test
