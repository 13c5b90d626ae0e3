// Kernel functions on strings, and iterators over bits.
#include "kfuncs.bpf.h"

#define ENOENT 2
#define E2BIG 7
#define EFAULT 14
#define EINVAL 22
#define ERANGE 34

extern int bpf_strcmp(const char *a, const char *b) __ksym;
extern int bpf_strcasecmp(const char *a, const char *b) __ksym __weak;
extern int bpf_strchr(const char *s, char c) __ksym;
extern int bpf_strchrnul(const char *s, char c) __ksym;
extern int bpf_strnchr(const char *s, __SIZE_TYPE__ count, char c) __ksym;
extern int bpf_strrchr(const char *s, int c) __ksym;
extern int bpf_strlen(const char *s) __ksym;
extern int bpf_strnlen(const char *s, __SIZE_TYPE__ count) __ksym;
extern int bpf_strspn(const char *s, const char *accept) __ksym;
extern int bpf_strcspn(const char *s, const char *reject) __ksym;
extern int bpf_strstr(const char *s, const char *part) __ksym;
extern int bpf_strnstr(const char *s, const char *part, __SIZE_TYPE__ len) __ksym;

static char hello[] = "hello world", shout[] = "HELLO World", empty[] = "", high[] = "\xff";
static char wor[] = "wor", world[] = "world", worlds[] = "worlds", digits[] = "0123456789", helo[] = "helo";
char endless[70000];

#define NONE ((const char *)0)
#define USER ((const char *)1)
#define NOWHERE ((const char *)-1)

SEC("tc")
int strings_are_compared(struct __sk_buff *skb) {
  CHECK(bpf_strcmp(hello, hello) == 0);
  CHECK(bpf_strcmp(hello, shout) == 1);
  CHECK(bpf_strcmp(shout, hello) == -1);
  CHECK(bpf_strcmp(empty, hello) == -1);
  CHECK(bpf_strcmp(high, hello) == 1);
  CHECK(bpf_strcasecmp(hello, shout) == 0);
  CHECK(bpf_strcasecmp(wor, world) == -1);
  CHECK(bpf_strcmp(NONE, hello) == -ERANGE);
  CHECK(bpf_strcmp(hello, USER) == -ERANGE);
  CHECK(bpf_strcmp(NOWHERE, hello) == -EFAULT);
  return 0;
}

SEC("tc")
int characters_are_found(struct __sk_buff *skb) {
  CHECK(bpf_strchr(hello, 'l') == 2);
  CHECK(bpf_strchr(hello, 'x') == -ENOENT);
  CHECK(bpf_strchr(hello, 0) == 11);
  CHECK(bpf_strchrnul(hello, 'x') == 11);
  CHECK(bpf_strchrnul(hello, 'o') == 4);
  CHECK(bpf_strnchr(hello, 2, 'l') == -ENOENT);
  CHECK(bpf_strnchr(hello, 3, 'l') == 2);
  CHECK(bpf_strnchr(hello, 100, 0) == 11);
  CHECK(bpf_strrchr(hello, 'o') == 7);
  CHECK(bpf_strrchr(hello, 'x') == -ENOENT);
  CHECK(bpf_strrchr(hello, 0) == 11);
  CHECK(bpf_strrchr(high, 0xff) == 0);
  CHECK(bpf_strrchr(high, -1) == -ENOENT);
  CHECK(bpf_strrchr(high, 0x1ff) == -ENOENT);
  CHECK(bpf_strchr(high, 0xff) == 0);
  CHECK(bpf_strchr(NONE, 'x') == -ERANGE);
  CHECK(bpf_strchrnul(NOWHERE, 'x') == -EFAULT);
  return 0;
}

