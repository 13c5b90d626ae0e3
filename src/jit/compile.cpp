// Check, plan, emit, make executable. Also what stands behind the public types.
#include "jit/compile.hpp"

#include <cerrno>

#include "jit/code_memory.hpp"
#if defined(__x86_64__)
#include "jit/emitter.hpp"
#endif

namespace skep::jit {

struct Compiled::Impl {
  CodeMemory memory;
  std::vector<Callback> callbacks;  ///< addresses are in the code: never resized
  std::vector<SubprogCode> subprogs;
  std::vector<u32> insn_offsets;
  Entry entry, tail_entry;
};

Compiled::Compiled() = default;
Compiled::Compiled(Compiled&&) noexcept = default;
Compiled& Compiled::operator=(Compiled&&) noexcept = default;
Compiled::~Compiled() = default;

Entry Compiled::entry() const { return impl_->entry; }
Entry Compiled::tail_entry() const { return impl_->tail_entry; }
ByteView Compiled::code() const { return impl_->memory.code(); }
std::span<const SubprogCode> Compiled::subprogs() const { return impl_->subprogs; }
std::span<const u32> Compiled::insn_offsets() const { return impl_->insn_offsets; }

#if defined(__x86_64__)

Cpu Cpu::detect() {
  Cpu cpu;
  cpu.bmi2 = __builtin_cpu_supports("bmi2") != 0;
  cpu.movbe = asmjit::CpuInfo::host().features().x86().hasMOVBE();
  return cpu;
}

class Builder {
 public:
  static Result<Compiled> build(std::span<const isa::Insn> insns, std::span<const verifier::Subprog> known,
                                const vm::LinkTable& links, const Options& options) {
    const vm::Checked program = TRY(vm::check(insns, links, vm::rewritten_registers));
    std::vector<u32> stack_bytes(program.entries.size());
    for (const verifier::Subprog& subprog : known)
      for (std::size_t i = 0; i < program.entries.size(); ++i)
        if (program.entries[i] == subprog.start) stack_bytes[i] = subprog.stack_depth;
    const Plan plan = make_plan(program, stack_bytes, options);

    Compiled compiled;
    compiled.impl_ = std::make_unique<Compiled::Impl>();
    Compiled::Impl& impl = *compiled.impl_;
    // Every helper lies in the same image as check(): near it is near them.
    constexpr u32 overhead = 64, page = 4096;
    impl.memory = TRY(CodeMemory::reserve(plan.bound.back() + plan.functions.size() * 2 * overhead + page,
                                          reinterpret_cast<const void*>(&vm::check)));
    impl.callbacks.resize(program.entries.size());
    Emitter emitter(program, plan, options, links, impl.callbacks, impl.memory.base());
    Emitted emitted = TRY(emitter.run());
    TRY(impl.memory.seal(emitter.code()));
    finish(impl, std::move(emitted));
    return compiled;
  }

 private:
  template <class F>
  static F at(const Compiled::Impl& impl, u32 offset) {
    return reinterpret_cast<F>(impl.memory.base() + offset);
  }
  static void finish(Compiled::Impl& impl, Emitted emitted) {
    using Run = u64 (*)(const void*, void*, RunContext*);
    using Call = u64 (*)(const Callback*, u64, u64, u64, u64, u64, RunContext*);
    impl.entry = {at<Run>(impl, emitted.entry), &impl};
    impl.tail_entry = {at<Run>(impl, emitted.tail_entry), &impl};
    for (std::size_t i = 0; i < impl.callbacks.size(); ++i)
      if (emitted.callback_offsets[i] != 0)
        impl.callbacks[i].call = at<Call>(impl, emitted.callback_offsets[i]);
    impl.subprogs = std::move(emitted.subprogs);
    impl.insn_offsets = std::move(emitted.insn_offsets);
  }
};

Result<Compiled> compile_unverified(std::span<const isa::Insn> insns, const vm::LinkTable& links,
                                    const Options& options) {
  return Builder::build(insns, {}, links, options);
}
Result<Compiled> compile(const fixup::Translated& program, const vm::LinkTable& links,
                         const Options& options) {
  return Builder::build(program.insns(), program.subprogs(), links, options);
}

#else

Cpu Cpu::detect() { return {}; }
Result<Compiled> compile_unverified(std::span<const isa::Insn>, const vm::LinkTable&, const Options&) {
  return fail(EOPNOTSUPP, "there is no JIT for this processor; programs are interpreted");
}
Result<Compiled> compile(const fixup::Translated&, const vm::LinkTable&, const Options&) {
  return fail(EOPNOTSUPP, "there is no JIT for this processor; programs are interpreted");
}

#endif

}  // namespace skep::jit
