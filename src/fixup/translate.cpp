// translate() and the form in which programs are shown. The work is in rewrite.cpp.
#include "fixup/translate.hpp"

#include <algorithm>

#include "btf/kernel_btf.hpp"
#include "fixup/rewrite.hpp"
#include "helpers/kernel_functions.hpp"
#include "helpers/table.hpp"

namespace skep::fixup {

class Translator {
 public:
  static Result<Translated> run(const verifier::Verified& verified, const void* program) {
    const verifier::Input& input = verified.input();
    auto object_types = std::make_shared<ObjectTypeSet>(input.vmlinux);
    Rewritten done = TRY(rewrite({.type = input.type,
                                  .insns = verified.insns(),
                                  .facts = verified.facts(),
                                  .subprogs = verified.subprogs(),
                                  .maps = verified.used_maps(),
                                  .func_info = input.func_info,
                                  .line_info = input.line_info,
                                  .direct_write = verified.writes_packet(),
                                  .throws = verified.throws(),
                                  .program = program,
                                  .exception_callback = verified.exception_callback(),
                                  .kernel_types = input.vmlinux != nullptr ? input.vmlinux->types() : nullptr,
                                  .object_types = object_types.get()}));
    Translated out;
    out.insns_ = std::move(done.insns);
    out.origin_ = std::move(done.origin);
    out.subprogs_ = std::move(done.subprogs);
    out.func_info_ = std::move(done.func_info);
    out.line_info_ = std::move(done.line_info);
    out.object_types_ = std::move(object_types);
    out.exception_callback_ = done.exception_callback;
    out.maps_ = verified.used_maps();
    out.type_ = input.type;
    return out;
  }
};

Result<Translated> translate(const verifier::Verified& verified, const void* program) {
  return Translator::run(verified, program);
}

std::vector<isa::Insn> dump_insns(const Translated& program) {
  constexpr s32 helper_tail_call = 12;
  constexpr u8 call_code = isa::op::JMP | isa::op::CALL;
  std::vector<isa::Insn> out = program.insns();
  const auto subprog_at = [&](u32 start) {
    const auto& list = program.subprogs();
    const auto found = std::ranges::find(list, start, &verifier::Subprog::start);
    return static_cast<s32>(found - list.begin());
  };
  for (u32 i = 0; i < out.size(); ++i) {
    isa::Insn& insn = out[i];
    if (isa::is_ld_imm64(insn)) {
      if (insn.src == uapi::PSEUDO_MAP_FD || insn.src == uapi::PSEUDO_MAP_VALUE) {
        insn.imm = static_cast<s32>(program.maps()[static_cast<u32>(insn.imm)]->id);
      }
      ++i;
    } else if (insn.code == isa::info(isa::Form::TAIL_CALL).code) {
      insn.code = call_code;
      insn.imm = helper_tail_call;
    } else if (isa::class_of(insn.code) == isa::op::LDX && isa::mode_of(insn.code) == isa::op::PROBE_MEM) {
      insn.code = static_cast<u8>(insn.code ^ isa::op::PROBE_MEM ^ isa::op::MEM);
    } else if (isa::class_of(insn.code) == isa::op::LDX && isa::mode_of(insn.code) == isa::op::PROBE_MEMSX) {
      insn.code = static_cast<u8>(insn.code ^ isa::op::PROBE_MEMSX ^ isa::op::MEMSX);
    } else if (insn.code == call_code && insn.src == uapi::PSEUDO_CALL) {
      insn.off = static_cast<s16>(insn.imm);
      insn.imm = subprog_at(i + 1 + static_cast<u32>(insn.imm));
    } else if (insn.code == call_code && insn.src == 0) {
      if (insn.imm > helpers::kernel_function_base) insn.src = uapi::PSEUDO_KFUNC_CALL;
      insn.imm = helpers::symbol_offset(insn.imm);
    }
  }
  return out;
}

}  // namespace skep::fixup
