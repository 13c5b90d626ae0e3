// Types of every kind, to print values of and to list.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum color { RED, GREEN = 5, BLUE = -1 };
enum big { SMALL = 1, HUGE = 0x123456789abcULL };
typedef unsigned char byte;
typedef char letter;

struct inner {
  int x;
  char tag[4];
  letter letters[2];
};
union either {
  __u32 number;
  __u8 bytes[4];
};
struct all {
  __u8 u8;
  __s8 s8;
  __u16 u16;
  __s16 s16;
  __u32 u32;
  __s32 s32;
  __u64 u64;
  __s64 s64;
  __int128 wide;
  _Bool yes, no;
  float f;
  double d;
  enum color color, unknown_color;
  enum big big;
  void *null_pointer;
  struct inner *pointer;
  unsigned bits3 : 3;
  unsigned bits7 : 7;
  unsigned long long bits40 : 40;
  int signed5 : 5;
  char text[8];
  char not_text[4];
  byte raw[3];
  struct inner inner[2];
  union either either;
  int matrix[2][3];
  struct {
    int anonymous_member;
  };
  int (*callback)(struct all *, const char *);
};
struct timed {
  int before;
  struct bpf_spin_lock lock;
  struct { struct bpf_timer timer; } nested;
};

struct all all_values;
struct timed timed_value;
static volatile const int hidden_limit = 7;
volatile const char shown_name[8] = "skep";

int (*variadic)(int count, ...);

int combine(struct all *all, int count) { return all->u8 + count + hidden_limit + shown_name[0]; }

char LICENSE[] SEC("license") = "GPL";
