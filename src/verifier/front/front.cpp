// The phases before the walk, in the kernel's order: which error wins is visible to users.
#include "verifier/front/program.hpp"

namespace skep::verifier {

int run_front(const Input& input, Program& program, Log& log) {
  program = {};
  program.insns.assign(input.insns.begin(), input.insns.end());
  program.notes.resize(program.insns.size());
  using Phase = int (*)(const Input&, Program&, Log&);
  constexpr Phase phases[] = {
      check_btf_info_early,
      add_subprogs,
      check_subprogs,
      check_btf_info,
      resolve_pseudo_ldimm64,
      check_cfg,
      check_attach_target,
      [](const Input&, Program& p, Log&) { return compute_postorder(p); },
      [](const Input&, Program& p, Log&) { return compute_scc(p); },
      compute_live_registers,
  };
  for (const Phase phase : phases) {
    if (const int err = phase(input, program, log); err != 0) return err;
  }
  mark_fastcall_patterns(input, program);
  return 0;
}

}  // namespace skep::verifier
