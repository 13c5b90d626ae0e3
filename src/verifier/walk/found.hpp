// What checks of calls and of accesses to structs find out for those that follow.
#pragma once
#include "verifier/kfunc/kfunc.hpp"
#include "verifier/state/reg.hpp"

namespace skep::verifier {

/// What the checks of a helper's arguments found out, for the checks that follow.
struct CallMeta {
  const maps::MapFacts* map = nullptr;
  u32 map_uid = 0;
  bool raw_mode = false;   ///< the memory argument is only written
  bool pkt_access = true;  ///< packet pointers may be passed
  u32 release_regno = 0;
  u32 regno = 0;  ///< of the raw memory
  s32 access_size = 0;
  u64 mem_size = 0;
  u64 msize_max = 0;  ///< largest size argument
  u32 ref_obj_id = 0;
  u32 subprogno = 0;
  bool changes_packet = false;
  u32 dynptr_id = 0;  ///< of the dynptr that the result is memory of
  s32 func_id = 0;
  s64 const_map_key = -1;              ///< -1: not known
  const btf::Field* kptr = nullptr;    ///< the field that bpf_kptr_xchg() changes
  const btf::Btf* kptr_btf = nullptr;  ///< whose types it names
  const btf::Btf* ret_btf = nullptr;   ///< of the per-CPU variable
  u32 ret_btf_id = 0;
  u32 want_btf_id = 0;                 ///< the kernel's struct that is asked for, where no contract names one
  bool percpu_object = false;          ///< the program's own, by bpf_percpu_obj_new()
  const kfunc::Call* kfunc = nullptr;  ///< a kernel function's callback is entered, not a helper's
};

/// Where an access falls inside a struct.
struct StructStep {
  enum class Kind : u8 { scalar, pointer, plain_pointer, structure } kind = Kind::scalar;
  u16 flags = tf::none;    ///< of the pointer: rcu, user, percpu, untrusted
  u32 type_id = 0;         ///< pointer: what it points to; structure: the nested struct
  std::string_view field;  ///< pointer: the member's name
};

/// What a pointer parameter of a kernel function wants (kernel: enum kfunc_ptr_arg_type).
enum class KfuncArg : u8 {
  null,
  ctx,
  alloc,
  refcounted,
  dynptr,
  iter,
  list_head,
  list_node,
  rb_root,
  rb_node,
  const_str,
  map,
  workqueue,
  task_work,
  irq_flag,
  res_spin_lock,
  btf_id,
  callback,
  mem,
  mem_size,
};

}  // namespace skep::verifier
