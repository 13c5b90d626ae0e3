// Defines again what library.bpf.c defines.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

int counter = 1;
