// Check, plan, emit, make executable. Also what stands behind the public types.
#include "jit/compile.hpp"

#include <cerrno>

#include "jit/code_memory.hpp"
#include "jit/fault.hpp"
#include "jit/tail_sites.hpp"
#if defined(__x86_64__)
#include <cpuid.h>

#include "jit/emitter.hpp"
#elif defined(__aarch64__)
#include <sys/auxv.h>

#include "jit/arm64/emitter.hpp"
#endif

namespace skep::jit {

struct Compiled::Impl {
  CodeMemory memory;
  std::vector<Callback> callbacks;  ///< addresses are in the code: never resized
  std::vector<SubprogCode> subprogs;
  std::vector<u32> insn_offsets;
  std::vector<Probe> probes;
  Entry entry, tail_entry;
  BurstEntry burst;
  const Callback* exception_callback = nullptr;
  detail::CodeRange range;                ///< once identified, or where probes fault
  std::unique_ptr<TailSites> tail_sites;  ///< if there are any

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    tail_sites.reset();
    if (memory.pool() != nullptr) memory.pool()->withdraw(reinterpret_cast<u64>(tail_entry.run));
    if (range.end != 0) detail::remove_range(range);
  }
  /// Faults are looked up in `range` from now on.
  void enter_range() {
    const ByteView bytes = memory.code();
    const SubprogCode& last = subprogs.back();
    range.begin = reinterpret_cast<u64>(bytes.data());
    range.end = range.begin + bytes.size();
    range.insn_offsets = insn_offsets.data();
    range.insns = static_cast<u32>(insn_offsets.size());
    range.functions_end = last.offset + last.length;
    range.probes = probes;
    detail::add_range(range);
  }
};

Compiled::Compiled() = default;
Compiled::Compiled(Compiled&&) noexcept = default;
Compiled& Compiled::operator=(Compiled&&) noexcept = default;
Compiled::~Compiled() = default;

Entry Compiled::entry() const { return impl_->entry; }
Entry Compiled::tail_entry() const { return impl_->tail_entry; }
BurstEntry Compiled::burst_entry() const { return impl_->burst; }
const Callback* Compiled::exception_callback() const { return impl_->exception_callback; }
ByteView Compiled::code() const { return impl_->memory.code(); }
std::span<const SubprogCode> Compiled::subprogs() const { return impl_->subprogs; }
std::span<const u32> Compiled::insn_offsets() const { return impl_->insn_offsets; }
void Compiled::identify(CodeIdentity identity) {
  SKEP_ASSERT(impl_->range.identity.program.empty());
  impl_->range.identity = std::move(identity);
  if (impl_->range.end == 0) impl_->enter_range();
}

#if defined(__x86_64__) || defined(__aarch64__)

#if defined(__x86_64__)
namespace {
Cpu ask_processor() {
  Cpu cpu;
  cpu.bmi2 = __builtin_cpu_supports("bmi2") != 0;
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned movbe_bit = 1u << 22;  // Intel manual, CPUID leaf 1, ecx
  cpu.movbe = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & movbe_bit) != 0;
  return cpu;
}
}  // namespace
/// Asked once: in a virtual machine the question takes as long as compiling a small program.
Cpu Cpu::detect() {
  static const Cpu cpu = ask_processor();
  return cpu;
}
#else
using arm64::Emitter;
Cpu Cpu::detect() {
  constexpr unsigned long hwcap_atomics = 1 << 8;  // arch/arm64/include/uapi/asm/hwcap.h: HWCAP_ATOMICS
  return {.lse = (getauxval(AT_HWCAP) & hwcap_atomics) != 0};
}
#endif

class Builder {
 public:
  static Result<Compiled> build(std::span<const isa::Insn> insns, std::span<const verifier::Subprog> known,
                                const vm::LinkTable& links, const Options& options) {
#if defined(__aarch64__)
    if (options.harden) return fail(EOPNOTSUPP, "skep has no hardened machine code for arm64");
#endif
    const vm::Checked program = TRY(vm::check(insns, links, vm::rewritten_registers));
    std::vector<u32> stack_bytes(program.entries.size());
    for (const verifier::Subprog& subprog : known)
      for (std::size_t i = 0; i < program.entries.size(); ++i)
        if (program.entries[i] == subprog.start) stack_bytes[i] = subprog.stack_depth;
    PlanLease lease(options.pool);
    Plan& plan = *lease.plan;
    make_plan(program, stack_bytes, options, plan);

    Compiled compiled;
    compiled.impl_ = std::make_unique<Compiled::Impl>();
    Compiled::Impl& impl = *compiled.impl_;
    impl.callbacks.resize(program.entries.size());
    Emitted emitted = TRY(place(impl, program, plan, options));
    finish(impl, std::move(emitted));
    if (program.exception_callback != 0)
      impl.exception_callback = &impl.callbacks[program.subprog_at(program.exception_callback)];
    return compiled;
  }

