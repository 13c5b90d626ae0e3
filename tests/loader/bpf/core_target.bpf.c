// The "kernel" whose types core.bpf.c is relocated against.
struct inner {
  long padding;
  int b;
  int a;
};
struct thing {
  long added;
  int first;
  union {
    struct inner inner;
    long other;
  };
  unsigned flags;
  unsigned more : 7;
  unsigned bits : 6;
  int array[8];
};
enum kind { KIND_A = 10, KIND_B = 20 };

struct thing thing;
enum kind kind;
