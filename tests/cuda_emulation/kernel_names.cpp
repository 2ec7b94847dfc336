// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/kernel_names.h"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace finescale::cuda::emulation {

namespace {

struct Symbol {
  std::string file;  // empty: it belongs to no single one
  std::string name;  // as the linker knows it
};
using Symbols = std::unordered_map<std::uintptr_t, Symbol>;  // functions by their address

template <class T>
std::vector<T> read_array(std::ifstream& from, std::uint64_t offset, std::uint64_t count) {
  std::vector<T> values(count);
  from.seekg(static_cast<std::streamoff>(offset));
  from.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(count * sizeof(T)));
  if (!from) {
    throw std::runtime_error("the symbols of this program cannot be read");
  }
  return values;
}

// From what the file says of an address to where it is in memory.
std::uintptr_t load_offset() {
  std::uintptr_t offset = 0;
  (void)::dl_iterate_phdr(
      [](dl_phdr_info* program, std::size_t /*size*/, void* to) {
        *static_cast<std::uintptr_t*>(to) = program->dlpi_addr;
        return 1;  // the first one is the program
      },
      &offset);
  return offset;
}

// ELF-64: local symbols follow that of their source file, the others come last.
Symbols read_symbols() {
  std::ifstream program("/proc/self/exe", std::ios::binary);
  const auto header = read_array<ElfW(Ehdr)>(program, 0, 1)[0];
  const auto sections = read_array<ElfW(Shdr)>(program, header.e_shoff, header.e_shnum);
  const std::uintptr_t offset = load_offset();
  Symbols functions;
  for (const ElfW(Shdr) & section : sections) {
    if (section.sh_type != SHT_SYMTAB) {
      continue;
    }
    const ElfW(Shdr)& strings = sections.at(section.sh_link);
    const auto names = read_array<char>(program, strings.sh_offset, strings.sh_size);
    std::string file;
    for (const ElfW(Sym) & symbol :
         read_array<ElfW(Sym)>(program, section.sh_offset, section.sh_size / sizeof(ElfW(Sym)))) {
      const std::string name = &names.at(symbol.st_name);
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FILE) {
        file = std::filesystem::path(name).stem();
      } else if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC) {
        const bool is_local = ELF64_ST_BIND(symbol.st_info) == STB_LOCAL;
        functions[offset + symbol.st_value] = {is_local ? file : "", name};
      }
    }
  }
  return functions;
}

// Without the parameters, which begin at the first ( outside < and >, and without namespaces.
std::string short_name(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> demangled(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), &std::free);
  static const std::regex qualifiers(R"((\w+::|\(anonymous namespace\)::)+)");
  std::string name =
      std::regex_replace(status == 0 ? demangled.get() : mangled.c_str(), qualifiers, "");
  int depth = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    depth += name[i] == '<' ? 1 : name[i] == '>' ? -1 : 0;
    if (name[i] == '(' && depth == 0) {
      name.resize(i);
    }
  }
  constexpr std::string_view kResult = "void ";  // only templates have it in their name
  return name.starts_with(kResult) ? name.substr(kResult.size()) : name;
}

}  // namespace

std::string kernel_name(const void* function) {
  static const Symbols symbols = read_symbols();
  const auto found = symbols.find(reinterpret_cast<std::uintptr_t>(function));
  if (found == symbols.end()) {
    throw std::runtime_error("no function of this program has this address");
  }
  const auto& [file, name] = found->second;
  return (file.empty() ? "" : file + ":") + short_name(name);
}

}  // namespace finescale::cuda::emulation
