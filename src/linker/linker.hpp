// Several BPF objects made one, as `bpftool gen object` (libbpf's static linker) does it: sections of a name
// joined, names resolved between the objects, their BTF merged and made free of repetition. Pure: bytes in,
// bytes out. Objects are hostile: every offset is checked.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace skep::linker {

class Linker {
 public:
  Linker();
  ~Linker();
  Linker(const Linker&) = delete;
  Linker& operator=(const Linker&) = delete;

  /// Adds an object; `file` names it in messages. EINVAL for what is no BPF object or does not fit to those
  /// before it (two strong definitions of a name, types that differ, sections that do not match), ENOENT for
  /// a global symbol without type information; the sentence is libbpf's. After an error nothing more can be
  /// added.
  Result<void> add(ByteView object, const std::string& file);

  /// The bytes of the linked object: what is still not defined stays extern in it, so it can be linked again.
  /// E2BIG where it would be too large.
  Result<std::vector<std::byte>> finish() &&;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skep::linker
