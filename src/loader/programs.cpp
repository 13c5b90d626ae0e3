// From functions to programs: what each section's name makes of its functions, and linking, which appends to
// a program every .text function that it reaches and points the calls there, as libbpf does.
#include <fmt/format.h>

#include "base/limits.hpp"
#include "loader/reader.hpp"
#include "loader/sections.hpp"

namespace skep::loader {

namespace {
constexpr u8 kCallCode = isa::op::JMP | isa::op::CALL;
}

/// Links one program. Functions are appended in the order in which a depth-first walk of the calls meets
/// them.
class Linker {
 public:
  Linker(const Reader& reader, ProgramDef& program) : r_(reader), program_(program) {}

  /// `callback`: a function that no instruction refers to, but that is to be there too.
  Result<void> link(u32 main, std::optional<u32> callback) {
    TRY(link_one(main));
    if (callback && !placed_.contains(*callback)) TRY(link_one(*callback));
    return {};
  }

 private:
  struct Frame {
    u32 function = 0;
    u32 base = 0;  ///< where it stands in the program
    u32 next = 0;
  };

  std::unexpected<Error> wrong(const std::string& what) const {
    return fail(EINVAL, fmt::format("prog '{}': {}", program_.name, what));
  }

  Result<void> link_one(u32 first) {
    // An explicit stack: a chain of calls may be as long as the object has functions.
    stack_.push_back({first, append(first), 0});
    while (!stack_.empty()) {
      Frame& frame = stack_.back();
      const Reader::Function& function = r_.functions_[frame.function];
      if (frame.next == function.insns.size()) {
        stack_.pop_back();
        continue;
      }
      TRY(instruction(frame.function, frame.base, frame.next++));
    }
    return {};
  }

  u32 append(u32 number) {
    const Reader::Function& function = r_.functions_[number];
    auto base = static_cast<u32>(program_.insns.size());
    placed_[number] = base;
    program_.insns.insert(program_.insns.end(), function.insns.begin(), function.insns.end());
    for (const auto& [insn, relo] : r_.relocations_[number]) {
      if (relo.kind != Reader::CodeRelo::Kind::reference) continue;
      Reference reference = relo.reference;
      reference.insn += base;
      program_.references.push_back(reference);
    }
    append_info(function, base);
    return base;
  }

  void append_info(const Reader::Function& function, u32 base) {
    std::string_view section = r_.elf_.section_name(function.section);
    auto count = static_cast<u32>(function.insns.size());
    // Once the main function has none of a kind, libbpf gives up that kind.
    if (base == 0 || !program_.func_info.bytes.empty()) {
      if (!append_records(program_.func_info, r_.ext_.func_info, section, function.first, count, base))
        missing("function", base);
    }
    if (base == 0 || !program_.line_info.bytes.empty()) {
      if (!append_records(program_.line_info, r_.ext_.line_info, section, function.first, count, base))
        missing("line", base);
    }
    InfoRecords core;
    append_records(core, r_.ext_.core_relos, section, function.first, count, base);
    for (u32 i = 0; i < core.count(); ++i) {
      auto word = [&](u32 n) { return load<u32>(core.bytes.data() + u64{i} * core.record_size + n * 4); };
      program_.core_relocations.push_back(
          {word(0), word(1), std::string(r_.spec_.btf->string(word(2))), word(3)});
    }
  }

  void missing(const char* what, u32 base) {
    if (!r_.spec_.btf || r_.btf_ext_section_ == nullptr) return;
    r_.say(Level::warning, fmt::format("prog '{}': missing .BTF.ext {} info{}.", program_.name, what,
                                       base == 0 ? " for the main program, skipping all of it" : ""));
  }

