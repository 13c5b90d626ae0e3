// The JIT runs the instruction suite: with everything, without optional processor features, one to one.
#include "jit/compile.hpp"
#include "vm/engine_suite.hpp"

namespace skep::vm::testing {
namespace {

template <bool Features, bool Combine, bool Harden = false>
Result<Loaded> load_compiled(std::span<const isa::Insn> insns, const LinkTable& links) {
  const jit::Options options{
      .cpu = Features ? jit::Cpu::detect() : jit::Cpu{}, .combine = Combine, .harden = Harden};
  auto code = std::make_shared<jit::Compiled>(TRY(jit::compile_unverified(insns, links, options)));
  return Loaded{code, code->entry(), code->tail_entry()};
}

INSTANTIATE_TEST_SUITE_P(Jit, EngineTest,
                         ::testing::Values(Engine{"jit", load_compiled<true, true>},
                                           Engine{"jit without bmi2 and movbe", load_compiled<false, true>},
                                           Engine{"jit one to one", load_compiled<false, false>}));
#if defined(__x86_64__)  // the only machine with hardened code
INSTANTIATE_TEST_SUITE_P(Hardened, EngineTest,
                         ::testing::Values(Engine{"jit hardened", load_compiled<true, true, true>}));
#endif

}  // namespace
}  // namespace skep::vm::testing
