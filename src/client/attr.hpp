// The layouts of `union bpf_attr` and of the info structures of bpf(2), as Linux 6.18 has them: facts of the
// user-space ABI, one struct a command. LinuxKernel hands them to the machine, RemoteKernel to the daemon,
// which reads them again. Pointers are numbers (u64), descriptors 32-bit numbers, zero where not used.
#pragma once
#include "base/types.hpp"

namespace skep::client::attr {

using Name = char[16];  // BPF_OBJ_NAME_LEN

struct MapCreate {
  u32 map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node;
  Name map_name;
  u32 map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
  u64 map_extra;
  s32 value_type_btf_obj_fd, map_token_fd;
};

struct MapElem {
  u32 map_fd, pad;
  u64 key;
  u64 value;  ///< next_key for map_get_next_key
  u64 flags;
};

struct MapBatch {
  u64 in_batch, out_batch, keys, values;
  u32 count, map_fd;
  u64 elem_flags, flags;
};

struct ProgLoad {
  u32 prog_type, insn_cnt;
  u64 insns, license;
  u32 log_level, log_size;
  u64 log_buf;
  u32 kern_version, prog_flags;
  Name prog_name;
  u32 prog_ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size;
  u64 func_info;
  u32 func_info_cnt, line_info_rec_size;
  u64 line_info;
  u32 line_info_cnt, attach_btf_id, attach_prog_fd, core_relo_cnt;
  u64 fd_array, core_relos;
  u32 core_relo_rec_size, log_true_size;
  s32 prog_token_fd;
  u32 fd_array_cnt;
};

struct Object {
  u64 pathname;
  u32 bpf_fd, file_flags;
  s32 path_fd;
  u32 pad;
};

struct TestRun {
  u32 prog_fd, retval, data_size_in, data_size_out;
  u64 data_in, data_out;
  u32 repeat, duration, ctx_size_in, ctx_size_out;
  u64 ctx_in, ctx_out;
  u32 flags, cpu, batch_size, pad;
};

struct GetId {
  u32 id;  ///< start_id, or the object's id
  u32 next_id;
  u32 open_flags;
  s32 token_fd;
};

struct GetInfo {
  u32 bpf_fd, info_len;
  u64 info;
};

struct ProgQuery {
  u32 target;  ///< target_fd or target_ifindex
  u32 attach_type, query_flags, attach_flags;
  u64 prog_ids;
  u32 count, pad;
  u64 prog_attach_flags, link_ids, link_attach_flags, revision;
};

struct ProgAttach {
  u32 target;  ///< target_fd or target_ifindex
  u32 prog_fd, attach_type, flags, replace_fd;
  u32 relative;  ///< relative_fd or relative_id
  u64 expected_revision;
};

struct BtfLoad {
  u64 btf, btf_log_buf;
  u32 btf_size, btf_log_size, btf_log_level, btf_log_true_size, btf_flags;
  s32 btf_token_fd;
};

struct LinkCreate {
  u32 prog_fd;
  u32 target;  ///< target_fd or target_ifindex
  u32 attach_type, flags;
  u32 relative;  ///< relative_fd or relative_id (tcx, netkit)
  u32 pad;
  u64 expected_revision;
};

struct LinkUpdate {
  u32 link_fd, new_prog_fd, flags, old_prog_fd;
};

struct LinkDetach {
  u32 link_fd;
};

struct ProgBindMap {
  u32 prog_fd, map_fd, flags;
};

/// struct bpf_prog_info
struct ProgInfo {
  u32 type, id;
  u8 tag[8];
  u32 jited_prog_len, xlated_prog_len;
  u64 jited_prog_insns, xlated_prog_insns;
  u64 load_time;
  u32 created_by_uid, nr_map_ids;
  u64 map_ids;
  Name name;
  u32 ifindex;
  u32 gpl_compatible;  ///< bit 0
  u64 netns_dev, netns_ino;
  u32 nr_jited_ksyms, nr_jited_func_lens;
  u64 jited_ksyms, jited_func_lens;
  u32 btf_id, func_info_rec_size;
  u64 func_info;
  u32 nr_func_info, nr_line_info;
  u64 line_info, jited_line_info;
  u32 nr_jited_line_info, line_info_rec_size, jited_line_info_rec_size, nr_prog_tags;
  u64 prog_tags;
  u64 run_time_ns, run_cnt, recursion_misses;
  u32 verified_insns, attach_btf_obj_id, attach_btf_id, pad;
};

/// struct bpf_map_info
struct MapInfo {
  u32 type, id, key_size, value_size, max_entries, map_flags;
  Name name;
  u32 ifindex, btf_vmlinux_value_type_id;
  u64 netns_dev, netns_ino;
  u32 btf_id, btf_key_type_id, btf_value_type_id, btf_vmlinux_id;
  u64 map_extra;
};

/// struct bpf_btf_info
struct BtfInfo {
  u64 btf;
  u32 btf_size, id;
  u64 name;
  u32 name_len, kernel_btf;
};

/// struct bpf_link_info: the head, then a union by `type`.
struct LinkInfo {
  u32 type, id, prog_id, pad;
  union {
    struct {
      u64 tp_name;
      u32 tp_name_len, pad;
      u64 cookie;
    } raw_tracepoint;
    struct {
      u32 attach_type, target_obj_id, target_btf_id, pad;
      u64 cookie;
    } tracing;
    struct {
      u64 cgroup_id;
      u32 attach_type;
    } cgroup;
    struct {
      u32 netns_ino, attach_type;
    } netns;
    struct {
      u32 ifindex;
    } xdp;
    struct {
      u32 ifindex, attach_type;
    } tcx;  ///< netkit as well
    u64 room[12];
  };
};

static_assert(sizeof(MapCreate) == 80 && offsetof(MapCreate, map_extra) == 64);
static_assert(sizeof(MapElem) == 32 && sizeof(MapBatch) == 56);
static_assert(sizeof(ProgLoad) == 152 && offsetof(ProgLoad, prog_name) == 48 &&
              offsetof(ProgLoad, fd_array) == 120);
static_assert(sizeof(TestRun) == 80 && sizeof(ProgQuery) == 64 && sizeof(BtfLoad) == 40);
static_assert(sizeof(ProgInfo) == 232 && offsetof(ProgInfo, prog_tags) == 184);
static_assert(sizeof(MapInfo) == 88 && sizeof(BtfInfo) == 32 && offsetof(LinkInfo, xdp) == 16);

}  // namespace skep::client::attr
