/* A tracer that follows pointers through the memory of a process: a stack of frames of an interpreter, each
 * with a code object and two names, read one by one and looked up among the symbols; in front of it a table
 * of variables of several kinds. The verifier walks every turn of it. */
#include "bench.h"

#define FRAMES 48
#define VARIABLES 12
#define NAME 64

struct offsets { u64 back, code, file, name, line, data, length, first; };
struct symbol { char file[NAME], name[NAME]; };
struct event { u32 pid, tid, frames, flags; u32 ids[FRAMES]; u64 values[VARIABLES]; u16 lengths[VARIABLES]; char text[2048]; };
struct config { struct offsets at; u64 base; u32 kinds[VARIABLES]; u32 on; };

struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, u32); __type(value, struct config); } configs SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16384); __type(key, struct symbol); __type(value, u32); } symbols SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct event); } scratch SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u32); } next_id SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } out SEC(".maps");

static __always_inline u64 read_pointer(u64 from)
{
	u64 value = 0;
	bpf_probe_read_user(&value, sizeof(value), (void *)from);
	return value;
}

static __always_inline int read_frame(const struct offsets *at, u64 frame, struct symbol *symbol, u64 *back)
{
	u64 code = read_pointer(frame + at->code);
	*back = read_pointer(frame + at->back);
	if (!code) return -1;
	u64 file = read_pointer(code + at->file), name = read_pointer(code + at->name);
	if (file) bpf_probe_read_user_str(symbol->file, sizeof(symbol->file), (void *)(file + at->data));
	if (name) bpf_probe_read_user_str(symbol->name, sizeof(symbol->name), (void *)(name + at->data));
	return 0;
}

SEC("raw_tp/sched_switch") int verify_tracer(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	u64 id = bpf_get_current_pid_tgid();
	u32 pid = id >> 32;
	struct config *config = bpf_map_lookup_elem(&configs, &pid);
	if (!config || !config->on) return 0;
	struct event *event = bpf_map_lookup_elem(&scratch, &zero);
	if (!event) return 0;
	event->pid = pid;
	event->tid = (u32)id;
	event->frames = 0;
	event->flags = 0;
	u64 used = 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < VARIABLES; i++) {
		u64 where = config->base + (u64)i * 16;
		event->values[i] = 0;
		event->lengths[i] = 0;
		if (config->kinds[i] == 1) {
			event->values[i] = read_pointer(where);
		} else if (config->kinds[i] == 2) {
			u64 text = read_pointer(where);
			if (!text) continue;
			if (used > sizeof(event->text) - 128) continue;
			long n = bpf_probe_read_user_str(event->text + used, 128, (void *)text);
			if (n > 0 && n <= 128) { event->lengths[i] = n; used += n; }
		} else if (config->kinds[i] == 3) {
			u64 table = read_pointer(where);
			if (table) event->values[i] = read_pointer(table + config->at.length);
			if (event->values[i] > 4096) event->flags |= 1u << i;
		}
	}
	u64 frame = read_pointer(config->base + config->at.first);
	struct symbol symbol = {};
	for (int i = 0; i < FRAMES; i++) {
		u64 back = 0;
		if (!frame) break;
		if (read_frame(&config->at, frame, &symbol, &back)) break;
		u32 *known = bpf_map_lookup_elem(&symbols, &symbol);
		u32 number = 0;
		if (known) {
			number = *known;
		} else {
			u32 *fresh = bpf_map_lookup_elem(&next_id, &zero);
			if (!fresh) break;
			number = ++*fresh;
			bpf_map_update_elem(&symbols, &symbol, &number, BPF_ANY);
		}
		event->ids[i] = number;
		event->frames = i + 1;
		frame = back;
	}
	bpf_perf_event_output(ctx, &out, BPF_F_CURRENT_CPU, event, sizeof(*event));
	return 0;
}
