// The way of a program through BPF_PROG_LOAD, in the kernel's order (bpf_prog_load() of
// kernel/bpf/syscall.c):
//   attributes -> maps and BTF behind descriptors -> verifier::verify -> fixup::translate -> jit::compile or
//   vm::prepare
// What is refused leaves nothing behind.
#include "runtime/load.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <deque>

#include "base/limits.hpp"
#include "fixup/kernel_loads.hpp"
#include "fixup/translate.hpp"
#include "helpers/table.hpp"
#include "jit/code_memory.hpp"
#include "maps/slots.hpp"
#include "progs/prog_type.hpp"
#include "runtime/sha.hpp"
#include "runtime/subprograms.hpp"

namespace skep::runtime {
namespace {

constexpr u32 known_flags = uapi::F_STRICT_ALIGNMENT | uapi::F_ANY_ALIGNMENT | uapi::F_TEST_RND_HI32 |
                            uapi::F_TEST_STATE_FREQ | uapi::F_SLEEPABLE | uapi::F_XDP_HAS_FRAGS |
                            uapi::F_XDP_DEV_BOUND_ONLY | uapi::F_TEST_REG_INVARIANTS;
constexpr u32 known_log_bits = 15;
constexpr std::size_t license_max = 127;
constexpr u32 info_record_max = 252;  ///< MAX_FUNCINFO_REC_SIZE, MAX_LINEINFO_REC_SIZE
constexpr u64 bpf_prog_header = 96;   ///< offsetof(struct bpf_prog, insns), measured
constexpr u64 page = 4096;
constexpr s32 tail_call = 12;  ///< an instruction of its own after the fixups

/// license_is_gpl_compatible()
bool gpl_compatible(std::string_view license) {
  constexpr std::array<std::string_view, 6> names = {
      "GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};
  return std::ranges::find(names, license) != names.end();
}

/// Types whose programs may sleep (can_be_sleepable(); those of tracing kinds skep does not have).
bool may_be_sleepable(ProgType type) {
  return type == ProgType::syscall || type == ProgType::struct_ops || type == ProgType::tracing ||
         type == ProgType::kprobe || type == ProgType::lsm;
}

Result<void> check_attributes(const ProgramSpec& spec, const LogRequest& want) {
  if ((spec.flags & ~known_flags) != 0)
    return fail(EINVAL, fmt::format("prog_flags {:#x}: unknown bits", spec.flags));
  if (spec.insns.empty()) return fail(E2BIG, "a program of no instructions");
  if (spec.insns.size() > limits::max_insns)
    return fail(E2BIG, fmt::format("{} instructions, at most {}", spec.insns.size(), limits::max_insns));
  if (!spec.license) return fail(EFAULT, "no license");
  if (spec.type == ProgType::unspec || prog_type_name(spec.type).empty())
    return fail(EINVAL, fmt::format("program type {} does not exist", static_cast<u32>(spec.type)));
  if (!progs::supported(spec.type))  // as from a kernel that was configured without them
    return fail(EINVAL, fmt::format("skep does not have programs of type {}", prog_type_name(spec.type)));
  if ((spec.flags & uapi::F_SLEEPABLE) != 0 && !may_be_sleepable(spec.type))
    return fail(EINVAL, fmt::format("{} programs cannot be sleepable", prog_type_name(spec.type)));
  if (spec.ifindex != 0)
    return fail(EINVAL, "programs bound to a device (prog_ifindex) are not supported by skep");
  const bool to_program = spec.type == ProgType::tracing || spec.type == ProgType::ext;
  const bool attaches_by_btf = to_program || spec.type == ProgType::struct_ops || spec.type == ProgType::lsm;
  if ((spec.attach_btf_id != 0 && !attaches_by_btf) || (spec.attach_prog_fd > 0 && !to_program))
    return fail(EINVAL, fmt::format("{} programs have no attach target", prog_type_name(spec.type)));
  if (!object_name_ok(spec.name))
    return fail(EINVAL, "program name '" + spec.name + "': at most 15 of [A-Za-z0-9_.]");
  const bool bad_log = (want.level & ~known_log_bits) != 0 || (want.level == 0) != (want.size == 0) ||
                       want.size > limits::max_log_size;
  if (bad_log) return fail(EINVAL, fmt::format("log_level {} with a log of {} bytes", want.level, want.size));
  return {};
}

/// Records of a known structure, whose size may differ from the one skep knows (bpf_check_uarg_tail_zero()).
template <class Record>
Result<std::vector<Record>> info_records(const InfoRecords& from, std::string_view what) {
  static_assert(std::is_trivially_copyable_v<Record>);
  std::vector<Record> records;
  if (from.bytes.empty()) return records;
  if (from.record_size < sizeof(Record) || from.record_size > info_record_max || from.record_size % 4 != 0)
    return fail(EINVAL, fmt::format("{}: records of {} bytes", what, from.record_size));
  records.reserve(from.count());
  for (u32 i = 0; i < from.count(); ++i) {
    const auto record = std::span(from.bytes).subspan(std::size_t{i} * from.record_size, from.record_size);
    if (std::ranges::any_of(record.subspan(sizeof(Record)), [](std::byte b) { return b != std::byte{0}; }))
      return fail(E2BIG, fmt::format("{}: record {} says more than skep knows", what, i));
    records.push_back(load<Record>(record.data()));
  }
  return records;
}

/// What a program refers to by descriptor, held until it is loaded or refused.
struct References {
  std::vector<maps::MapRef> maps;
  std::deque<maps::MapFacts> facts;  ///< of `maps`, as they are now; addresses stay
  std::vector<verifier::MapBinding> bindings;
  std::shared_ptr<BtfObject> btf;
  std::vector<verifier::FuncInfo> func_info;
  std::vector<verifier::LineInfo> line_info;
  std::shared_ptr<Program> target_program;
  std::optional<verifier::TargetProgram> target;

  void bind(int fd, const LoadEnvironment& environment) {
    for (const auto& binding : bindings)
      if (binding.fd == fd) return;
    auto map = environment.map_by_fd(fd);
    if (!map) {  // the verifier says which instruction has the bad descriptor
      const bool standard_stream = fd >= 0 && fd <= 2;
      if (standard_stream) bindings.push_back({fd, nullptr});  // open, but no map
      return;
    }
    auto same = std::ranges::find(maps, *map);
    const auto index = static_cast<std::size_t>(same - maps.begin());
    if (same == maps.end()) {
      facts.push_back((*map)->snapshot());
      maps.push_back(*std::move(map));
    }
    bindings.push_back({fd, &facts[index]});
  }
};

/// The program that attach_prog_fd names.
Result<void> resolve_target(const ProgramSpec& spec, const LoadEnvironment& environment, References& refs) {
  if (spec.attach_prog_fd <= 0) return {};
  auto program = environment.program_by_fd(spec.attach_prog_fd);
  if (!program) return fail(EINVAL, fmt::format("descriptor {} is no program's", spec.attach_prog_fd));
  const Program& target = **program;
  refs.target = verifier::TargetProgram{.type = target.type,
                                        .expected_attach_type = target.expected_attach_type,
                                        .btf = target.btf != nullptr ? &target.btf->btf : nullptr,
                                        .func_info = target.func_info,
                                        .functions = target.functions};
  refs.target_program = *std::move(program);
  return {};
}

Result<References> resolve(const ProgramSpec& spec, const LoadEnvironment& environment) {
  References refs;
  TRY(resolve_target(spec, environment, refs));
  for (std::size_t i = 0; i < spec.insns.size(); ++i) {
    const isa::Insn& insn = spec.insns[i];
    if (!isa::is_ld_imm64(insn)) continue;
    if (insn.src == uapi::PSEUDO_MAP_FD || insn.src == uapi::PSEUDO_MAP_VALUE)
      refs.bind(insn.imm, environment);
    const bool by_index = insn.src == uapi::PSEUDO_MAP_IDX || insn.src == uapi::PSEUDO_MAP_IDX_VALUE;
    if (by_index && insn.imm >= 0 && static_cast<std::size_t>(insn.imm) < spec.fd_array.size())
      refs.bind(spec.fd_array[static_cast<std::size_t>(insn.imm)], environment);
    ++i;
  }
  if (spec.func_info.count() == 0 && spec.line_info.count() == 0) return refs;
  // As in the kernel, a program's BTF counts only where records refer to it.
  refs.btf = TRY(environment.btf_by_fd(spec.btf_fd));
  refs.func_info = TRY(info_records<verifier::FuncInfo>(spec.func_info, "func_info"));
  refs.line_info = TRY(info_records<verifier::LineInfo>(spec.line_info, "line_info"));
  return refs;
}

verifier::Input verifier_input(const ProgramSpec& spec, const References& refs, bool gpl,
                               const LoadEnvironment& environment) {
  verifier::Input input;
  input.type = spec.type;
  input.expected_attach_type = spec.expected_attach_type;
  input.prog_flags = spec.flags;
  input.gpl_compatible = gpl;
  input.insns = spec.insns;
  input.maps = refs.bindings;
  input.fd_array = spec.fd_array;
  input.btf = refs.btf != nullptr ? &refs.btf->btf : nullptr;
  input.func_info = refs.func_info;
  input.line_info = refs.line_info;
  input.helper = helpers::lookup;
  input.helper_name = helpers::name;
  input.cpu_count = environment.cpus;
  input.vmlinux = environment.vmlinux;
  input.attach_btf_id = spec.attach_btf_id;
  input.target = refs.target ? &*refs.target : nullptr;
  return input;
}

void give_log(Log* log, const verifier::LogOutput& output) {
  if (log == nullptr) return;
  log->text = output.text;
  log->true_size = output.true_size;
}

/// The verifier knows every helper of Linux; a program that calls one whose code is not there cannot run.
Result<void> check_helpers_present(const verifier::Verified& verified, Log* log) {
  const auto& insns = verified.insns();
  for (std::size_t i = 0; i < insns.size(); ++i) {
    const isa::Insn& insn = insns[i];
    if (!verified.facts()[i].seen || insn.code != (isa::op::JMP | isa::op::CALL) || insn.src != 0 ||
        insn.imm == tail_call || helpers::function(verified.input().type, insn.imm) != nullptr)
      continue;
    const std::string message = fmt::format("skep does not have helper {}#{} yet (insn {})",
                                            helpers::name(static_cast<u32>(insn.imm)), insn.imm, i);
    if (log != nullptr && !log->text.empty()) log->text += message + "\n";
    return fail(EOPNOTSUPP, message);
  }
  return {};
}

u64 boot_time_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000u + static_cast<u64>(now.tv_nsec);
}

u32 memlock_of(std::size_t insns) {
  return static_cast<u32>((bpf_prog_header + insns * sizeof(isa::Insn) + page - 1) / page * page);
}

/// What programs that are attached to functions of this one must know of them.
std::vector<verifier::TargetFunction> functions_of(const verifier::Verified& verified,
                                                   std::span<const verifier::FuncInfo> remaining) {
  std::vector<verifier::TargetFunction> functions;
  for (const verifier::FuncInfo& record : remaining) {
    const auto& all = verified.input().func_info;
    const auto same = std::ranges::find(all, record.type_id, &verifier::FuncInfo::type_id);
    functions.push_back(verified.subprogs()[static_cast<std::size_t>(same - all.begin())].as_target);
  }
  return functions;
}

/// Machine code where the machine has a JIT, else what the interpreter runs.
Result<void> make_runnable(Program& program, const fixup::Translated& translated,
                           std::span<const maps::MapRef> used, const LoadEnvironment& environment) {
  std::vector<void*> addresses;
  std::vector<void*> values;
  for (const auto& map : used) {
    addresses.push_back(map.get());
    values.push_back(reinterpret_cast<void*>(map->facts().values_address));  // NOLINT: an address of ours
  }
  vm::LinkTable links;
  links.map_addresses = addresses;
  links.values_addresses = values;
  links.type = program.type;
  links.helper = helpers::function;
  links.watches_slots = true;
  if (!environment.no_jit) {
    jit::Options options;
    options.pool = environment.code_pool;
    options.harden = environment.harden;
    auto compiled = jit::compile(translated, links, options);
    if (compiled) {
      program.compiled.emplace(*std::move(compiled));
      return {};
    }
    if (compiled.error().code != EOPNOTSUPP) return std::unexpected(std::move(compiled).error());
  }
  program.code.emplace(TRY(vm::prepare(translated, links)));
  return {};
}

/// An arena's pages would have to lie where the program's pointers say.
Result<void> check_no_arena(const verifier::Verified& verified) {
  for (const maps::MapFacts* map : verified.used_maps())
    if (map->type == MapType::arena)
      return fail(EOPNOTSUPP,
                  fmt::format("skep cannot run programs that use arenas yet (map '{}')", map->name));
  return {};
}

/// What Linux accepts and skep verifies, but cannot run: refused by name.
Result<void> check_runnable(const verifier::Verified& verified) {
  if (auto ok = check_no_arena(verified); !ok) return ok;
  const verifier::Input& input = verified.input();
  if (input.type == ProgType::tracing)
    return fail(EOPNOTSUPP,
                "skep has no kernel functions and tracepoints that a tracing program could be attached to");
  if (input.type == ProgType::lsm)
    return fail(EOPNOTSUPP, "skep has no hooks of the kernel's security that a program could be attached to");
  if (input.type == ProgType::ext) return fail(EOPNOTSUPP, "skep cannot replace functions of programs yet");
  const btf::Btf* types = input.vmlinux != nullptr ? input.vmlinux->types() : nullptr;
  const auto& insns = verified.insns();
  for (std::size_t i = 0; i < insns.size(); ++i) {
    if (!verified.facts()[i].seen) continue;
    const bool kfunc =
        insns[i].code == (isa::op::JMP | isa::op::CALL) && insns[i].src == uapi::PSEUDO_KFUNC_CALL;
    const bool symbol = isa::is_ld_imm64(insns[i]) && insns[i].src == uapi::PSEUDO_BTF_ID;
    if (kfunc && insns[i].imm == 0)
      return fail(EINVAL, "invalid kernel function call not eliminated in verifier pass");
    const auto name = [&](u32 id) { return types != nullptr ? types->name(id) : std::string_view(); };
    if (symbol)
      return fail(EOPNOTSUPP, fmt::format("skep cannot run programs that use the kernel's {} yet",
                                          name(static_cast<u32>(insns[i].imm))));
    const u32 read = verified.facts()[i].kernel_type;
    if (read == verifier::many_kernel_types)
      return fail(EOPNOTSUPP,
                  "skep cannot run programs that read several structs of the kernel at one place");
    if (read != 0 &&
        !fixup::kernel_field(*types, read, verified.facts()[i].kernel_off, isa::bytes_of_size(insns[i].code)))
      return fail(EOPNOTSUPP,
                  fmt::format("skep cannot run programs that read the kernel's struct {} yet (insn {})",
                              name(read), i));
  }
  return {};
}

/// Whether the program, or one that it may tail-call, can see more of the kernel's structs than rewritten
/// accesses of contexts do: the interface that a packet came through, its network namespace.
bool reads_kernel_structs(const verifier::Verified& verified) {
  const auto is_prog_array = [](const maps::MapFacts* map) { return map->type == MapType::prog_array; };
  if (std::ranges::any_of(verified.used_maps(), is_prog_array)) return true;
  const verifier::Input& input = verified.input();
  const btf::Btf* types = input.vmlinux != nullptr ? input.vmlinux->types() : nullptr;
  for (std::size_t i = 0; i < verified.insns().size(); ++i) {
    const isa::Insn& insn = verified.insns()[i];
    if (!verified.facts()[i].seen) continue;
    if (verified.facts()[i].kernel_type != 0) return true;
    if (insn.code != (isa::op::JMP | isa::op::CALL) || insn.src != uapi::PSEUDO_KFUNC_CALL ||
        types == nullptr)
      continue;
    const std::string_view name = types->name(static_cast<u32>(insn.imm));
    if (name == "bpf_cast_to_kern_ctx" || name == "bpf_rdonly_cast") return true;
  }
  return false;
}

std::vector<maps::MapRef> in_order(const References& refs, std::span<const maps::MapFacts* const> wanted) {
  std::vector<maps::MapRef> used;
  for (const maps::MapFacts* facts : wanted) {
    const auto it =
        std::ranges::find(refs.maps, facts->id, [](const maps::MapRef& map) { return map->facts().id; });
    SKEP_ASSERT(it != refs.maps.end());
    used.push_back(*it);
  }
  return used;
}

}  // namespace

bool object_name_ok(std::string_view name) {
  return name.size() < limits::obj_name_len && std::ranges::all_of(
                                                   name,
                                                   [](char c) {
                                                     return (c >= 'a' && c <= 'z') ||
                                                            (c >= 'A' && c <= 'Z') ||
                                                            (c >= '0' && c <= '9') || c == '_' || c == '.';
                                                   });
}

u64 program_tag(std::span<const isa::Insn> insns, TagHash hash) {
  std::vector<isa::Insn> zeroed(insns.begin(), insns.end());
  for (std::size_t i = 0; i + 1 < zeroed.size(); ++i) {
    if (!isa::is_ld_imm64(zeroed[i])) continue;
    if (zeroed[i].src == uapi::PSEUDO_MAP_FD || zeroed[i].src == uapi::PSEUDO_MAP_VALUE)
      zeroed[i].imm = zeroed[i + 1].imm = 0;
    ++i;
  }
  const ByteView bytes = std::as_bytes(std::span(zeroed));
  u64 tag = 0;
  if (hash == TagHash::sha256) {
    const auto digest = sha256(bytes);
    for (std::size_t i = 0; i < 8; ++i) tag = tag << 8 | digest[i];
  } else {
    const auto digest = sha1(bytes);
    for (std::size_t i = 0; i < 8; ++i) tag = tag << 8 | digest[i];
  }
  return tag;
}

Result<std::shared_ptr<Program>> load_program(const ProgramSpec& spec, const LogRequest& want, Log* log,
                                              const LoadEnvironment& environment) {
  if (auto ok = check_attributes(spec, want); !ok) return std::unexpected(std::move(ok).error());
  const References refs = TRY(resolve(spec, environment));

  auto program = std::make_shared<Program>();
  const std::string_view license = std::string_view(*spec.license).substr(0, license_max);
  program->gpl_compatible = gpl_compatible(license.substr(0, license.find('\0')));
  program->tag = program_tag(spec.insns, environment.tag_hash);

  const auto verified = verifier::verify(verifier_input(spec, refs, program->gpl_compatible, environment),
                                         {want.level, want.size});
  if (environment.verifier_memory)
    environment.verifier_memory(verified ? verified->memory() : verified.error().memory);
  if (!verified) {
    give_log(log, verified.error().log);
    return fail(verified.error().code, verified.error().message);
  }
  give_log(log, verified->log());
  if (verified->log().overflow) return fail(ENOSPC, "the log is longer than its buffer");
  program->type = spec.type;
  program->name = spec.name;
  program->verified_insns = verified->processed_insns();
  if (environment.verify_only) {
    program->expected_attach_type = spec.expected_attach_type;
    program->btf = refs.btf;
    program->func_info = refs.func_info;
    program->functions = functions_of(*verified, program->func_info);
    return program;
  }
  if (auto ok = check_helpers_present(*verified, log); !ok) return std::unexpected(std::move(ok).error());

  if (auto ok = check_runnable(*verified); !ok) return std::unexpected(std::move(ok).error());
  const fixup::Translated translated = TRY(fixup::translate(*verified, &program->keeper));
  auto runnable = make_runnable(*program, translated, in_order(refs, translated.maps()), environment);
  if (!runnable) return std::unexpected(std::move(runnable).error());

  program->type = spec.type;
  program->expected_attach_type = spec.expected_attach_type;
  program->name = spec.name;
  program->flags = spec.flags;
  program->uid = environment.uid;
  program->verified_insns = verified->processed_insns();
  program->max_ctx_offset = verified->max_ctx_offset();
  program->reads_kernel_structs = reads_kernel_structs(*verified);
  program->maps = in_order(refs, verified->used_maps());
  program->on_exception =
      program->compiled ? program->compiled->exception_callback() : program->code->exception_callback();
  program->counted = program->entry(true);
  program->interpreted = program->entry(false);
  // The first program that uses a prog_array decides what others it takes (bpf_check_tail_call()).
  for (const auto& map : program->maps)
    if (map->facts().type == MapType::prog_array)
      if (auto ok = static_cast<maps::ProgArray&>(*map).check_owner(program_ref(program)); !ok)
        return std::unexpected(std::move(ok).error());
  program->object_types = translated.object_types();
  program->keeper.program = program;
  program->btf = refs.btf;
  program->func_info = translated.func_info();
  program->functions = functions_of(*verified, program->func_info);
  program->line_info = translated.line_info();
  program->memlock = memlock_of(std::max(spec.insns.size(), translated.insns().size()));
  program->subprogs = subprograms(translated, *program, environment.tag_hash);
  program->xlated = fixup::dump_insns(translated);
  program->load_time_ns = boot_time_ns();
  return program;
}

}  // namespace skep::runtime
