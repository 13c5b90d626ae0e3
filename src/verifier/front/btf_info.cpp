// The program's BTF records: one func_info for each function, line_info in order and for each function's
// first instruction (kernel: check_btf_info_early(), check_btf_func(), check_btf_line()).
#include <cerrno>

#include "verifier/front/program.hpp"

namespace skep::verifier {
namespace {

int check_abnormal_return(const Program& program, Log& log) {
  for (u32 i = 1; i + 1 < program.subprogs.size(); ++i) {
    const SubprogNotes& subprog = program.subprogs[i];
    if (subprog.has_ld_abs) {
      log.say("LD_ABS is not allowed in subprogs without BTF\n");
      return EINVAL;
    }
    if (subprog.has_tail_call) {
      log.say("tail_call is not allowed in subprogs without BTF\n");
      return EINVAL;
    }
  }
  return 0;
}

bool no_records(const Input& input) { return input.func_info.empty() && input.line_info.empty(); }

/// An integer of at most 64 bits, or an enum.
bool returns_scalar(const btf::Btf& btf, const btf::Type& proto) {
  const btf::Type& type = btf.type(btf.skip_modifiers(proto.type));
  switch (type.kind) {
    case btf::Kind::int_:
      return type.size <= 8;
    case btf::Kind::enum_:
    case btf::Kind::enum64:
      return true;
    default:
      return false;
  }
}

int check_func_info(const Input& input, Program& program, Log& log) {
  if (input.func_info.empty()) return check_abnormal_return(program, log);
  if (input.func_info.size() != program.subprog_count()) {
    log.say("number of funcs in func_info doesn't match number of subprogs\n");
    return EINVAL;
  }
  for (u32 i = 0; i < input.func_info.size(); ++i) {
    SubprogNotes& subprog = program.subprogs[i];
    const FuncInfo& record = input.func_info[i];
    if (subprog.start != record.insn_off) {
      log.say("func_info BTF section doesn't match subprog layout in BPF program\n");
      return EINVAL;
    }
    const btf::Type& func = input.btf->type(record.type_id);
    subprog.type_id = record.type_id;
    subprog.name = input.btf->string(func.name_off);
    subprog.is_global = i != 0 && func.linkage == 1;
    const bool scalar = returns_scalar(*input.btf, input.btf->type(func.type));
    if (i != 0 && !scalar && subprog.has_ld_abs) {
      log.say("LD_ABS is only allowed in functions that return 'int'.\n");
      return EINVAL;
    }
    if (i != 0 && !scalar && subprog.has_tail_call) {
      log.say("tail_call is only allowed in functions that return 'int'.\n");
      return EINVAL;
    }
  }
  return 0;
}

int check_line_info(const Input& input, Program& program, Log& log) {
  if (input.line_info.empty()) return 0;
  const u32 funcs = program.subprog_count();
  u32 func = 0;
  u32 previous = 0;
  for (u32 i = 0; i < input.line_info.size(); ++i) {
    const LineInfo& record = input.line_info[i];
    if ((i != 0 && record.insn_off <= previous) || record.insn_off >= program.insns.size()) {
      log.say("Invalid line_info[{}].insn_off:{} (prev_offset:{} prog->len:{})\n", i, record.insn_off,
              previous, program.insns.size());
      return EINVAL;
    }
    if (program.insns[record.insn_off].code == 0) {
      log.say("Invalid insn code at line_info[{}].insn_off\n", i);
      return EINVAL;
    }
    if (!input.btf->has_string(record.line_off) || !input.btf->has_string(record.file_name_off)) {
      log.say("Invalid line_info[{}].line_off or .file_name_off\n", i);
      return EINVAL;
    }
    if (func != funcs) {
      if (record.insn_off == program.subprogs[func].start) {
        program.subprogs[func++].linfo_index = i;
      } else if (program.subprogs[func].start < record.insn_off) {
        log.say("missing bpf_line_info for func#{}\n", func);
        return EINVAL;
      }
    }
    previous = record.insn_off;
  }
  if (func != funcs) {
    log.say("missing bpf_line_info for {} funcs starting from func#{}\n", funcs - func, func);
    return EINVAL;
  }
  return 0;
}

}  // namespace

int check_btf_info_early(const Input& input, Program&, Log& log) {
  if (no_records(input)) return 0;
  if (input.btf == nullptr) return EBADF;  // btf_get_by_fd() of whatever prog_btf_fd was
  u32 previous = 0;
  for (u32 i = 0; i < input.func_info.size(); ++i) {
    const FuncInfo& record = input.func_info[i];
    // The kernel ends these messages without a newline.
    if (i == 0 && record.insn_off != 0) {
      log.say("nonzero insn_off {} for the first func info record", record.insn_off);
      return EINVAL;
    }
    if (i != 0 && record.insn_off <= previous) {
      log.say("same or smaller insn offset ({}) than previous func info record ({})", record.insn_off,
              previous);
      return EINVAL;
    }
    const btf::Type& func = input.btf->type(record.type_id);
    if (func.kind != btf::Kind::func) {
      log.say("invalid type id {} in func info", static_cast<s32>(record.type_id));
      return EINVAL;
    }
    if (input.btf->type(func.type).kind != btf::Kind::func_proto) return EINVAL;
    previous = record.insn_off;
  }
  return 0;
}

int check_btf_info(const Input& input, Program& program, Log& log) {
  if (no_records(input)) return check_abnormal_return(program, log);
  if (const int err = check_func_info(input, program, log); err != 0) return err;
  return check_line_info(input, program, log);
}

}  // namespace skep::verifier
