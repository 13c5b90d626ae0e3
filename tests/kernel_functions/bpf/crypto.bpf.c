// Encryption with kernel functions: a system call program makes contexts, tc and XDP programs use them. Keys and
// ciphertexts are those of FIPS-197 and NIST SP 800-38A.
#include "kfuncs.bpf.h"

#define ALIGNED __attribute__((aligned(8)))
#define EINVAL 22
#define ENOENT 2
#define EOPNOTSUPP 95

struct bpf_crypto_params {
  char type[14];
  __u8 reserved[2];
  char algo[128];
  __u8 key[256];
  __u32 key_len;
  __u32 authsize;
};
struct bpf_crypto_ctx {
  __u32 siv_len;
} __attribute__((preserve_access_index));

extern struct bpf_crypto_ctx *bpf_crypto_ctx_create(const struct bpf_crypto_params *params, __u32 params__sz, int *err) __ksym;
extern struct bpf_crypto_ctx *bpf_crypto_ctx_acquire(struct bpf_crypto_ctx *ctx) __ksym;
extern void bpf_crypto_ctx_release(struct bpf_crypto_ctx *ctx) __ksym;
extern int bpf_crypto_encrypt(struct bpf_crypto_ctx *ctx, const struct bpf_dynptr *src, const struct bpf_dynptr *dst,
                              const struct bpf_dynptr *siv__nullable) __ksym;
extern int bpf_crypto_decrypt(struct bpf_crypto_ctx *ctx, const struct bpf_dynptr *src, const struct bpf_dynptr *dst,
                              const struct bpf_dynptr *siv__nullable) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *ptr, __u32 start, __u32 end) __ksym;

struct value {
  struct bpf_crypto_ctx kptr *ctx;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, int);
  __type(value, struct value);
  __uint(max_entries, 4);
} contexts SEC(".maps");

static struct bpf_crypto_params params;
static int err;

static __always_inline int create(const char *type, const char *algo, __u32 key_len) {
  struct bpf_crypto_ctx *ctx;
  __builtin_memset(params.type, 0, sizeof params.type);
  __builtin_memset(params.algo, 0, sizeof params.algo);
  for (int i = 0; i < 14 && type[i]; i++) params.type[i] = type[i];
  for (int i = 0; i < 20 && algo[i]; i++) params.algo[i] = algo[i];
  params.key_len = key_len;
  err = 1;
  ctx = bpf_crypto_ctx_create(&params, sizeof params, &err);
  if (ctx) {
    bpf_crypto_ctx_release(ctx);
    return 1;
  }
  return err;
}

SEC("syscall")
int contexts_are_made_by_the_rules(void *ctx) {
  CHECK(create("skcipher", "ecb(aes)", 16) == 1 && err == 0);
  CHECK(create("skcipher", "ecb(aes)", 24) == 1);
  CHECK(create("skcipher", "cbc(aes)", 32) == 1);
  CHECK(create("skcipher", "ecb(aes)", 17) == -EINVAL);
  CHECK(create("skcipher", "ecb(aes)", 0) == -EINVAL);
  CHECK(create("skcipher", "ecb(aes)", 257) == -EINVAL);
  CHECK(create("skcipher", "ecb(nothing)", 16) == -EOPNOTSUPP);
  CHECK(create("skcipher", "", 16) == -EOPNOTSUPP);
  CHECK(create("aead", "gcm(aes)", 16) == -ENOENT);
  CHECK(create("", "ecb(aes)", 16) == -ENOENT);
  params.authsize = 16;
  CHECK(create("skcipher", "ecb(aes)", 16) == -EOPNOTSUPP);
  params.authsize = 0;
  params.reserved[1] = 1;
  CHECK(create("skcipher", "ecb(aes)", 16) == -EINVAL);
  params.reserved[1] = 0;
  return 0;
}

static __always_inline int keep(int slot, const char *algo, __u32 key_len) {
  struct bpf_crypto_params p = {.type = "skcipher", .key_len = key_len};
  struct bpf_crypto_ctx *ctx;
  struct value *v = bpf_map_lookup_elem(&contexts, &slot);
  int e = 0;
  if (!v) return __LINE__;
  for (int i = 0; i < 8; i++) p.algo[i] = algo[i];
  for (int i = 0; i < 32; i++) p.key[i] = i;
  ctx = bpf_crypto_ctx_create(&p, sizeof p, &e);
  if (!ctx) return __LINE__;
  ctx = bpf_kptr_xchg(&v->ctx, ctx);
  if (ctx) bpf_crypto_ctx_release(ctx);
  return 0;
}

