// Loads and stores through pointers to kernel structs and to objects that the program allocated, and how far
// what they point to is to be trusted (kernel: check_ptr_to_btf_access(), is_trusted_reg(),
// btf_nested_type_is_trusted()).
#include "btf/kernel_btf.hpp"
#include "progs/prog_type.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using btf::Btf;
using btf::Kind;

namespace {

constexpr u16 trusted_flags = tf::alloc | tf::trusted | tf::non_owning;

u16 without_trust(u16 flags) {
  return static_cast<u16>(flags & ~(tf::alloc | tf::trusted | tf::non_owning | tf::rcu | tf::maybe_null));
}

}  // namespace

bool has_unsafe_modifiers(RegType type) { return (type.flags & ~trusted_flags) != 0; }

std::string_view struct_of_base(Base base) {
  switch (base) {
    case Base::sock:
      return "sock";
    case Base::sock_common:
      return "sock_common";
    case Base::tcp_sock:
      return "tcp_sock";
    case Base::map_ptr:
      return "bpf_map";
    default:
      return {};
  }
}

const Btf* Walk::kernel_btf() const {
  return e.input.vmlinux != nullptr ? e.input.vmlinux->types() : nullptr;
}

u32 Walk::kernel_struct(std::string_view name) const {
  return e.input.vmlinux != nullptr ? e.input.vmlinux->find(Kind::struct_, name) : 0;
}

bool Walk::is_trusted(const RegState& reg) {
  if (reg.ref_obj_id != 0) return true;
  if (!struct_of_base(reg.type.base).empty() && !has_unsafe_modifiers(reg.type)) return true;
  return (reg.type.flags & trusted_flags) != 0 && !has_unsafe_modifiers(reg.type);
}

bool Walk::in_rcu_section() const {
  return e.cur->active_rcu_lock || e.cur->active_locks != 0 || !e.cur->in_sleepable;
}

/// The kernel lists fields that keep their parent's trust in structs named after it: "task_struct__safe_rcu".
bool Walk::field_keeps_trust(const RegState& reg, std::string_view field, u32 type_id,
                             std::string_view suffix) {
  if (e.input.vmlinux == nullptr || reg.btf != kernel_btf()) return false;
  const btf::Type& type = reg.btf->type(reg.btf_id);
  const u32 list =
      e.input.vmlinux->find(type.kind, fmt::format("{}{}", reg.btf->string(type.name_off), suffix));
  if (list == 0) return false;
  for (const btf::Entry& member : reg.btf->entries(reg.btf->type(list))) {
    const btf::Type& pointer = reg.btf->type(member.type);
    if (pointer.kind == Kind::ptr && reg.btf->skip_modifiers(pointer.type) == type_id &&
        reg.btf->string(member.name_off) == field)
      return true;
  }
  return false;
}

u16 Walk::loaded_pointer_flags(const RegState& reg, const StructStep& step) {
  u16 flags = step.flags;
  if ((reg.type.flags & tf::untrusted) != 0) return tf::untrusted;
  if (!is_trusted(reg) && (reg.type.flags & tf::rcu) == 0) return without_trust(flags);
  auto keeps = [&](std::string_view suffix) {
    return field_keeps_trust(reg, step.field, step.type_id, suffix);
  };
  if (keeps("__safe_trusted")) return static_cast<u16>(flags | tf::trusted);
  if (keeps("__safe_trusted_or_null")) return static_cast<u16>(flags | tf::trusted | tf::maybe_null);
  if (!in_rcu_section() || reg.type.maybe_null()) return tf::untrusted;
  if (keeps("__safe_rcu")) return static_cast<u16>(flags | tf::rcu);
  const bool or_null = keeps("__safe_rcu_or_null");
  if ((flags & tf::rcu) != 0 || or_null) {
    flags = static_cast<u16>(flags | tf::rcu | tf::maybe_null);
    return or_null ? static_cast<u16>(flags & ~tf::untrusted) : flags;
  }
  return (flags & (tf::percpu | tf::user)) != 0 ? flags : without_trust(flags);
}

void Walk::mark_btf_load(RegState& value, Base base, const Btf* types, u32 id, u16 flags) {
  if (base == Base::scalar) return mark_unknown(value);
  mark_known_zero_pointer(value, {base, flags});
  if (base == Base::mem) return;
  value.btf = types;
  value.btf_id = id;
  if ((flags & tf::maybe_null) != 0) value.id = ++e.id_gen;
}

Status Walk::check_btf_access(u32 regno, s32 off, u32 size, Access access, s32 value_regno) {
  const RegState reg = regs()[regno];
  const std::string_view name = reg.btf->name(reg.btf_id);
  const bool of_kernel = reg.btf == kernel_btf();
  if (!e.input.gpl_compatible && of_kernel)
    return e.reject(EINVAL, "Cannot access kernel 'struct {}' from non-GPL compatible program\n", name);
  if (off < 0) return e.reject(EACCES, "R{} is ptr_{} invalid negative access: off={}\n", regno, name, off);
  if (!reg.num.is_const() || reg.num.var_off.value != 0)
    return e.reject(EACCES, "R{} is ptr_{} invalid variable offset: off={}, var_off={}\n", regno, name, off,
                    tnum_text(reg.num.var_off));
  if ((reg.type.flags & tf::user) != 0)
    return e.reject(EACCES, "R{} is ptr_{} access user memory: off={}\n", regno, name, off);
  if ((reg.type.flags & tf::percpu) != 0)
    return e.reject(EACCES, "R{} is ptr_{} access percpu memory: off={}\n", regno, name, off);
  const bool allocated = (reg.type.flags & tf::alloc) != 0;
  const bool write = access == Access::write;
  if (write && (reg.type.flags & tf::untrusted) != 0) return e.reject(EACCES, "only read is supported\n");
  if (write && !allocated && of_kernel && progs::writes_conntrack(e.input.type))
    return check_conntrack_write(reg, off, size);
  if (write && !allocated && of_kernel && e.program.attach.table != nullptr)
    return check_table_write(reg, off, size);
  if (write && (!allocated || (reg.type.flags & (tf::percpu | tf::maybe_null)) != 0))
    return e.reject(EACCES, "only read is supported\n");
  StructStep step;
  Base result = Base::scalar;
  CHECK(access_struct(reg, off, size, result, step));
  if (of_kernel) note_kernel_access(reg.btf_id, off);
  const u16 flags = result == Base::btf_id ? loaded_pointer_flags(reg, step) : step.flags;
  if (!write && value_regno >= 0) mark_btf_load(regs()[value_regno], result, reg.btf, step.type_id, flags);
  return passed;
}

