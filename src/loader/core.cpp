// Applying CO-RE relocations: the value that each kind asks for, in the program's types and in the kernel's,
// and the instruction that holds it.
#include "loader/core.hpp"

#include <fmt/format.h>

#include <map>

#include "loader/core_spec.hpp"

namespace skep::loader {

namespace {

constexpr std::string_view kKindNames[] = {"byte_off",    "byte_sz",    "field_exists",   "signed",
                                           "lshift_u64",  "rshift_u64", "local_type_id",  "target_type_id",
                                           "type_exists", "type_size",  "enumval_exists", "enumval_value",
                                           "type_matches"};
constexpr s32 kPoison = 195896080;  // libbpf's "bad relo" helper number

/// What a relocation's kind says about a path.
struct CoreValue {
  u64 value = 0;
  u32 size = 0;  ///< of the field, where a load or store may have to change its width
  u32 type_id = 0;
  bool validate = true;  ///< the compiler must have put `value` into the instruction
};

/// Nothing: the instruction must not run.
using MaybeValue = std::optional<CoreValue>;

struct Placement {
  u64 byte_offset = 0, byte_size = 0, bit_offset = 0, bit_size = 0;
  u32 type_id = 0;
  bool bitfield = false;
};

/// Where the last step of a path, a member, lies; bit-fields within the load that reads them.
Result<Placement> place(const CoreSpec& spec) {
  const btf::Btf& btf = *spec.btf;
  const CoreAccess& access = spec.steps.back();
  const btf::Entry& member = btf.entries(btf.type(access.type_id))[access.index];
  Placement p;
  p.type_id = btf.skip_modifiers(member.type);
  p.bit_offset = spec.bit_offset;
  p.bit_size = member.bitfield_size;
  p.bitfield = member.bitfield_size != 0;
  if (!p.bitfield) {
    p.byte_size = TRY(btf.size_of(p.type_id));
    p.byte_offset = spec.bit_offset / 8;
    p.bit_size = p.byte_size * 8;
    return p;
  }
  p.byte_size = btf.type(p.type_id).size;
  if (p.byte_size == 0) return fail(EINVAL, "bit-field of a type without size");
  p.byte_offset = spec.bit_offset / 8 / p.byte_size * p.byte_size;
  while (p.bit_offset + p.bit_size - p.byte_offset * 8 > p.byte_size * 8) {
    if (p.byte_size >= 8) return fail(E2BIG, "bit-field cannot be read with one load");
    p.byte_size *= 2;
    p.byte_offset = p.bit_offset / 8 / p.byte_size * p.byte_size;
  }
  return p;
}

Result<MaybeValue> field_value(CoreKind kind, const CoreSpec* spec) {
  if (kind == CoreKind::field_exists) return CoreValue{.value = spec != nullptr};
  if (spec == nullptr) return std::nullopt;
  const CoreAccess& access = spec->steps.back();
  if (access.name.empty()) {  // an element of an array
    u64 size = TRY(spec->btf->size_of(access.type_id));
    if (kind == CoreKind::field_byte_offset)
      return CoreValue{
          .value = spec->bit_offset / 8, .size = static_cast<u32>(size), .type_id = access.type_id};
    if (kind == CoreKind::field_byte_size) return CoreValue{.value = size};
    return fail(EINVAL,
                fmt::format("{} cannot be asked of an array's element", kKindNames[static_cast<u32>(kind)]));
  }
  Placement p = TRY(place(*spec));
  const btf::Type& t = spec->btf->type(p.type_id);
  CoreValue v;
  // What the compiler made of a bit-field is its own business, except its sign and its right shift.
  v.validate = !p.bitfield;
  switch (kind) {
    case CoreKind::field_byte_offset:
      v.value = p.byte_offset;
      if (!p.bitfield) v.size = static_cast<u32>(p.byte_size), v.type_id = p.type_id;
      break;
    case CoreKind::field_byte_size:
      v.value = p.byte_size;
      break;
    case CoreKind::field_signed:
      v.value = (btf::is_any_enum(t.kind) && t.kind_flag) ||
                (t.kind == btf::Kind::int_ && t.int_encoding == btf::int_signed);
      v.validate = true;
      break;
    case CoreKind::field_lshift_u64:
      v.value = 64 - (p.bit_offset + p.bit_size - p.byte_offset * 8);
      break;
    case CoreKind::field_rshift_u64:
      v.value = 64 - p.bit_size;
      v.validate = true;
      break;
    default:
      return fail(EOPNOTSUPP, "unrecognized relocation kind");
  }
  return v;
}

Result<MaybeValue> type_value(CoreKind kind, const CoreSpec* spec) {
  if (spec == nullptr) return CoreValue{.value = 0};
  switch (kind) {
    case CoreKind::type_id_target:
      return CoreValue{.value = spec->root, .validate = false};
    case CoreKind::type_exists:
    case CoreKind::type_matches:
      return CoreValue{.value = 1};
    case CoreKind::type_size:
      return CoreValue{.value = TRY(spec->btf->size_of(spec->root))};
    default:
      return fail(EOPNOTSUPP, "unrecognized relocation kind");
  }
}

Result<MaybeValue> enumval_value(CoreKind kind, const CoreSpec* spec) {
  if (kind == CoreKind::enumval_exists) return CoreValue{.value = spec != nullptr};
  if (spec == nullptr) return std::nullopt;
  const btf::Type& t = spec->btf->type(spec->steps[0].type_id);
  s64 value = spec->btf->entries(t)[spec->steps[0].index].value;
  // A 32-bit enumerator stands sign-extended in the instruction, whatever its own sign.
  if (t.kind == btf::Kind::enum_) value = static_cast<s32>(value);
  return CoreValue{.value = static_cast<u64>(value)};
}

Result<MaybeValue> evaluate(CoreKind kind, const CoreSpec* spec) {
  if (is_field_kind(kind)) return field_value(kind, spec);
  if (is_type_kind(kind)) return type_value(kind, spec);
  return enumval_value(kind, spec);
}

struct Decision {
  CoreValue original;
  MaybeValue changed;        ///< none: poison
  bool wrong_width = false;  ///< a load or store cannot be made to fit
};

/// Loads and stores may change their width only where upper bits are 0 anyway: unsigned integers, and
/// pointers.
bool width_may_change(const btf::Btf& local, u32 a, const btf::Btf& target, u32 b) {
  const btf::Type &from = local.type(a), &to = target.type(b);
  if (from.kind == btf::Kind::ptr && to.kind == btf::Kind::ptr) return true;
  return from.kind == btf::Kind::int_ && to.kind == btf::Kind::int_ && from.int_encoding != btf::int_signed &&
         to.int_encoding != btf::int_signed;
}

void poison(std::vector<isa::Insn>& insns, u32 at) {
  u32 slots = isa::is_ld_imm64(insns[at]) ? 2 : 1;
  for (u32 i = 0; i < slots; ++i) insns[at + i] = {.code = isa::op::JMP | isa::op::CALL, .imm = kPoison};
}

std::unexpected<Error> unexpected_value(u64 got, const Decision& d) {
  return fail(EINVAL, fmt::format("unexpected value in the instruction: got {}, exp {} -> {}", got,
                                  d.original.value, d.changed ? d.changed->value : 0));
}

Result<bool> patch_memory(std::vector<isa::Insn>& insns, u32 at, const Decision& d) {
  isa::Insn& insn = insns[at];
  u64 value = d.changed->value;
  if (d.original.validate && static_cast<u64>(insn.off) != d.original.value)
    return unexpected_value(static_cast<u64>(insn.off), d);
  if (value > INT16_MAX) return fail(ERANGE, fmt::format("offset {} is too big for a load or store", value));
  if (d.wrong_width) {
    poison(insns, at);
    return false;
  }
  insn.off = static_cast<s16>(value);
  if (d.changed->size == d.original.size) return true;
  if (isa::bytes_of_size(insn.code) != d.original.size)
    return fail(EINVAL, fmt::format("access of {} bytes where the field has {}",
                                    isa::bytes_of_size(insn.code), d.original.size));
  u8 size = 0;
  switch (d.changed->size) {
    case 1:
      size = isa::op::B;
      break;
    case 2:
      size = isa::op::H;
      break;
    case 4:
      size = isa::op::W;
      break;
    case 8:
      size = isa::op::DW;
      break;
    default:
      return fail(EINVAL, fmt::format("field of {} bytes cannot be accessed at once", d.changed->size));
  }
  insn.code = static_cast<u8>(isa::mode_of(insn.code) | size | isa::class_of(insn.code));
  return true;
}

Result<bool> patch(std::vector<isa::Insn>& insns, u32 at, const Decision& d) {
  isa::Insn& insn = insns[at];
  u8 cls = isa::class_of(insn.code);
  bool wide = isa::is_ld_imm64(insn);
  bool alu = (cls == isa::op::ALU || cls == isa::op::ALU64) && !isa::is_reg_source(insn.code);
  bool memory = cls == isa::op::LDX || cls == isa::op::ST || cls == isa::op::STX;
  if (wide && (at + 1 >= insns.size() || insn.src != 0 || insn.off != 0 || insns[at + 1].code != 0))
    return fail(EINVAL, "ld_imm64 has unexpected form");
  if (!wide && !alu && !memory)
    return fail(EINVAL, fmt::format("trying to relocate unrecognized instruction, code {:#x}", insn.code));
  if (!d.changed) {
    poison(insns, at);
    return false;
  }
  if (memory) return patch_memory(insns, at, d);
  u64 value = d.changed->value;
  if (alu) {
    if (d.original.validate && static_cast<u64>(s64{insn.imm}) != d.original.value &&
        static_cast<u32>(insn.imm) != d.original.value)
      return unexpected_value(static_cast<u32>(insn.imm), d);
    insn.imm = static_cast<s32>(value);
    return true;
  }
  u64 held = static_cast<u32>(insn.imm) | u64{static_cast<u32>(insns[at + 1].imm)} << 32;
  if (d.original.validate && held != d.original.value) return unexpected_value(held, d);
  insn.imm = static_cast<s32>(value);
  insns[at + 1].imm = static_cast<s32>(value >> 32);
  return true;
}

}  // namespace

struct CoreTarget::State {
  const btf::Btf& local;
  const btf::Btf* target;
  /// Target types by essential name; made when first needed, since vmlinux has a hundred thousand of them.
  std::multimap<std::string_view, u32> by_name;
  std::map<u32, std::vector<u32>> candidates;  ///< by local type

