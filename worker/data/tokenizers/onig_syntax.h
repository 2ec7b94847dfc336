// SPDX-License-Identifier: Apache-2.0
// Regular expressions in tokenizer.json are Oniguruma's; this writes them as PCRE2 understands them
// with PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE. Differences that it handles: \h, \v, \s, \w, \b,
// \uHHHH, (?m), {n,m}+, {n}?, {,n}, POSIX brackets, classes in classes and &&, scripts, and
// characters newer than PCRE2's tables. Not handled: a case-insensitive pattern never matches a
// character whose folding is several characters (ss for U+00DF).
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace finescale {

// Calls refuse(what) - which throws - for what has no equal in PCRE2.
[[nodiscard]] std::string pcre_from_onig(std::string_view pattern,
                                         const std::function<void(const std::string&)>& refuse);

}  // namespace finescale