SEC("xdp")
int strings_are_measured(struct xdp_md *xdp) {
  CHECK(bpf_strlen(hello) == 11);
  CHECK(bpf_strlen(empty) == 0);
  CHECK(bpf_strnlen(hello, 5) == 5);
  CHECK(bpf_strnlen(hello, 50) == 11);
  CHECK(bpf_strnlen(hello, 0) == 0);
  CHECK(bpf_strspn(hello, helo) == 5);
  CHECK(bpf_strspn(hello, digits) == 0);
  CHECK(bpf_strcspn(hello, digits) == 11);
  CHECK(bpf_strcspn(hello, wor) == 4);
  CHECK(bpf_strspn(hello, empty) == 0);
  CHECK(bpf_strcspn(hello, empty) == 11);
  CHECK(bpf_strlen(USER) == -ERANGE);
  CHECK(bpf_strlen(NOWHERE) == -EFAULT);
  return 0;
}

SEC("socket")
int parts_are_found(struct __sk_buff *skb) {
  CHECK(bpf_strstr(hello, wor) == 6);
  CHECK(bpf_strstr(hello, world) == 6);
  CHECK(bpf_strstr(hello, worlds) == -ENOENT);
  CHECK(bpf_strstr(hello, empty) == 0);
  CHECK(bpf_strstr(empty, hello) == -ENOENT);
  CHECK(bpf_strnstr(hello, wor, 9) == 6);
  CHECK(bpf_strnstr(hello, wor, 8) == -ENOENT);
  CHECK(bpf_strnstr(hello, hello, 11) == 0);
  CHECK(bpf_strnstr(hello, empty, 0) == 0);
  CHECK(bpf_strstr(NONE, wor) == -ERANGE);
  CHECK(bpf_strstr(hello, NOWHERE) == -EFAULT);
  return 0;
}

SEC("tc")
int endless_strings_are_too_big(struct __sk_buff *skb) {
  for (int i = 0; i < 70000 / 8; i++) ((volatile __u64 *)endless)[i] = 0x7878787878787878;
  CHECK(bpf_strlen(endless) == -E2BIG);
  CHECK(bpf_strnlen(endless, 65535) == 65535);
  CHECK(bpf_strnlen(endless, 65536) == -E2BIG);
  CHECK(bpf_strchr(endless, 'y') == -E2BIG);
  CHECK(bpf_strnchr(endless, 65535, 'y') == -ENOENT);
  CHECK(bpf_strcmp(endless, endless) == -E2BIG);
  CHECK(bpf_strstr(endless, hello) == -E2BIG);
  return 0;
}

struct bpf_iter_bits { __u64 opaque[2]; } __attribute__((aligned(8)));
extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const __u64 *unsafe_ptr__ign, __u32 nr_words) __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __ksym;

static __u64 words[512];

static volatile int sum, bits;  // in memory: their values do not keep the verifier from seeing the loop's end

static int count_bits(const __u64 *from, __u32 nr) {
  struct bpf_iter_bits it;
  int *bit;
  int error = bpf_iter_bits_new(&it, from, nr);
  sum = bits = 0;
  while ((bit = bpf_iter_bits_next(&it))) {
    sum += *bit;
    bits++;
  }
  bpf_iter_bits_destroy(&it);
  return error ? error : bits;
}

SEC("tc")
int bits_are_iterated(struct __sk_buff *skb) {
  words[0] = 0x8000000000000005;
  words[1] = 2;
  words[510] = 1;
  CHECK(count_bits(words, 1) == 3);
  CHECK(sum == 65);
  CHECK(count_bits(words, 2) == 4);
  CHECK(sum == 130);
  CHECK(count_bits(words, 511) == 5);
  CHECK(sum == 130 + 510 * 64);
  CHECK(count_bits(words, 512) == -E2BIG);
  CHECK(count_bits(words, 0) == -EINVAL);
  CHECK(count_bits(0, 1) == -EINVAL);
  CHECK(count_bits((__u64 *)-8, 1) == -EFAULT);
  CHECK(count_bits((__u64 *)-8, 2) == -EFAULT);
  return 0;
}

char _license[] SEC("license") = "GPL";