SEC("syscall")
int maps_keep_contexts(void *ctx) {
  CHECK(keep(0, "ecb(aes)", 16) == 0);
  CHECK(keep(1, "cbc(aes)", 16) == 0);
  CHECK(keep(2, "ecb(aes)", 32) == 0);
  CHECK(keep(2, "ecb(aes)", 32) == 0);
  return 0;
}

SEC("syscall")
int contexts_are_counted(void *ctx) {
  struct bpf_crypto_ctx *one, *other;
  int e = 0;
  __builtin_memset(&params, 0, sizeof params);
  __builtin_memcpy(params.type, "skcipher", 8);
  __builtin_memcpy(params.algo, "ecb(aes)", 8);
  params.key_len = 16;
  one = bpf_crypto_ctx_create(&params, sizeof params, &e);
  CHECK(one);
  other = bpf_crypto_ctx_acquire(one);
  if (!other) {
    bpf_crypto_ctx_release(one);
    return __LINE__;
  }
  bpf_crypto_ctx_release(one);
  bpf_crypto_ctx_release(other);
  return 0;
}

static __u8 plain[64] ALIGNED, out[64] ALIGNED, back[64] ALIGNED, vector[16] ALIGNED;
static const __u8 fips128[16] ALIGNED = {0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a};
static const __u8 fips256[16] ALIGNED = {0x8e, 0xa2, 0xb7, 0xca, 0x51, 0x67, 0x45, 0xbf, 0xea, 0xfc, 0x49, 0x90, 0x4b, 0x49, 0x60, 0x89};

static __always_inline struct bpf_crypto_ctx *context(int slot) {
  struct value *v = bpf_map_lookup_elem(&contexts, &slot);
  return v ? v->ctx : 0;
}
/// Without branches, which the verifier would follow.
static __noinline int different(const volatile __u64 *a, const volatile __u64 *b) {
  return ((a[0] ^ b[0]) | (a[1] ^ b[1])) != 0;
}
#define same(a, b) (!different((void *)(a), (void *)(b)))

SEC("tc")
int blocks_are_encrypted(struct __sk_buff *skb) {
  struct bpf_crypto_ctx *ctx;
  struct bpf_dynptr from, to, again;
  for (int i = 0; i < 16; i++) plain[i] = i * 0x11;
  bpf_dynptr_from_mem(plain, 16, 0, &from);
  bpf_dynptr_from_mem(out, 16, 0, &to);
  bpf_dynptr_from_mem(back, 16, 0, &again);
  bpf_rcu_read_lock();
  ctx = context(0);
  if (!ctx) goto none;
  int one = bpf_crypto_encrypt(ctx, &from, &to, 0);
  int equal = same(out, fips128);
  int two = bpf_crypto_decrypt(ctx, &to, &again, 0);
  ctx = context(2);
  if (!ctx) goto none;
  int three = bpf_crypto_encrypt(ctx, &from, &to, 0);
  bpf_rcu_read_unlock();
  CHECK(one == 0);
  CHECK(equal);
  CHECK(two == 0);
  CHECK(same(back, plain));
  CHECK(three == 0);
  CHECK(same(out, fips256));
  return 0;
none:
  bpf_rcu_read_unlock();
  return __LINE__;
}

SEC("tc")
int chained_blocks_leave_their_vector(struct __sk_buff *skb) {
  struct bpf_crypto_ctx *ctx;
  struct bpf_dynptr from, to, iv, short_iv, again;
  for (int i = 0; i < 48; i++) plain[i] = i * 7;
  __builtin_memset(vector, 5, 16);
  bpf_dynptr_from_mem(plain, 48, 0, &from);
  bpf_dynptr_from_mem(out, 64, 0, &to);
  bpf_dynptr_from_mem(back, 64, 0, &again);
  bpf_dynptr_from_mem(vector, 16, 0, &iv);
  bpf_dynptr_from_mem(vector, 8, 0, &short_iv);
  bpf_rcu_read_lock();
  ctx = context(1);
  if (!ctx) {
    bpf_rcu_read_unlock();
    return __LINE__;
  }
  int none = bpf_crypto_encrypt(ctx, &from, &to, 0);
  int too_short = bpf_crypto_encrypt(ctx, &from, &to, &short_iv);
  int good = bpf_crypto_encrypt(ctx, &from, &to, &iv);
  int left = same(vector, out + 32);
  __builtin_memset(vector, 5, 16);
  bpf_dynptr_adjust(&to, 0, 48);
  int decrypted = bpf_crypto_decrypt(ctx, &to, &again, &iv);
  int left_again = same(vector, out + 32);
  ctx = context(0);
  int unwanted = ctx ? bpf_crypto_encrypt(ctx, &from, &to, &iv) : 0;
  bpf_rcu_read_unlock();
  CHECK(none == -EINVAL);
  CHECK(too_short == -EINVAL);
  CHECK(good == 0);
  CHECK(left);
  CHECK(decrypted == 0);
  CHECK(left_again);
  CHECK(same(back, plain) && same(back + 32, plain + 32));
  CHECK(unwanted == -EINVAL);
  return 0;
}