/// Which struct of the kernel an instruction reads, for who must know whether it is there.
void Walk::note_kernel_access(u32 type, s32 off) {
  InsnAux& at = aux();
  const bool same = at.kernel_type == type && at.kernel_off == off;
  if (at.kernel_type != 0 && !same) {
    at.kernel_type = many_kernel_types;
    return;
  }
  at.kernel_type = type;
  at.kernel_off = off;
}

/// XDP and tc programs may set the mark of a connection (kernel: nfct_btf_struct_access()).
Status Walk::check_conntrack_write(const RegState& reg, s32 off, u32 size) {
  const Btf& types = *reg.btf;
  const std::string_view name = types.name(reg.btf_id);
  if (name != "nf_conn" && name != "nf_conn___init") return Status(EACCES);
  for (const btf::Entry& member : types.entries(types.type(kernel_struct("nf_conn")))) {
    if (types.string(member.name_off) != "mark" || static_cast<s32>(member.bit_offset / 8) != off) continue;
    if (size > 4)
      return e.reject(EACCES,
                      "write access at off {} with size {} beyond the member of nf_conn ended at {}\n", off,
                      size, member.bit_offset / 8 + 4);
    return passed;
  }
  return e.reject(EACCES, "no write support to nf_conn at off {}\n", off);
}

/// The kernel's own structure behind a map pointer, for reading (kernel: check_ptr_to_map_access()).
Status Walk::check_map_struct_access(u32 regno, std::string_view structure, s32 off, u32 size, Access access,
                                     s32 value_regno) {
  if (off < 0) return e.reject(EACCES, "R{} is {} invalid negative access: off={}\n", regno, structure, off);
  if (access == Access::write) return e.reject(EACCES, "only read from {} is supported\n", structure);
  const Btf* types = kernel_btf();
  if (types == nullptr)
    return e.reject(kENOTSUPP, "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF\n");
  RegState map;
  mark_btf_load(map, Base::btf_id, types, kernel_struct(structure), tf::none);
  StructStep step;
  Base result = Base::scalar;
  CHECK(access_struct(map, off, size, result, step));
  note_kernel_access(map.btf_id, off);
  if (value_regno >= 0) mark_btf_load(regs()[value_regno], result, types, step.type_id, step.flags);
  return passed;
}

/// Buffers of unknown length that an iterator's context points to (kernel: check_buffer_access()).
Status Walk::check_buffer_access(u32 regno, s32 off, u32 size, Access access, s32 value_regno) {
  const RegState& reg = regs()[regno];
  const bool rdonly = reg.type.rdonly();
  if (rdonly && access == Access::write)
    return e.reject(EACCES, "R{} cannot write into {}\n", regno, type_text(reg.type));
  const std::string_view kind = rdonly ? "rdonly" : "rdwr";
  if (off < 0)
    return e.reject(EACCES, "R{} invalid {} buffer access: off={}, size={}\n", regno, kind, off, size);
  if (!reg.num.is_const() || reg.num.var_off.value != 0)
    return e.reject(EACCES, "R{} invalid variable buffer offset: off={}, var_off={}\n", regno, off,
                    tnum_text(reg.num.var_off));
  if (value_regno >= 0 && access == Access::read) mark_unknown(regs()[value_regno]);
  return passed;
}

// --- objects of the program's own types ------------------------------------------------------------------

/// The special fields of a struct of the program's BTF, or nullptr if it has none (kernel:
/// btf_find_struct_meta()).
const btf::Record* Walk::struct_record(const Btf* types, u32 id) {
  if (types == nullptr || types == kernel_btf()) return nullptr;
  for (const auto& known : struct_records)
    if (known.btf == types && known.id == id) return known.record.get();
  StructRecord fresh{types, id, nullptr};
  const btf::Type& type = types->type(id);
  if (type.kind == Kind::struct_) {
    auto found = btf::find_fields(*types, id, btf::object_fields, type.size);
    if (found && found->kinds != 0) fresh.record = std::make_unique<btf::Record>(*std::move(found));
  }
  struct_records.push_back(std::move(fresh));
  return struct_records.back().record.get();
}

/// The special fields of what a register points to: a map's value or an allocated object.
const btf::Record* Walk::record_of(const RegState& reg) {
  if (reg.type.base == Base::map_value) return reg.map->record.kinds != 0 ? &reg.map->record : nullptr;
  if (reg.type.base == Base::btf_id && (reg.type.flags & tf::alloc) != 0)
    return struct_record(reg.btf, reg.btf_id);
  return nullptr;
}

bool Walk::may_point_to_lock(const RegState& reg) {
  const btf::Record* record = record_of(reg);
  return record != nullptr && (record->spin_lock_off >= 0 || record->res_spin_lock_off >= 0);
}

}  // namespace skep::verifier
