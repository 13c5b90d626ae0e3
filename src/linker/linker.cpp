// Objects one after the other, then the file. Start with Joining::run().
#include "linker/linker.hpp"

#include <fmt/format.h>

#include "base/limits.hpp"
#include "linker/joining.hpp"

namespace skep::linker {

struct Linker::State {
  Output output;
};

Linker::Linker() : state_(new State) {}
Linker::~Linker() = default;

Result<void> Linker::add(ByteView object, const std::string& file) {
  if (object.size() > limits::max_object_bytes)
    return fail(EFBIG, fmt::format("{} is larger than 256 MiB", file));
  return Joining(state_->output, object, file).run();
}

Result<std::vector<std::byte>> Linker::finish() && { return write_object(std::move(state_->output)); }

Result<void> Joining::run() {
  elf_ = TRY(loader::ElfFile::open(bytes_, file_));
  TRY(check_sections());
  TRY(check_symbols());
  TRY(take_types());
  TRY(place_sections());
  TRY(take_symbols());
  TRY(move_relocations());
  if (!btf_) return {};
  TRY(take_statics());
  return take_records();
}

}  // namespace skep::linker
