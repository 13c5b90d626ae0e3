// Bare instructions of the C API: skep_code_*.
#include <fmt/format.h>

#include <cstring>

#include "embed/handles.hpp"

using skep::Result;
using skep::embed::failed;
using skep::runtime::BareCode;

namespace {

Result<std::vector<skep::isa::Insn>> read_insns(const skep_kernel* kernel, const void* bytes, size_t size) {
  if (kernel->session == nullptr)
    return skep::fail(EOPNOTSUPP, "bare instructions run on a kernel of this process");
  if (bytes == nullptr || size == 0 || size % sizeof(skep::isa::Insn) != 0)
    return skep::fail(EINVAL, fmt::format("{} bytes are no instructions of 8 bytes each", size));
  std::vector<skep::isa::Insn> insns(size / sizeof(skep::isa::Insn));
  std::memcpy(insns.data(), bytes, size);
  return insns;
}

skep_code* made(Result<BareCode> code) {
  if (code) return new skep_code{std::move(*code)};
  failed(code.error());
  return nullptr;
}

}  // namespace

extern "C" {

skep_code* skep_code_load(skep_kernel* kernel, const void* insns, size_t size) {
  skep::embed::keep_verifier_log({});
  auto read = read_insns(kernel, insns, size);
  if (!read) return made(std::unexpected(std::move(read).error()));
  skep::Log log;
  auto code = BareCode::verified(kernel->session->kernel(), *read, &log);
  if (!code) skep::embed::keep_verifier_log(std::move(log.text));
  return made(std::move(code));
}

skep_code* skep_code_load_unverified(skep_kernel* kernel, const void* insns, size_t size,
                                     uint32_t prog_type) {
  auto read = read_insns(kernel, insns, size);
  if (!read) return made(std::unexpected(std::move(read).error()));
  if (prog_type >= skep::prog_type_count)
    return made(skep::fail(EINVAL, fmt::format("{} is not a program type", prog_type)));
  const auto type = prog_type == 0 ? skep::ProgType::syscall : static_cast<skep::ProgType>(prog_type);
  return made(BareCode::trusted(*read, type, kernel->session->jit()));
}

void skep_code_free(skep_code* code) { delete code; }

int skep_code_run(skep_worker* worker, const skep_code* code, void* memory, size_t size, uint64_t* r0) {
  skep::rcu::online();
  const auto ran = code->code.run({static_cast<std::byte*>(memory), size}, worker->run);
  skep::rcu::offline();
  if (!ran) return failed(ran.error());
  if (r0 != nullptr) *r0 = *ran;
  return 0;
}

}  // extern "C"
