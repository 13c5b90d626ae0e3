// Kernel functions that read memory anywhere, count elements, and bring packets into one piece.
#include "kfuncs.bpf.h"

#define E2BIG 7
#define EFAULT 14
#define EINVAL 22
#define ERANGE 34

struct bpf_map {
  __u32 id;
} __attribute__((preserve_access_index));
extern int bpf_probe_read_user_dynptr(struct bpf_dynptr *dptr, __u32 off, __u32 size, const void *from) __ksym;
extern int bpf_probe_read_kernel_dynptr(struct bpf_dynptr *dptr, __u32 off, __u32 size, const void *from) __ksym;
extern int bpf_probe_read_user_str_dynptr(struct bpf_dynptr *dptr, __u32 off, __u32 size, const void *from) __ksym;
extern int bpf_probe_read_kernel_str_dynptr(struct bpf_dynptr *dptr, __u32 off, __u32 size, const void *from) __ksym;
extern int bpf_copy_from_user_str(void *dst, __u32 dst__sz, const void *from, __u64 flags) __ksym;
extern int bpf_copy_from_user_dynptr(struct bpf_dynptr *dptr, __u32 off, __u32 size, const void *from) __ksym;
extern int bpf_copy_from_user_str_dynptr(struct bpf_dynptr *dptr, __u32 off, __u32 size, const void *from) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern __s64 bpf_map_sum_elem_count(const struct bpf_map *map) __ksym;
extern int bpf_xdp_pull_data(struct xdp_md *x, __u32 len) __ksym __weak;

static char text[] = "hello", room[16];

#define NOWHERE ((const void *)-1)

SEC("tc")
int memory_is_read_into_dynptrs(struct __sk_buff *skb) {
  struct bpf_dynptr to;
  bpf_dynptr_from_mem(room, 16, 0, &to);
  CHECK(bpf_probe_read_kernel_dynptr(&to, 2, 6, text) == 0);
  CHECK(room[0] == 0 && room[2] == 'h' && room[6] == 'o' && room[7] == 0);
  CHECK(bpf_probe_read_kernel_dynptr(&to, 12, 6, text) == -E2BIG);
  CHECK(bpf_probe_read_kernel_dynptr(&to, 0, 2, 0) == -ERANGE);
  CHECK(bpf_probe_read_kernel_dynptr(&to, 2, 2, NOWHERE) == -EFAULT);
  CHECK(bpf_probe_read_user_dynptr(&to, 0, 2, 0) == -EFAULT);
  return 0;
}

SEC("tc")
int strings_are_read_into_dynptrs(struct __sk_buff *skb) {
  struct bpf_dynptr to;
  char bytes[6];
  bpf_dynptr_from_mem(room, 16, 0, &to);
  CHECK(bpf_probe_read_kernel_str_dynptr(&to, 0, 16, text) == 6);
  CHECK(room[4] == 'o' && room[5] == 0);
  CHECK(bpf_probe_read_kernel_str_dynptr(&to, 8, 3, text) == 3);
  CHECK(room[8] == 'h' && room[9] == 'e' && room[10] == 0);
  CHECK(bpf_probe_read_kernel_str_dynptr(&to, 15, 3, text) == -E2BIG);
  CHECK(bpf_probe_read_kernel_str_dynptr(&to, 0, 3, 0) == -ERANGE);
  CHECK(bpf_probe_read_user_str_dynptr(&to, 0, 3, 0) == -EFAULT);
  bpf_dynptr_from_skb(skb, 0, &to);
  CHECK(bpf_probe_read_kernel_str_dynptr(&to, 20, 8, text) == 6);
  bpf_skb_load_bytes(skb, 20, bytes, 6);
  CHECK(bytes[0] == 'h' && bytes[4] == 'o' && bytes[5] == 0);
  return 0;
}

SEC("syscall")
int user_memory_is_not_at_null(void *ctx) {
  struct bpf_dynptr to;
  char bytes[8] = {1, 1, 1, 1};
  bpf_dynptr_from_mem(room, 16, 0, &to);
  CHECK(bpf_copy_from_user_dynptr(&to, 0, 8, 0) == -EFAULT);
  CHECK(bpf_copy_from_user_str_dynptr(&to, 0, 8, 0) == -EFAULT);
  CHECK(bpf_copy_from_user_str(bytes, 8, 0, 2) == -EINVAL);
  CHECK(bpf_copy_from_user_str(bytes, 8, 0, 1) == -EFAULT);
  CHECK(bytes[0] == 0 && bytes[7] == 0);
  return 0;
}

#define MAP(name, kind, flags)          \
  struct {                              \
    __uint(type, BPF_MAP_TYPE_##kind);  \
    __type(key, __u32);                 \
    __type(value, __u32);               \
    __uint(max_entries, 64);            \
    __uint(map_flags, flags);           \
  } name SEC(".maps")
MAP(hash, HASH, 0);
MAP(loose, HASH, 1);
MAP(percpu, PERCPU_HASH, 0);
MAP(lru, LRU_HASH, 0);
MAP(array, ARRAY, 0);
#define count(map) bpf_map_sum_elem_count((void *)&map)

#define COUNTS(map)                                      \
  key = 1;                                               \
  CHECK(count(map) == 0);                                \
  CHECK(bpf_map_update_elem(&map, &key, &value, 0) == 0); \
  CHECK(bpf_map_update_elem(&map, &key, &value, 0) == 0); \
  key = 2;                                               \
  CHECK(bpf_map_update_elem(&map, &key, &value, 0) == 0); \
  CHECK(count(map) == 2);                                \
  CHECK(bpf_map_delete_elem(&map, &key) == 0);           \
  CHECK(count(map) == 1);                                \
  CHECK(bpf_map_delete_elem(&map, &key) != 0);           \
  CHECK(count(map) == 1)

SEC("tc")
int elements_are_counted(struct __sk_buff *skb) {
  __u32 key, value = 1;
  COUNTS(hash);
  COUNTS(loose);
  COUNTS(percpu);
  COUNTS(lru);
  CHECK(count(array) == 0);
  return 0;
}

SEC("xdp")
int linear_packets_are_in_one_piece(struct xdp_md *xdp) {
  CHECK(bpf_xdp_pull_data(xdp, 64) == 0);
  CHECK(bpf_xdp_pull_data(xdp, 65) == -EINVAL);
  CHECK(xdp->data_end - xdp->data == 64);
  return 0;
}

char _license[] SEC("license") = "GPL";
