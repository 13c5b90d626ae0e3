// CO-RE relocations of all kinds, against types whose layout differs from the target's (see core_target.bpf.c).
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct inner___mine {
  int a;
  int b;
};
struct thing {
  int first;
  struct inner___mine inner;
  unsigned short flags;
  unsigned bits : 5;
  int array[4];
  long missing;
};
struct absent {
  int x;
};
enum kind { KIND_A = 1, KIND_B = 2, KIND_GONE = 3 };
#pragma clang attribute pop

int offset_b, size_flags, exists_missing, exists_first, exists_absent, size_thing, id_thing;
__u64 kind_b, kind_gone, kind_gone_exists, left, right, is_signed, third;

SEC("xdp")
int relocate(struct xdp_md *ctx) {
  struct thing *t = (void *)(long)ctx->data;
  offset_b = __builtin_preserve_field_info(t->inner.b, BPF_FIELD_BYTE_OFFSET);
  size_flags = bpf_core_field_size(t->flags);
  exists_missing = bpf_core_field_exists(t->missing);
  exists_first = bpf_core_field_exists(t->first);
  exists_absent = bpf_core_type_exists(struct absent);
  size_thing = bpf_core_type_size(struct thing);
  id_thing = bpf_core_type_id_kernel(struct thing);
  kind_b = bpf_core_enum_value(enum kind, KIND_B);
  kind_gone_exists = bpf_core_enum_value_exists(enum kind, KIND_GONE);
  left = __builtin_preserve_field_info(t->bits, BPF_FIELD_LSHIFT_U64);
  right = __builtin_preserve_field_info(t->bits, BPF_FIELD_RSHIFT_U64);
  is_signed = __builtin_preserve_field_info(t->first, BPF_FIELD_SIGNED);
  third = __builtin_preserve_field_info(t->array[3], BPF_FIELD_BYTE_OFFSET);
  if (exists_missing) offset_b = __builtin_preserve_field_info(t->missing, BPF_FIELD_BYTE_OFFSET);
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
