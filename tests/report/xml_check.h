// SPDX-License-Identifier: Apache-2.0
// Whether a text is well-formed XML: tags nest, attributes are quoted and unique, entities known.
#pragma once

#include <cctype>
#include <set>
#include <string>
#include <vector>

namespace finescale {

class XmlCheck {
 public:
  explicit XmlCheck(const std::string& text) : text_(text) {}

  // Empty when well-formed, else what is wrong.
  std::string fault() {
    while (at_ < text_.size() && fault_.empty()) {
      if (text_[at_] == '<') {
        tag();
      } else {
        character();
      }
    }
    if (fault_.empty() && !open_.empty()) {
      fail("not closed: " + open_.back());
    }
    return fault_;
  }

 private:
  void fail(const std::string& what) {
    fault_ = what + " at " + std::to_string(at_) + ": " + text_.substr(at_, 60);
  }
  std::string name() {
    const std::size_t start = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                  text_[at_] == '-' || text_[at_] == ':')) {
      ++at_;
    }
    return text_.substr(start, at_ - start);
  }
  void spaces() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) {
      ++at_;
    }
  }
  void character() {
    const auto byte = static_cast<unsigned char>(text_[at_]);
    if (byte < 0x20 && byte != '\n' && byte != '\t' && byte != '\r') {
      fail("control character");
    } else if (byte == '&') {
      static const std::set<std::string> kKnown = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
      const std::size_t end = text_.find(';', at_);
      if (end == std::string::npos || !kKnown.contains(text_.substr(at_, end - at_ + 1))) {
        fail("bad entity");
      }
    }
    ++at_;
  }
  void tag() {
    ++at_;
    if (at_ < text_.size() && text_[at_] == '/') {
      ++at_;
      const std::string closed = name();
      if (open_.empty() || open_.back() != closed || at_ >= text_.size() || text_[at_] != '>') {
        fail("closes " + closed);
        return;
      }
      open_.pop_back();
      ++at_;
      return;
    }
    const std::string opened = name();
    if (opened.empty()) {
      fail("bare <");
      return;
    }
    attributes();
    if (!fault_.empty()) {
      return;
    }
    if (text_[at_] == '/') {
      ++at_;
    } else {
      open_.push_back(opened);
    }
    if (at_ >= text_.size() || text_[at_] != '>') {
      fail("unfinished tag");
      return;
    }
    ++at_;
  }
  void attributes() {
    std::set<std::string> seen;
    for (spaces(); at_ < text_.size() && text_[at_] != '>' && text_[at_] != '/'; spaces()) {
      const std::string attribute = name();
      if (attribute.empty() || !seen.insert(attribute).second ||
          text_.compare(at_, 2, "=\"") != 0) {
        fail("attribute " + attribute);
        return;
      }
      const std::size_t end = text_.find('"', at_ + 2);
      for (at_ += 2; at_ < end && fault_.empty();) {
        if (text_[at_] == '<') {
          fail("< in attribute");
          return;
        }
        character();
      }
      if (end == std::string::npos) {
        fail("open quote");
        return;
      }
      at_ = end + 1;
    }
    if (at_ >= text_.size()) {
      fail("unfinished tag");
    }
  }

  std::string text_;
  std::size_t at_ = 0;
  std::vector<std::string> open_;
  std::string fault_;
};

// Every <svg>...</svg> of a page.
inline std::vector<std::string> svgs_of(const std::string& page) {
  std::vector<std::string> out;
  for (std::size_t at = 0; (at = page.find("<svg", at)) != std::string::npos;) {
    const std::size_t end = page.find("</svg>", at);
    out.push_back(page.substr(at, end - at + 6));
    at = end;
  }
  return out;
}

}  // namespace finescale
