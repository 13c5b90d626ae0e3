/* skep as a library: Linux's eBPF in your process. Objects that clang made for the kernel load unmodified,
 * pass the same verifier, and run on packets or buffers that you hand in. No daemon, no kernel eBPF.
 *
 * Errors: functions return 0 or a handle, or a negative errno / NULL; skep_error() then says why, in one
 * line. Threads: a kernel and its objects may be used from any thread, by one call at a time; skep_xdp_run()
 * may run on many threads at once, each with a worker of its own. */
#ifndef SKEP_SKEP_H
#define SKEP_SKEP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SKEP_API __attribute__((visibility("default")))
#else
#define SKEP_API
#endif

typedef struct skep_kernel skep_kernel;   /* programs, maps, BTF, ids: one eBPF system */
typedef struct skep_object skep_object;   /* the programs and maps of one loaded ELF object */
typedef struct skep_program skep_program; /* belongs to its object */
typedef struct skep_map skep_map;         /* belongs to its object */
typedef struct skep_worker skep_worker;   /* one CPU: what a thread needs to run programs */

/* "0.1.0" */
SKEP_API const char* skep_version(void);

/* Why the last call on this thread failed: one line, never NULL. */
SKEP_API const char* skep_error(void);
/* The verifier's log of the last skep_object_load() on this thread that was refused; "" if it was not. */
SKEP_API const char* skep_verifier_log(void);

struct skep_options {
  size_t size;   /* sizeof(struct skep_options) */
  int no_jit;    /* interpret instead of compiling */
  uint32_t cpus; /* workers that may exist at once, and copies that per-CPU maps keep; 0: the machine's */
  /* Receives the text of bpf_trace_printk(), without newline; NULL drops it. Called from the running thread.
   */
  void (*trace)(void* user, const char* text, size_t length);
  void* trace_user;
};

/* NULL options: the defaults. */
SKEP_API skep_kernel* skep_kernel_new(const struct skep_options* options);
/* Objects and workers must have been freed before. */
SKEP_API void skep_kernel_free(skep_kernel* kernel);

/* Loads an ELF object: creates its maps, verifies and compiles its programs. `name` stands in messages and,
 * cut as libbpf cuts it, in the names of its global-data maps; NULL: "object". */
SKEP_API skep_object* skep_object_load(skep_kernel* kernel, const void* elf, size_t size, const char* name);
SKEP_API skep_object* skep_object_load_file(skep_kernel* kernel, const char* path);
SKEP_API void skep_object_free(skep_object* object);

/* By the name of its C function; NULL: the object's first program. */
SKEP_API skep_program* skep_object_program(skep_object* object, const char* name);
/* By the name of its C variable or, for global data, ".bss", ".data", ".rodata", ... */
SKEP_API skep_map* skep_object_map(skep_object* object, const char* name);

SKEP_API const char* skep_program_name(const skep_program* program);
SKEP_API uint32_t skep_program_id(const skep_program* program);

SKEP_API uint32_t skep_map_key_size(const skep_map* map);
/* Bytes that lookup and update move: per-CPU maps hold one value (rounded up to 8 bytes) for each CPU. */
SKEP_API uint32_t skep_map_value_size(const skep_map* map);
SKEP_API int skep_map_lookup(skep_map* map, const void* key, void* value);
/* flags: 0 any, 1 only if new, 2 only if there. */
SKEP_API int skep_map_update(skep_map* map, const void* key, const void* value, uint64_t flags);
SKEP_API int skep_map_delete(skep_map* map, const void* key);
/* key NULL: the first one. -ENOENT after the last. */
SKEP_API int skep_map_next_key(skep_map* map, const void* key, void* next_key);

/* One thread's place to run on. NULL when all CPUs are taken. Free it on the thread that made it. */
SKEP_API skep_worker* skep_worker_new(skep_kernel* kernel);
SKEP_API void skep_worker_free(skep_worker* worker);

/* A packet in the caller's buffer: [buffer, buffer + size), of which [data, data_end) is the packet. What
 * lies before is headroom for bpf_xdp_adjust_head(): 40 bytes of it are reserved, as in the kernel. */
struct skep_packet {
  unsigned char* buffer;
  unsigned char* data;     /* in and out */
  unsigned char* data_end; /* in and out */
  size_t size;
  uint32_t ingress_ifindex;  /* in */
  uint32_t rx_queue_index;   /* in */
  uint32_t verdict;          /* out: XDP_ABORTED 0, XDP_DROP 1, XDP_PASS 2, XDP_TX 3, XDP_REDIRECT 4 */
  uint32_t redirect_ifindex; /* out, with XDP_REDIRECT */
};

/* Runs an XDP program on `count` packets, in order, in place. 0, or -EINVAL (not an XDP program, a packet
 * outside its buffer: none was run). */
SKEP_API int skep_xdp_run(skep_worker* worker, const skep_program* program, struct skep_packet* packets,
                          size_t count);

/* BPF_PROG_TEST_RUN: any program type that can be test-run. data_out may be NULL; *data_out_size is its
 * capacity before and the true size after the call. */
SKEP_API int skep_program_test_run(const skep_program* program, const void* data_in, size_t data_in_size,
                                   void* data_out, size_t* data_out_size, uint32_t* retval);

#ifdef __cplusplus
}
#endif
#endif
