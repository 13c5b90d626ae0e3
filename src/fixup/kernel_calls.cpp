// Calls of kernel functions (kfuncs): by BTF id in the program, by number in what runs, with the arguments
// that the kernel's fixups fill in (kernel: fixup_kfunc_call()).
#include <fmt/format.h>

#include <cerrno>

#include "fixup/rewrite.hpp"
#include "helpers/kernel_functions.hpp"
#include "progs/prog_type.hpp"

namespace skep::fixup {
namespace {

/// Which arguments are filled in.
enum class Hidden : u8 {
  none,
  cast,         ///< the call is a view of its argument under another type
  size_type,    ///< R1 the object's size, R2 its type
  type,         ///< R2 the object's type
  list_insert,  ///< R3 the node's type, R4 its offset
  tree_insert,  ///< R4, R5
  program,      ///< R4 the program (kernel: "aux__prog")
};
struct Row {
  std::string_view name;
  Hidden hidden;
};
constexpr Row hidden_rows[] = {
    {"bpf_cast_to_kern_ctx", Hidden::cast},
    {"bpf_rdonly_cast", Hidden::cast},
    {"bpf_obj_new_impl", Hidden::size_type},
    {"bpf_percpu_obj_new_impl", Hidden::size_type},
    {"bpf_obj_drop_impl", Hidden::type},
    {"bpf_percpu_obj_drop_impl", Hidden::type},
    {"bpf_refcount_acquire_impl", Hidden::type},
    {"bpf_list_push_front_impl", Hidden::list_insert},
    {"bpf_list_push_back_impl", Hidden::list_insert},
    {"bpf_rbtree_add_impl", Hidden::tree_insert},
    {"bpf_wq_set_callback_impl", Hidden::program},
};

Hidden hidden_of(std::string_view name) {
  for (const Row& row : hidden_rows)
    if (row.name == name) return row.hidden;
  return Hidden::none;
}

void add_address(Patch& patch, u8 reg, const void* what) {
  for (const isa::Insn& insn : load_address(reg, what)) patch.add(insn);
}

/// The function that takes its place in programs of this type (kernel: specialize_kfunc()).
std::string_view code_of(std::string_view name, ProgType type) {
  if (name == "bpf_dynptr_from_skb" && progs::packet_access(type) != progs::PacketAccess::read_write)
    return "bpf_dynptr_from_skb_rdonly";
  return name;
}

}  // namespace

Result<Patch> kernel_call(const Source& source, const isa::Insn& insn, const verifier::InsnFacts& facts) {
  const auto id = static_cast<u32>(insn.imm);
  const std::string_view name =
      source.kernel_types != nullptr ? source.kernel_types->name(id) : std::string_view{};
  const Hidden hidden = hidden_of(name);
  if (hidden == Hidden::cast) return Patch{isa::encode(isa::Form::MOV64_X, 0, 1)};
  const s32 function = helpers::kernel_function_id(code_of(name, source.type));
  if (function == 0)
    return fail(EOPNOTSUPP, fmt::format("skep cannot run programs that use the kernel's {} yet", name));
  if (hidden == Hidden::none) return Patch{call(function)};
  if (hidden == Hidden::program) {
    Patch patch;
    add_address(patch, 4, source.program);
    patch.add(call(function));
    return patch;
  }
  // What lets go of objects takes their type from them: any will do (the kernel takes the last).
  const bool by_object = hidden == Hidden::type && name != "bpf_refcount_acquire_impl";
  if ((facts.objects_differ && !by_object) || facts.object_btf == nullptr || source.object_types == nullptr)
    return fail(EOPNOTSUPP, fmt::format("skep cannot run a call of {} on objects of several types", name));
  const btf::ObjectType* type = source.object_types->of_struct(*facts.object_btf, facts.object_type);
  Patch patch;
  if (hidden == Hidden::size_type) patch.add(mov_imm(1, static_cast<s32>(facts.object_size)));
  const u8 type_reg = hidden == Hidden::list_insert ? 3 : hidden == Hidden::tree_insert ? 4 : 2;
  add_address(patch, type_reg, type);
  if (hidden == Hidden::list_insert || hidden == Hidden::tree_insert)
    patch.add(mov_imm(static_cast<u8>(type_reg + 1), static_cast<s32>(facts.node_offset)));
  patch.add(call(function));
  return patch;
}

}  // namespace skep::fixup