  Result<void> instruction(u32 number, u32 base, u32 index) {
    const Reader::Function& function = r_.functions_[number];
    const isa::Insn& insn = function.insns[index];
    auto found = r_.relocations_[number].find(index);
    const Reader::CodeRelo* relo = found == r_.relocations_[number].end() ? nullptr : &found->second;
    bool call = insn.code == kCallCode && insn.src == uapi::PSEUDO_CALL;
    bool address = relo != nullptr && relo->kind == Reader::CodeRelo::Kind::subprog_address;
    if (!call && !address) {
      if (isa::is_ld_imm64(insn) && insn.src == uapi::PSEUDO_FUNC && relo == nullptr)
        return wrong(fmt::format("missing subprog addr relo for insn #{}", index));
      return {};
    }
    if (relo != nullptr && relo->reference.kind == RefKind::extern_call &&
        relo->kind == Reader::CodeRelo::Kind::reference)
      return {};  // a kfunc
    s64 target = 0;
    if (address)
      target = (static_cast<s64>(relo->symbol_value) + insn.imm) / 8;
    else if (relo != nullptr)  // the call's own imm is -1, or a static function's place in .text
      target = static_cast<s64>(relo->symbol_value / 8) + insn.imm + 1;
    else  // within one section, relative to where the call stood
      target = s64{function.first} + index + insn.imm + 1;
    std::optional<u32> callee;
    if (target >= 0 && r_.text_section_ != 0)
      callee = r_.function_at(r_.text_section_, static_cast<u64>(target));
    if (!callee) return wrong(fmt::format("insn #{} calls code that is no function of .text", index));
    auto place = placed_.find(*callee);
    u32 to = 0;
    if (place != placed_.end()) {
      to = place->second;
    } else {
      if (program_.insns.size() + r_.functions_[*callee].insns.size() > limits::max_insns)
        return fail(E2BIG, fmt::format("prog '{}': more than {} instructions with its subprograms",
                                       program_.name, limits::max_insns));
      to = append(*callee);
      r_.say(Level::debug, fmt::format("prog '{}': added {} insns from sub-prog '{}'", program_.name,
                                       r_.functions_[*callee].insns.size(), r_.functions_[*callee].name));
      stack_.push_back({*callee, to, 0});
    }
    isa::Insn& patched = program_.insns[base + index];
    if (address) {
      patched.src = uapi::PSEUDO_FUNC;
      program_.insns[base + index + 1].imm = 0;
    }
    patched.imm = static_cast<s32>(to) - static_cast<s32>(base + index) - 1;
    r_.say(Level::debug,
           fmt::format("prog '{}': insn #{} relocated, imm {} points to subprog '{}' (now at {} offset)",
                       program_.name, index, patched.imm, r_.functions_[*callee].name, to));
    return {};
  }

  const Reader& r_;
  ProgramDef& program_;
  std::map<u32, u32> placed_;  ///< function -> where it stands in the program
  std::vector<Frame> stack_;
};

Result<void> Reader::link_program(ProgramDef& program, u32 function) {
  std::optional<u32> callback;
  if (auto named = exception_callbacks_.find(program.name); named != exception_callbacks_.end()) {
    auto found = global_subprograms_.find(named->second);
    if (found == global_subprograms_.end())
      return fail(ENOENT,
                  fmt::format("prog '{}': cannot find exception callback '{}', a global function of .text",
                              program.name, named->second));
    callback = found->second;
  }
  return Linker(*this, program).link(function, callback);
}

/// Programs name theirs by a declaration tag on the function, "exception_callback:NAME".
void Reader::collect_exception_callbacks() {
  constexpr std::string_view prefix = "exception_callback:";
  for (u32 id = 1; spec_.btf && id <= spec_.btf->type_count(); ++id) {
    const btf::Type& tag = spec_.btf->type(id);
    if (tag.kind != btf::Kind::decl_tag || tag.component != -1) continue;
    std::string_view text = spec_.btf->string(tag.name_off);
    if (!text.starts_with(prefix) || spec_.btf->type(tag.type).kind != btf::Kind::func) continue;
    exception_callbacks_.emplace(spec_.btf->name(tag.type), text.substr(prefix.size()));
  }
  for (u32 i = 0; i < functions_.size() && !exception_callbacks_.empty(); ++i) {
    const Function& f = functions_[i];
    if (f.section == text_section_ && f.global && !f.hidden) global_subprograms_.emplace(f.name, i);
  }
}

Result<void> Reader::make_programs() {
  collect_exception_callbacks();
  std::map<u32, u32> program_of;
  for (u32 i = 0; i < functions_.size(); ++i) {
    const Function& function = functions_[i];
    if (function.section == text_section_) continue;
    ProgramDef program;
    program.name = function.name;
    program.section = elf_.section_name(function.section);
    if (program.section.starts_with('?')) {
      program.autoload = false;
      program.section.erase(0, 1);
    }
    program.section_index = function.section;
    program.section_insn = function.first;
    if (const SectionType* type = find_section_type(program.section)) {
      program.type = type->type;
      program.expected_attach_type = type->attach;
      program.flags = type->prog_flags;
      program.attach_needs_btf = type->attach_btf;
    }
    if (std::size_t slash = program.section.find('/'); slash != std::string::npos)
      program.attach_target = program.section.substr(slash + 1);
    if (auto place = table_functions_.find(i); place != table_functions_.end()) {
      program.table = place->second.table;
      program.table_member = place->second.member;
    }
    Result<void> linked = link_program(program, i);
    linked_instructions_ += program.insns.size();
    if (linked_instructions_ > kMaxInstructions)
      return fail(E2BIG, fmt::format("{}: programs have more than {} instructions together", spec_.file,
                                     kMaxInstructions));
    if (!linked && program.autoload) return linked;
    if (!linked) say(Level::debug, linked.error().what + " (not loaded automatically)");
    program_of[i] = static_cast<u32>(spec_.programs.size());
    spec_.programs.push_back(std::move(program));
  }
  for (MapDef& map : spec_.maps) {
    if (map.spec.type != MapType::prog_array) continue;
    for (InitialSlot& slot : map.slots) slot.target = program_of.at(slot.target);
  }
  return {};
}

}  // namespace skep::loader