 private:
  /// A plan out of the pool, or of its own.
  struct PlanLease {
    explicit PlanLease(const std::shared_ptr<CodePool>& from)
        : pool(from.get()), plan(pool != nullptr ? pool->plan() : std::make_unique<Plan>()) {}
    PlanLease(const PlanLease&) = delete;
    PlanLease& operator=(const PlanLease&) = delete;
    ~PlanLease() {
      if (pool != nullptr) pool->keep(std::move(plan));
    }
    CodePool* pool;
    std::unique_ptr<Plan> plan;
  };
  /// Emits, and finds a place for so many bytes. Every helper lies in the same image as check(): near it is
  /// near them, or, where there is no room, calls go through a register.
  static Result<Emitted> place(Compiled::Impl& impl, const vm::Checked& program, Plan& plan,
                               const Options& options) {
    const auto* near = reinterpret_cast<const void*>(&vm::check);
    for (const bool far_calls : {false, true}) {
#if defined(__x86_64__)
      Emitter emitter(program, plan, options, impl.callbacks, far_calls, plan.code);
#else
      Emitter emitter(program, plan, options, impl.callbacks, far_calls);
#endif
      Emitted emitted = TRY(emitter.run());
      const std::size_t size = emitter.code().size();
      impl.memory = options.pool != nullptr ? TRY(CodeMemory::from(options.pool, size, near))
                                            : TRY(CodeMemory::reserve(size, near));
      if (!emitter.place(impl.memory.base())) continue;
      TRY(impl.memory.seal(emitter.code()));
      return emitted;
    }
    return fail(ENOMEM, "no place for the machine code");
  }
  template <class F>
  static F at(const Compiled::Impl& impl, u32 offset) {
    return reinterpret_cast<F>(impl.memory.base() + offset);
  }
  static void finish(Compiled::Impl& impl, Emitted emitted) {
    using Run = u64 (*)(const void*, void*, RunContext*);
    using Call = u64 (*)(const Callback*, u64, u64, u64, u64, u64, RunContext*);
    impl.entry = {at<Run>(impl, emitted.entry), &impl};
    impl.tail_entry = {at<Run>(impl, emitted.tail_entry), &impl};
    using RunBurst = u32 (*)(const void*, const Burst*, RunContext*);
    impl.burst = emitted.burst != 0 ? BurstEntry{at<RunBurst>(impl, emitted.burst), &impl}
                                    : BurstEntry{run_each, &impl.entry};
    for (std::size_t i = 0; i < impl.callbacks.size(); ++i)
      if (emitted.callback_offsets[i] != 0)
        impl.callbacks[i].call = at<Call>(impl, emitted.callback_offsets[i]);
    if (impl.memory.pool() != nullptr && emitted.body != 0)
      impl.memory.pool()->publish(
          {impl.memory.base() + emitted.tail_entry, impl.memory.base() + emitted.body, emitted.frame});
    if (!emitted.tail_sites.empty())
      impl.tail_sites = std::make_unique<TailSites>(impl.memory, emitted.tail_sites, emitted.frame);
    impl.subprogs = std::move(emitted.subprogs);
    impl.insn_offsets = std::move(emitted.insn_offsets);
    impl.probes = std::move(emitted.probes);
    if (!impl.probes.empty()) impl.enter_range();
  }
};

Result<Compiled> compile_unverified(std::span<const isa::Insn> insns, const vm::LinkTable& links,
                                    const Options& options) {
  return Builder::build(insns, {}, links, options);
}
Result<Compiled> compile(const fixup::Translated& program, const vm::LinkTable& links,
                         const Options& options) {
  vm::LinkTable with = links;
  with.exception_callback = program.exception_callback();
  return Builder::build(program.insns(), program.subprogs(), with, options);
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
