// trace_pipe: lines of bpf_trace_printk from worker threads to whoever reads the FIFO, in the kernel's format
//     "            ping-13345   [001] ..s2.  1543.980532: bpf_trace_printk: Hello World 0"
// Workers write into a ring of fixed slots and never wait: the oldest lines go when it is full, and a reader
// is told ("CPU:1 [LOST 17 EVENTS]", as the kernel does). One thread of this object moves lines into the
// FIFO, which is in packet mode: one read(2) gives one line, and several readers share the lines without
// breaking any.
#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "helpers/run_context.hpp"

namespace skep::runtime {

/// One line without its newline, as the kernel's trace_pipe prints it: comm in 16 columns, pid, CPU, the five
/// flag characters, seconds since boot with microseconds.
[[nodiscard]] std::string trace_line(std::string_view comm, int pid, u32 cpu, std::string_view flags,
                                     u64 time_ns, std::string_view text);

class TraceRing final : public TraceSink {
 public:
  /// With a path: makes the FIFO there (mode 0600; a FIFO left behind is replaced, anything else is EEXIST)
  /// and removes it at the end. Without: an unnamed pipe, for a kernel inside one process.
  static Result<std::unique_ptr<TraceRing>> create(const std::optional<std::string>& fifo_path = {});
  ~TraceRing();
  TraceRing(const TraceRing&) = delete;
  TraceRing& operator=(const TraceRing&) = delete;

  /// Any thread; neither blocks nor allocates. Text beyond 1023 bytes is cut. Names the calling thread.
  void trace_printk(std::string_view text, const RunContext& run) noexcept override;

  /// A descriptor of its own for reading: blocking reads, each of one whole line. EOF only when this object
  /// and all that hold the pipe for writing are gone.
  [[nodiscard]] Result<UniqueFd> open_reader() const;
  [[nodiscard]] const std::string& path() const { return path_; }  ///< empty for the unnamed pipe
  /// Waits until the lines written so far are in the FIFO or it is full (tests, the end of a run).
  void flush();

  /// While one lives, lines of this thread are those of a test run (the kernel's flags for one), under
  /// another task's name: the client that it serves, or the thread itself. Within another one it changes
  /// nothing.
  class ActAs {
   public:
    ActAs();
    ActAs(std::string_view comm, int pid);
    ~ActAs();
    ActAs(const ActAs&) = delete;
    ActAs& operator=(const ActAs&) = delete;
  };

 private:
  struct Slots;
  struct Line;
  enum class Take : u8 { line, gone, unfinished };
  TraceRing();
  void pump() noexcept;
  bool move_lines() noexcept;
  Take take(Line& to) noexcept;
  void drop_fifo() noexcept;
  bool write_line(std::string_view line) noexcept;

  std::unique_ptr<Slots> slots_;
  std::string path_;
  UniqueFd fifo_;      ///< both ends: writing, dropping the oldest, and keeping readers from EOF
  UniqueFd read_end_;  ///< of the unnamed pipe
  UniqueFd wake_;      ///< eventfd: lines have come, or the end
  std::atomic<bool> awake_{false};
  std::atomic<bool> stop_{false};
  std::atomic<bool> full_{false};
  std::atomic<u64> pumped_{0};  ///< tickets below it have left the ring
  u64 lost_ = 0;                ///< since the last line delivered; the pump's own
  std::thread thread_;
};

}  // namespace skep::runtime
