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
typedef struct skep_code skep_code;       /* bare instructions */
typedef struct skep_ring skep_ring;       /* reads a ring buffer */
typedef struct skep_events skep_events;   /* reads a perf_event_array */

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
/* The eBPF system of a running daemon (`skep daemon start`, or the first `skep` command): its maps can be
 * opened here (skep_map_open()) and their consumers too. Objects and workers are for kernels of this process:
 * -EOPNOTSUPP. `directory`: the daemon's; NULL: $SKEP_DIR, /run/skep, ... as `skep` finds it. */
SKEP_API skep_kernel* skep_kernel_connect(const char* directory);
/* Objects, workers, maps and consumers must have been freed before. */
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

/* A map by its pin, "/sys/fs/bpf/NAME", or by its id. */
SKEP_API skep_map* skep_map_open(skep_kernel* kernel, const char* pin);
SKEP_API skep_map* skep_map_open_id(skep_kernel* kernel, uint32_t id);
/* Only of maps that skep_map_open() and skep_map_open_id() gave; an object's go with it. */
SKEP_API void skep_map_close(skep_map* map);

/* Consumers read what programs put out from memory that they share with them; nothing is asked of the kernel
 * while they do. `fd` is readable (poll, epoll) while there may be something new. One thread reads one
 * consumer. The map may be closed before it. */

/* A ring buffer (BPF_MAP_TYPE_RINGBUF). One consumer a map: it moves the map's consumer position. */
SKEP_API skep_ring* skep_ring_open(skep_map* map);
SKEP_API void skep_ring_close(skep_ring* ring);
SKEP_API int skep_ring_fd(const skep_ring* ring);
/* Called for each record, in order; the bytes are valid during the call. Other than 0 stops after this
 * record. */
typedef int (*skep_record_fn)(void* user, const void* data, size_t size);
/* How many records were read, without waiting, or a negative errno. */
SKEP_API int64_t skep_ring_consume(skep_ring* ring, skep_record_fn record, void* user);
/* The same after waiting until there is something, at most `timeout_ms` (-1: for ever). 0 when that is over.
 */
SKEP_API int64_t skep_ring_poll(skep_ring* ring, int timeout_ms, skep_record_fn record, void* user);

/* bpf_perf_event_output() with BPF_F_CURRENT_CPU: puts a ring of `pages` (a power of two) into the slot of
 * each CPU. While it is open nobody else gets the map's events. */
SKEP_API skep_events* skep_events_open(skep_map* map, uint32_t pages);
SKEP_API void skep_events_close(skep_events* events);
SKEP_API int skep_events_fd(const skep_events* events);
struct skep_event {
  const void* data; /* valid during the call; NULL where events were lost */
  size_t size;      /* up to 7 bytes more than the program gave, as perf rounds it up */
  uint64_t time_ns; /* CLOCK_MONOTONIC */
  uint64_t lost;    /* not 0: that many events are missing here, because the ring was full */
  uint32_t cpu;
};
typedef void (*skep_event_fn)(void* user, const struct skep_event* event);
/* How many events were read, without waiting, or a negative errno: -ENOTCONN when another reader has taken
 * the slots over or the daemon has ended. Events of one CPU are in order. */
SKEP_API int64_t skep_events_consume(skep_events* events, skep_event_fn event, void* user);
SKEP_API int64_t skep_events_poll(skep_events* events, int timeout_ms, skep_event_fn event, void* user);

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

/* Bare instructions, 8 bytes each as an ELF object has them, that run on memory of the caller: R1 is its
 * address, R2 its size. */

/* Verified as a program of type syscall, whose context the memory is: loads and stores at constant offsets
 * from R1, no R2. NULL: refused; skep_verifier_log() says why. */
SKEP_API skep_code* skep_code_load(skep_kernel* kernel, const void* insns, size_t size);
/* NOT VERIFIED: for instructions that you trust as you trust your own machine code. They read and write any
 * address that they make, call helpers with whatever the registers hold, and may never end: nothing stops
 * them. Never for instructions that came from somewhere else. `prog_type`: whose helpers they call by number,
 * as enum bpf_prog_type has it; 0: those of syscall programs. Maps cannot be named. NULL: not a program (what
 * is not an instruction, a jump out of it, a helper that is not there). The engine is the kernel's
 * (skep_options.no_jit). */
SKEP_API skep_code* skep_code_load_unverified(skep_kernel* kernel, const void* insns, size_t size,
                                              uint32_t prog_type);
/* Before its kernel; no thread may be running it. */
SKEP_API void skep_code_free(skep_code* code);
/* Runs it once, on the worker's thread; *r0 (may be NULL) gets R0. 0, or -EINVAL: verified code that reads
 * beyond `size`. */
SKEP_API int skep_code_run(skep_worker* worker, const skep_code* code, void* memory, size_t size,
                           uint64_t* r0);

#ifdef __cplusplus
}
#endif
#endif
