// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/post_processor.h"

namespace finescale {

PostProcessor::PostProcessor(const JsonNode* node) {
  if (node != nullptr) {
    add_steps(*node);
  }
}

void PostProcessor::add_steps(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "Sequence") {
    const JsonNode list = node.at("processors");
    for (std::size_t i = 0; i < list.size(); ++i) {
      add_steps(list.at(i));
    }
  } else if (type == "TemplateProcessing") {
    const JsonNode special = node.at("special_tokens");
    steps_.push_back(
        {read_template(node.at("single"), special, 1), read_template(node.at("pair"), special, 2)});
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    const Part first = read_token(node.at("cls"));
    const Part end = read_token(node.at("sep"));
    const Part a{0, {}};
    const Part b{1, {}};
    steps_.push_back({{first, a, end},
                      type == "BertProcessing" ? std::vector<Part>{first, a, end, b, end}
                                               : std::vector<Part>{first, a, end, end, b, end}});
  } else if (type != "ByteLevel") {  // that one trims offsets, which nobody asks for here
    node.unsupported("the post-processor " + type);
  }
  if (steps_.size() > 1) {
    node.unsupported("a second post-processor that adds tokens");
  }
}

PostProcessor::Part PostProcessor::read_token(const JsonNode& node) {
  (void)node.at(std::size_t{0}).text();
  return {-1, {static_cast<std::int32_t>(node.at(std::size_t{1}).integer(0, INT32_MAX - 1))}};
}

std::vector<PostProcessor::Part> PostProcessor::read_template(const JsonNode& node,
                                                              const JsonNode& special, int texts) {
  std::vector<Part> parts;
  for (std::size_t i = 0; i < node.size(); ++i) {
    const JsonNode piece = node.at(i);
    if (const auto sequence = piece.find("Sequence")) {
      const std::string id = sequence->at("id").text();
      const int text = id == "A" ? 0 : id == "B" ? 1 : -1;
      if (text < 0 || text >= texts) {
        sequence->at("id").fail("names the text " + id + ", which this template has not");
      }
      parts.push_back({text, {}});
      continue;
    }
    const JsonNode name = piece.at("SpecialToken").at("id");
    const auto token = special.find(name.text());
    if (!token) {
      name.fail("is " + name.text() + ", which is not among the special_tokens");
    }
    const JsonNode ids = token->at("ids");
    Part part;
    for (std::size_t k = 0; k < ids.size(); ++k) {
      part.ids.push_back(static_cast<std::int32_t>(ids.at(k).integer(0, INT32_MAX - 1)));
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

std::vector<std::int32_t> PostProcessor::apply(
    const std::vector<std::vector<std::int32_t>>& texts) const {
  std::vector<std::int32_t> out;
  if (steps_.empty()) {
    for (const auto& ids : texts) {
      out.insert(out.end(), ids.begin(), ids.end());
    }
    return out;
  }
  for (const Part& part : texts.size() == 1 ? steps_.front().single : steps_.front().pair) {
    const std::vector<std::int32_t>& ids =
        part.text < 0 ? part.ids : texts[static_cast<std::size_t>(part.text)];
    out.insert(out.end(), ids.begin(), ids.end());
  }
  return out;
}

}  // namespace finescale