  const std::vector<u32>& find(u32 local_id) {
    auto known = candidates.find(local_id);
    if (known != candidates.end()) return known->second;
    std::vector<u32>& found = candidates[local_id];
    if (target == nullptr) return found;
    if (by_name.empty()) {
      for (u32 id = 1; id <= target->type_count(); ++id) {
        std::string_view name = target->name(id);
        if (!name.empty()) by_name.emplace(essential_name(name), id);
      }
    }
    const btf::Type& t = local.type(local_id);
    auto [first, last] = by_name.equal_range(essential_name(local.name(local_id)));
    for (auto i = first; i != last; ++i) {
      if (same_core_kind(target->type(i->second), t)) found.push_back(i->second);
    }
    return found;
  }

  Result<Decision> decide(const CoreSpec& spec, CoreKind kind) {
    Decision decision;
    MaybeValue original = TRY(evaluate(kind, &spec));
    decision.original = *original;
    bool any = false;
    u64 offset = 0;
    for (u32 id : find(spec.root)) {
      std::optional<CoreSpec> found = TRY(CoreMatcher(local, *target).match(spec, kind, id));
      if (!found) continue;
      MaybeValue value = TRY(evaluate(kind, &*found));
      if (any && offset != found->bit_offset)
        return fail(EINVAL, fmt::format("field offset ambiguity: {} != {}", found->bit_offset, offset));
      bool differs = any && (value.has_value() != decision.changed.has_value() ||
                             (value && value->value != decision.changed->value));
      if (differs) return fail(EINVAL, "relocation decision ambiguity");
      if (any) continue;
      any = true;
      offset = found->bit_offset;
      decision.changed = value;
      decision.wrong_width = value && value->size != original->size &&
                             !width_may_change(local, original->type_id, *target, value->type_id);
    }
    if (!any) decision.changed = TRY(evaluate(kind, nullptr));
    return decision;
  }
};

CoreTarget::CoreTarget(const btf::Btf& local, const btf::Btf* target)
    : state_(new State{local, target, {}, {}}) {}
CoreTarget::~CoreTarget() = default;

namespace {

/// A relocation that asks for something of the target, in the program's own types.
Result<CoreSpec> asked(const btf::Btf& local, const btf::Btf* target, const CoreRelocation& relocation) {
  auto kind = static_cast<CoreKind>(relocation.kind);
  if (kind > CoreKind::type_matches)
    return fail(EOPNOTSUPP, fmt::format("unrecognized CO-RE relocation kind {}", relocation.kind));
  CoreSpec spec = TRY(parse_spec(local, relocation));
  if (kind == CoreKind::type_id_local) return spec;
  if (local.name(spec.root).empty()) return fail(EOPNOTSUPP, "CO-RE relocation of an anonymous type");
  if (target == nullptr)
    return fail(ESRCH, "CO-RE relocations need the kernel's BTF, and there is none on this machine");
  return spec;
}

}  // namespace

Result<bool> CoreTarget::apply(std::vector<isa::Insn>& insns, const CoreRelocation& relocation) {
  auto kind = static_cast<CoreKind>(relocation.kind);
  if (relocation.insn >= insns.size() && kind <= CoreKind::type_matches)
    return fail(EINVAL, "CO-RE relocation is outside of the program");
  CoreSpec spec = TRY(asked(state_->local, state_->target, relocation));
  Decision decision;
  if (kind == CoreKind::type_id_local) {
    decision.original = {.value = spec.root, .validate = false};
    decision.changed = decision.original;
  } else {
    decision = TRY(with_context(state_->decide(spec, kind), describe(relocation)));
  }
  return with_context(patch(insns, relocation.insn, decision), describe(relocation));
}

Result<std::optional<CoreSpec>> CoreTarget::find(const CoreRelocation& relocation) {
  auto kind = static_cast<CoreKind>(relocation.kind);
  CoreSpec spec = TRY(asked(state_->local, state_->target, relocation));
  if (kind == CoreKind::type_id_local) return std::nullopt;
  (void)TRY(with_context(state_->decide(spec, kind), describe(relocation)));
  for (u32 id : state_->find(spec.root))
    if (auto found = TRY(CoreMatcher(state_->local, *state_->target).match(spec, kind, id))) return found;
  return std::nullopt;
}

std::string CoreTarget::describe(const CoreRelocation& relocation) const {
  Result<CoreSpec> spec = parse_spec(state_->local, relocation);
  std::string_view kind = relocation.kind < std::size(kKindNames) ? kKindNames[relocation.kind] : "unknown";
  const btf::Btf& btf = state_->local;
  const btf::Type& t = btf.type(relocation.type_id);
  std::string kind_word(btf::kind_name(t.kind));
  for (char& c : kind_word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  std::string_view name = btf.string(t.name_off);
  std::string text =
      fmt::format("<{}> [{}] {} {}", kind, relocation.type_id, kind_word, name.empty() ? "<anon>" : name);
  if (!spec) return text + " + " + relocation.access;
  auto core_kind = static_cast<CoreKind>(relocation.kind);
  if (is_enumval_kind(core_kind)) {
    const btf::Type& e = btf.type(spec->steps[0].type_id);
    s64 value = btf.entries(e)[spec->steps[0].index].value;
    return text + (e.kind_flag ? fmt::format("::{} = {}", spec->steps[0].name, value)
                               : fmt::format("::{} = {}", spec->steps[0].name, static_cast<u64>(value)));
  }
  if (!is_field_kind(core_kind)) return text;
  for (std::size_t i = 0; i < spec->steps.size(); ++i) {
    const CoreAccess& step = spec->steps[i];
    if (!step.name.empty())
      text += fmt::format(".{}", step.name);
    else if (i > 0 || step.index > 0)
      text += fmt::format("[{}]", step.index);
  }
  text += " (";
  for (std::size_t i = 0; i < spec->raw.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? "" : ":", spec->raw[i]);
  text += fmt::format(" @ offset {}", spec->bit_offset / 8);
  if (spec->bit_offset % 8 != 0) text += fmt::format(".{}", spec->bit_offset % 8);
  return text + ")";
}

}  // namespace skep::loader
