// SPDX-License-Identifier: Apache-2.0
#include "worker/data/raw_example.h"

#include <cmath>

namespace finescale {

namespace {

using OrderedJson = nlohmann::ordered_json;

std::string text_field(OrderedJson& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) {
    throw BadExample{std::string("\"") + name + "\" is missing"};
  }
  if (!found->is_string()) {
    throw BadExample{std::string("\"") + name + "\" is " + found->type_name() +
                     ", must be a string"};
  }
  return std::move(found->get_ref<std::string&>());
}

void check_message(const OrderedJson& message, std::size_t index) {
  const std::string where = "messages[" + std::to_string(index) + "]";
  if (!message.is_object()) {
    throw BadExample{where + " is " + message.type_name() + ", must be an object"};
  }
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()) {
    throw BadExample{
        where + (role == message.end() ? ": \"role\" is missing" : ": \"role\" must be a string")};
  }
  if (!message.contains("content") && !message.contains("tool_calls")) {
    throw BadExample{where + ": \"content\" is missing"};
  }
}

RawExample from_messages(OrderedJson& record) {
  RawExample example;
  example.form = ExampleForm::kMessages;
  example.messages = std::move(record["messages"]);
  if (!example.messages.is_array() || example.messages.empty()) {
    throw BadExample{"\"messages\" must be a list of {role, content}"};
  }
  bool has_answer = false;
  for (std::size_t i = 0; i < example.messages.size(); ++i) {
    check_message(example.messages[i], i);
    has_answer = has_answer || example.messages[i]["role"] == "assistant";
  }
  if (!has_answer) {
    throw BadExample{"no message is the assistant's: nothing to learn"};
  }
  if (const auto tools = record.find("tools"); tools != record.end() && !tools->is_null()) {
    if (!tools->is_array()) {
      throw BadExample{std::string("\"tools\" is ") + tools->type_name() + ", must be a list"};
    }
    example.tools = std::move(*tools);
  }
  return example;
}

// Columns that stages add; of other records they are ignored like any column.
void add_columns(const OrderedJson& record, RawExample& example) {
  if (const auto loss = record.find("loss"); loss != record.end() && loss->is_number()) {
    example.loss = loss->get<double>();
  }
  if (const auto expected = record.find("expected");
      expected != record.end() && expected->is_string()) {
    example.expected = expected->get<std::string>();
  }
  if (const auto stream = record.find("stream");
      stream != record.end() && stream->is_number_unsigned()) {
    example.stream = stream->get<std::int32_t>();
  }
  if (const auto weight = record.find("loss_weight"); weight != record.end()) {
    example.loss_weight = weight->is_number() ? weight->get<double>() : -1;
    if (!(example.loss_weight >= 0) || !std::isfinite(example.loss_weight)) {
      throw BadExample{"\"loss_weight\" is " + weight->dump() + ", must be a number >= 0"};
    }
  }
  if (const auto problem = record.find("problem");
      problem != record.end() && problem->is_string()) {
    example.problem = problem->get<std::string>();
  }
}

RawExample from_preference(OrderedJson& record) {
  RawExample example;
  example.form = ExampleForm::kPreference;
  example.prompt = text_field(record, "prompt");
  example.response = text_field(record, "chosen");
  example.rejected = text_field(record, "rejected");
  if (example.response.empty() || example.rejected.empty()) {
    throw BadExample{std::string("\"") + (example.response.empty() ? "chosen" : "rejected") +
                     "\" is empty: nothing to prefer"};
  }
  if (example.response == example.rejected) {
    throw BadExample{"\"chosen\" and \"rejected\" are the same"};
  }
  return example;
}

}  // namespace

const char* form_name(ExampleForm form) {
  switch (form) {
    case ExampleForm::kText:
      return "{text}";
    case ExampleForm::kPromptResponse:
      return "{prompt, response}";
    case ExampleForm::kMessages:
      return "{messages}";
    case ExampleForm::kPreference:
      return "{prompt, chosen, rejected}";
  }
  return "";
}

std::string describe(const FormCounts& counts) {
  std::string out;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) {
      out += (out.empty() ? "" : ", ") + std::to_string(counts[i]) + " of " +
             form_name(static_cast<ExampleForm>(i));
    }
  }
  return out;
}

OrderedJson row_of(const RawExample& example) {
  OrderedJson row;
  switch (example.form) {
    case ExampleForm::kText:
      row["text"] = example.response;
      break;
    case ExampleForm::kPromptResponse:
      row["prompt"] = example.prompt;
      row["response"] = example.response;
      break;
    case ExampleForm::kMessages:
      row["messages"] = example.messages;
      if (!example.tools.is_null()) {
        row["tools"] = example.tools;
      }
      break;
    case ExampleForm::kPreference:
      row["prompt"] = example.prompt;
      row["chosen"] = example.response;
      row["rejected"] = example.rejected;
      break;
  }
  if (!example.expected.empty()) {
    row["expected"] = example.expected;
  }
  if (!example.problem.empty()) {
    row["problem"] = example.problem;
  }
  if (example.stream > 0) {
    row["stream"] = static_cast<std::uint32_t>(example.stream);
  }
  if (example.loss_weight != 1) {
    row["loss_weight"] = example.loss_weight;
  }
  if (example.loss) {
    row["loss"] = *example.loss;
  }
  return row;
}

RawExample raw_example(OrderedJson&& record) {
  if (!record.is_object()) {
    throw BadExample{std::string("is ") + record.type_name() + ", must be an object"};
  }
  RawExample example;
  if (record.contains("messages") || record.contains("chosen") || record.contains("rejected")) {
    example = record.contains("messages") ? from_messages(record) : from_preference(record);
    add_columns(record, example);
    return example;
  }
  if (record.contains("text")) {
    example.response = text_field(record, "text");
    add_columns(record, example);
  } else {
    example.form = ExampleForm::kPromptResponse;
    example.prompt = text_field(record, "prompt");
    example.response = text_field(record, "response");
    add_columns(record, example);
  }
  if (example.response.empty()) {
    throw BadExample{std::string("\"") +
                     (example.form == ExampleForm::kText ? "text" : "response") +
                     "\" is empty: nothing to learn"};
  }
  return example;
}

}  // namespace finescale
