// The daemon's protocol: one SOCK_SEQPACKET message a request, one a reply. A request is bpf(2) itself: the
// command, its attr, the memory that the attr's pointers mean (addresses are the client's own and only labels
// here) and, by SCM_RIGHTS, the descriptors that it names (their numbers, too, are the client's and labels).
// Bodies that do not fit a message travel in a memfd. Decoding trusts nothing: every length is checked
// against what has arrived.
//
//   request: RequestHeader, attr, SegmentHeader[], s32 label[], bytes of the `in` segments
//            descriptors: those of the labels, the network namespace (flag), the memfd (flag)
//   reply:   ReplyHeader, attr, WriteHeader[], error sentence, blob, bytes of the writes
//            descriptors: the results, the memfd (flag)
#pragma once
#include <sys/socket.h>

#include <vector>

#include "base/fd.hpp"
#include "client/bpf_call.hpp"

namespace skep::client::wire {

inline constexpr u32 magic = 0x32706b73;  // "skp2": another digit with every change of what is below
inline constexpr u32 max_attr = 512;
inline constexpr u32 max_segments = 64;
inline constexpr u32 max_fds = 250;                   ///< SCM_MAX_FD is 253
inline constexpr std::size_t max_inline = 64u << 10;  ///< larger bodies go in a memfd

/// Commands above bpf(2)'s own.
enum class Own : u32 {
  xdp_attach = 0x1000,  ///< XdpAttach
  xdp_query,            ///< blob: XdpRecord[]
  tc_query,             ///< blob: TcRecord[]
  pin_directory,        ///< blob: the path
  trace_pipe,           ///< a descriptor
  symbols,              ///< blob: u64 call_base, then {u64 address, u32 size, name} each
  set_stats,            ///< Value
  possible_cpus,        ///< Value
  map_memory,           ///< MapMemory, and its descriptors: memory; of ring buffers consumer and wake, too
  fd_info,              ///< FdInfo
  status,               ///< blob: text
  stop,                 ///< the daemon ends; the connection closes when it has
  tap_add,              ///< Tap; ifindex comes back
  tap_delete,           ///< Tap
  helpers,              ///< Value: the program type; blob: u32 id[]
  map_events,           ///< MapEvents, and the ring's descriptors: memory, wake
};

struct XdpAttach {
  u32 ifindex, prog_fd, flags, expected_fd, chained, priority, chain_call;
};
struct Tap {
  u32 ifindex;
  char name[16];  ///< NUL-terminated
};
/// An interface with its program, or, `chained`, with one of its programs: the others follow.
struct XdpRecord {
  u32 ifindex, mode, prog_id, drv_prog_id, skb_prog_id, hw_prog_id, chained, priority, chain_call;
  char ifname[16];
};
struct TcRecord {
  u32 ifindex, prog_id, link_id, pad;
  char ifname[16];
  char kind[32];
  char name[64];
};
struct Value {
  u32 value;
};
struct MapMemory {
  u32 map_fd, stride;
  u64 offset, size;
};
struct MapEvents {
  u32 map_fd, cpu, index, pages;
  u64 size;
};
struct FdInfo {
  u32 fd, kind;
  u64 memlock;
  u32 frozen, has_owner, owner_prog_type, owner_jited;
};

struct RequestHeader {
  static constexpr u32 has_netns = 1, in_memfd = 2;
  u32 magic, cmd, flags, attr_size, segment_count, fd_count;
  u64 body_size;
};
struct SegmentHeader {
  u64 address, size;
  u32 direction, pad;
};
struct ReplyHeader {
  static constexpr u32 in_memfd = 2;
  u32 magic, flags;
  s32 error;  ///< errno, 0 for success
  u32 attr_size, write_count, what_size, fd_count, pad;
  u64 blob_size, body_size;
};
struct WriteHeader {
  u64 address, size;
};

/// A message as it goes through the socket.
struct Message {
  std::vector<std::byte> bytes;
  std::vector<UniqueFd> fds;
};

/// Sends with MSG_NOSIGNAL | `flags`; EAGAIN as an error value. Borrowed descriptors go behind those of the
/// message.
Result<void> send(int socket, const Message& message, std::span<const int> borrowed_first, int flags);
/// Receives one message of at most max_inline + 1 KiB. Empty bytes: the other side has closed.
Result<Message> receive(int socket, int flags);

// Requests.
struct Request {
  struct Memory {
    u64 address = 0;
    u64 size = 0;
    u32 direction = 0;
    ByteView bytes;  ///< of an `in` segment, within `body`
  };
  u32 cmd = 0;
  std::vector<std::byte> attr;
  std::vector<Memory> memory;
  std::vector<s32> labels;  ///< one for each of `fds`
  std::vector<UniqueFd> fds;
  UniqueFd netns;
  std::vector<std::byte> body;
};
/// A call as a message; `fds` receives the descriptors to send with it (borrowed, before the message's own).
Result<Message> encode_request(const BpfCall& call, const std::vector<int>& labels, bool has_netns);
Result<Request> decode_request(Message message);

// Replies.
struct Reply {
  s32 error = 0;
  std::string what;
  std::vector<std::byte> attr;
  struct Write {
    u64 address = 0;
    std::vector<std::byte> bytes;
  };
  std::vector<Write> writes;
  std::vector<std::byte> blob;
  std::vector<UniqueFd> fds;
};
Result<Message> encode_reply(Reply reply);
Result<Reply> decode_reply(Message message);

}  // namespace skep::client::wire
