// See bare_code.hpp.
#include "runtime/bare_code.hpp"

#include <fmt/format.h>

#include "base/rcu.hpp"
#include "helpers/table.hpp"
#include "isa/form.hpp"

namespace skep::runtime {

Result<BareCode> BareCode::verified(UserKernel& kernel, std::span<const isa::Insn> insns, Log* log) {
  ProgramSpec spec;
  spec.type = ProgType::syscall;
  spec.flags = uapi::F_SLEEPABLE;
  spec.insns.assign(insns.begin(), insns.end());
  spec.name = "bare";
  spec.license = "GPL";
  BareCode bare;
  bare.kernel_ = &kernel;
  bare.program_ = TRY(kernel.prog_load(
      spec, {.level = log != nullptr ? 1u : 0u, .size = log != nullptr ? 1u << 24 : 0u}, log));
  return bare;
}

Result<BareCode> BareCode::trusted(std::span<const isa::Insn> insns, ProgType type, bool jit) {
  vm::LinkTable links;
  links.type = type;
  links.helper = helpers::function;
  (void)TRY(vm::check(insns, links));  // here, so that errors count instructions as the caller does
  // An engine's entry sets R1 alone, a callback R1 to R5: the program returns its own second function.
  std::vector<isa::Insn> wrapped = {isa::encode(isa::Form::LD_IMM64_FUNC, 0, 0, 0, 2), isa::Insn{},
                                    isa::encode(isa::Form::EXIT)};
  wrapped[0].src = uapi::PSEUDO_FUNC;
  wrapped.insert(wrapped.end(), insns.begin(), insns.end());
  BareCode bare;
  RunContext nothing;
  if (jit) {
    bare.compiled_.emplace(TRY(jit::compile_unverified(wrapped, links)));
    bare.code_ = reinterpret_cast<const Callback*>(bare.compiled_->entry()(nullptr, &nothing));  // NOLINT
  } else {
    bare.interpreted_.emplace(TRY(vm::prepare_unverified(wrapped, links)));
    bare.code_ = reinterpret_cast<const Callback*>(bare.interpreted_->entry()(nullptr, &nothing));  // NOLINT
  }
  return bare;
}

Result<u64> BareCode::run(std::span<std::byte> memory, RunContext& context) const {
  context.ctx = memory.data();
  context.tail_calls = 0;
  if (code_ != nullptr)
    return (*code_)(reinterpret_cast<u64>(memory.data()), memory.size(), 0, 0, 0, &context);
  return kernel_->run_on_memory(program_.fd(), memory, context);
}

}  // namespace skep::runtime
