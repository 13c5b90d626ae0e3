// A loaded program as it is run and shown (bpf_prog_get_info_by_fd() of kernel/bpf/syscall.c).
#include <fmt/format.h>
#include <time.h>

#include "helpers/exceptions.hpp"
#include "runtime/objects.hpp"

namespace skep::runtime {
namespace {

u64 now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000u + static_cast<u64>(now.tv_nsec);
}

u64 run_counted(const void* self, void* ctx, RunContext* rc) {
  const auto& program = *static_cast<const Program*>(self);
  const u64 start = now_ns();
  const u64 result = program.entry(false)(ctx, rc);
  program.run_time_ns.fetch_add(now_ns() - start, std::memory_order_relaxed);
  program.run_cnt.fetch_add(1, std::memory_order_relaxed);
  return result;
}

Entry bare_entry(const Program& program) {
  return program.compiled ? program.compiled->entry() : program.code->entry();
}
Entry bare_tail_entry(const Program& program) {
  return program.compiled ? program.compiled->tail_entry() : program.code->tail_entry();
}
u64 run_throwing(const void* self, void* ctx, RunContext* rc) {
  const auto& program = *static_cast<const Program*>(self);
  return run_catching(bare_entry(program), *program.on_exception, ctx, rc);
}
u64 tail_call_throwing(const void* self, void* ctx, RunContext* rc) {
  const auto& program = *static_cast<const Program*>(self);
  return run_catching(bare_tail_entry(program), *program.on_exception, ctx, rc);
}

template <class Record>
InfoRecords records_of(const std::vector<Record>& from) {
  InfoRecords records;
  if (from.empty()) return records;
  records.record_size = sizeof(Record);
  const ByteView bytes = std::as_bytes(std::span(from));
  records.bytes.assign(bytes.begin(), bytes.end());
  return records;
}

/// The symbols of a program's subprograms stand together, those of programs apart.
constexpr u64 program_symbols = 0xffffffffc0000000;
constexpr u64 bytes_per_program = 0x1000;
constexpr u64 bytes_per_subprog = 16;

}  // namespace

maps::ProgramRef program_ref(std::shared_ptr<const Program> program) {
  const Entry entry = program->tail_entry();
  maps::ProgramRef ref;
  ref.run = entry.run;
  ref.self = entry.self;
  ref.id = program->id;
  ref.type = program->type;
  ref.expected_attach_type = program->expected_attach_type;
  ref.jited = program->compiled.has_value();
  ref.xdp_has_frags = (program->flags & uapi::F_XDP_HAS_FRAGS) != 0;
  ref.sleepable = (program->flags & uapi::F_SLEEPABLE) != 0;
  ref.program = std::move(program);
  return ref;
}

Entry Program::entry(bool counted_runs) const {
  if (counted_runs) return {run_counted, this};
  return on_exception != nullptr ? Entry{run_throwing, this} : bare_entry(*this);
}

Entry Program::tail_entry() const {
  return on_exception != nullptr ? Entry{tail_call_throwing, this} : bare_tail_entry(*this);
}

BurstEntry Program::burst_entry(bool counted_runs) const {
  if (counted_runs) return {run_each, &counted};
  return compiled && on_exception == nullptr ? compiled->burst_entry() : BurstEntry{run_each, &interpreted};
}

std::string symbol_name(const Program& program, const SubprogInfo& subprog) {
  const std::string& name = subprog.name.empty() ? program.name : subprog.name;
  return fmt::format("bpf_prog_{:016x}{}{}", subprog.tag, name.empty() ? "" : "_", name);
}

u64 symbol_address(const Program& program, std::size_t subprog) {
  if (program.compiled && subprog < program.compiled->subprogs().size())
    return reinterpret_cast<u64>(program.compiled->code().data()) +
           program.compiled->subprogs()[subprog].offset;
  return program_symbols + program.id * bytes_per_program + subprog * bytes_per_subprog;
}

namespace {

void describe_machine_code(const Program& program, ProgramInfo& info) {
  const ByteView code = program.compiled->code();
  info.jited.assign(code.begin(), code.end());
  info.jited_len = static_cast<u32>(code.size());
  for (const jit::SubprogCode& subprog : program.compiled->subprogs())
    info.jited_func_lens.push_back(subprog.length);
  const std::span<const u32> offsets = program.compiled->insn_offsets();
  // The line of a function's first instruction begins with the function (bpf_prog_fill_jited_linfo()).
  const auto offset_of = [&](u32 insn) {
    for (const jit::SubprogCode& subprog : program.compiled->subprogs())
      if (subprog.first_insn == insn) return subprog.offset;
    return offsets[insn];
  };
  for (const verifier::LineInfo& line : program.line_info)
    if (line.insn_off < offsets.size())
      info.jited_line_info.push_back(reinterpret_cast<u64>(code.data()) + offset_of(line.insn_off));
}

}  // namespace

ProgramInfo describe(const Program& program) {
  ProgramInfo info;
  info.type = program.type;
  info.id = program.id;
  info.tag = program.tag;
  info.name = program.name;
  info.xlated = program.xlated;
  info.xlated_len = static_cast<u32>(program.xlated.size() * sizeof(isa::Insn));
  info.load_time_ns = program.load_time_ns;
  info.created_by_uid = program.uid;
  for (const auto& map : program.maps) info.map_ids.push_back(map->facts().id);
  info.gpl_compatible = program.gpl_compatible;
  info.btf_id = program.btf != nullptr ? program.btf->id : 0;
  info.func_info = records_of(program.func_info);
  info.line_info = records_of(program.line_info);
  for (std::size_t i = 0; i < program.subprogs.size(); ++i) {
    info.jited_ksyms.push_back(symbol_address(program, i));
    info.prog_tags.push_back(program.subprogs[i].tag);
  }
  if (program.compiled) describe_machine_code(program, info);
  info.run_time_ns = program.run_time_ns.load(std::memory_order_relaxed);
  info.run_cnt = program.run_cnt.load(std::memory_order_relaxed);
  info.verified_insns = program.verified_insns;
  info.bytes_memlock = program.memlock;
  return info;
}

}  // namespace skep::runtime