SEC("tc")
int sizes_are_checked(struct __sk_buff *skb) {
  struct bpf_crypto_ctx *ctx;
  struct bpf_dynptr from, to, none, longer, shorter, big;
  for (int i = 0; i < 64; i++) plain[i] = i * 0x11, out[i] = 0;
  bpf_dynptr_from_mem(plain, 20, 0, &longer);
  bpf_dynptr_from_mem(plain, 16, 0, &from);
  bpf_dynptr_from_mem(plain, 8, 0, &shorter);
  bpf_dynptr_from_mem(out, 8, 0, &to);
  bpf_dynptr_from_mem(out, 64, 0, &big);
  bpf_dynptr_from_mem(out, 64, 7, &none);
  bpf_rcu_read_lock();
  ctx = context(0);
  if (!ctx) {
    bpf_rcu_read_unlock();
    return __LINE__;
  }
  int small_to = bpf_crypto_encrypt(ctx, &from, &to, 0);
  int no_from = bpf_crypto_encrypt(ctx, &none, &big, 0);
  int no_to = bpf_crypto_encrypt(ctx, &from, &none, 0);
  int part = bpf_crypto_encrypt(ctx, &shorter, &big, 0);
  int untouched = out[0] == 0 && out[7] == 0;
  int rest = bpf_crypto_encrypt(ctx, &longer, &big, 0);
  int first = same(out, fips128);
  int behind = out[16] | out[17];
  bpf_rcu_read_unlock();
  CHECK(small_to == -EINVAL);
  CHECK(no_from == -EINVAL);
  CHECK(no_to == -EINVAL);
  CHECK(part == -EINVAL);
  CHECK(untouched);
  CHECK(rest == -EINVAL);
  CHECK(first);
  CHECK(behind == 0);
  return 0;
}

SEC("tc")
int packets_are_encrypted_in_place(struct __sk_buff *skb) {
  struct bpf_crypto_ctx *ctx;
  struct bpf_dynptr packet;
  __u8 bytes[16] ALIGNED;
  bpf_skb_store_bytes(skb, 16, plain, 16, 0);
  bpf_dynptr_from_skb(skb, 0, &packet);
  bpf_dynptr_adjust(&packet, 16, 32);
  bpf_rcu_read_lock();
  ctx = context(0);
  int done = ctx ? bpf_crypto_encrypt(ctx, &packet, &packet, 0) : 1;
  bpf_rcu_read_unlock();
  CHECK(done == 0);
  bpf_skb_load_bytes(skb, 16, bytes, 16);
  CHECK(same(bytes, fips128));
  return 0;
}

SEC("xdp")
int frames_are_decrypted_in_place(struct xdp_md *xdp) {
  struct bpf_crypto_ctx *ctx;
  struct bpf_dynptr packet;
  __u8 bytes[16] ALIGNED;
  bpf_xdp_store_bytes(xdp, 32, (void *)fips128, 16);
  bpf_dynptr_from_xdp(xdp, 0, &packet);
  bpf_dynptr_adjust(&packet, 32, 48);
  bpf_rcu_read_lock();
  ctx = context(0);
  int done = ctx ? bpf_crypto_decrypt(ctx, &packet, &packet, 0) : 1;
  bpf_rcu_read_unlock();
  CHECK(done == 0);
  bpf_xdp_load_bytes(xdp, 32, bytes, 16);
  CHECK(bytes[0] == 0 && bytes[1] == 0x11 && bytes[15] == 0xff);
  return 0;
}

char _license[] SEC("license") = "GPL";
