// See trace.hpp. The ring: a writer takes a ticket, claims the ticket's slot with one compare-and-swap, and
// gives its line up where somebody else is at the slot; so neither a writer nor the pump ever waits for the
// other.
#include "runtime/trace.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

namespace skep::runtime {

namespace {

constexpr std::size_t kSlots = 4096;
constexpr std::size_t kMaxText = 1023;          // the kernel's bpf_trace_printk buffer less its NUL
constexpr int kPipeBytes = 1 << 20;             // one page a line in packet mode: 256 lines
constexpr int kStaleMs = 200;                   // how often a full FIFO nobody reads is renewed
constexpr int kUnfinishedTries = 20;            // of 1 ms, for a writer that holds a ticket and no line yet
constexpr std::string_view kSoftirq = "..s2.";  // as a driver's poll runs XDP
constexpr std::string_view kTestRun = "b..11";  // as BPF_PROG_TEST_RUN does, in the caller's task

struct Task {
  std::array<char, 16> comm{};
  int pid = 0;
  bool test_run = false;
};

// The names of the calling thread: asking the kernel for them costs more than the rest of a line.
thread_local Task t_self;
thread_local Task t_acting;
thread_local u32 t_acting_depth = 0;

const Task& current_task() {
  if (t_acting_depth > 0) return t_acting;
  if (t_self.pid == 0) {
    t_self.pid = ::gettid();
    ::prctl(PR_GET_NAME, t_self.comm.data());
  }
  return t_self;
}

std::string_view text_of(const std::array<char, 16>& comm) {
  return {comm.data(), ::strnlen(comm.data(), comm.size())};
}

u64 boot_time_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);  // what sched_clock() counts from, without the time asleep
  return static_cast<u64>(now.tv_sec) * 1'000'000'000u + static_cast<u64>(now.tv_nsec);
}

}  // namespace

std::string trace_line(std::string_view comm, int pid, u32 cpu, std::string_view flags, u64 time_ns,
                       std::string_view text) {
  const u64 us = time_ns / 1000;
  return fmt::format("{:>16}-{:<7} [{:03}] {} {:5}.{:06}: bpf_trace_printk: {}", comm, pid, cpu, flags,
                     us / 1'000'000, us % 1'000'000, text);
}

struct TraceRing::Line {
  u64 time_ns = 0;
  Task task;
  u32 cpu = 0;
  u32 size = 0;
  std::array<char, kMaxText> text;  // NOLINT: `size` bytes of it are set
};

struct TraceRing::Slots {
  struct Slot {
    /// (ticket + 1) * 2 of the line within, + 1 while somebody writes or copies it; 0: never used.
    std::atomic<u64> state{0};
    Line line;
  };
  std::atomic<u64> head{0};  ///< the next ticket
  u64 tail = 0;              ///< the pump's next one
  std::array<Slot, kSlots> slot;
};

TraceRing::TraceRing() : slots_(std::make_unique<Slots>()) {}

Result<std::unique_ptr<TraceRing>> TraceRing::create(const std::optional<std::string>& fifo_path) {
  std::unique_ptr<TraceRing> ring(new TraceRing);
  if (fifo_path) {
    struct stat info{};
    if (::lstat(fifo_path->c_str(), &info) == 0 && S_ISFIFO(info.st_mode)) ::unlink(fifo_path->c_str());
    if (::mkfifo(fifo_path->c_str(), 0600) < 0) return fail_errno(*fifo_path);
    ring->path_ = *fifo_path;
    // For reading as well: opening never waits for a reader, writing never meets SIGPIPE, readers never see
    // EOF.
    ring->fifo_.reset(::open(fifo_path->c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
    if (!ring->fifo_) return fail_errno(*fifo_path);
    // open(2) refuses O_DIRECT on a FIFO, F_SETFL takes it.
    if (::fcntl(ring->fifo_.get(), F_SETFL, O_NONBLOCK | O_DIRECT) < 0) return fail_errno(*fifo_path);
  } else {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC | O_DIRECT) < 0) return fail_errno("trace_pipe");
    ring->read_end_.reset(ends[0]);
    ring->fifo_.reset(ends[1]);
  }
  ::fcntl(ring->fifo_.get(), F_SETPIPE_SZ, kPipeBytes);  // a smaller pipe only holds fewer lines
  ring->wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ring->wake_) return fail_errno("eventfd");
  ring->thread_ = std::thread([self = ring.get()] { self->pump(); });
  return ring;
}

TraceRing::~TraceRing() {
  stop_ = true;
  if (wake_) (void)!::write(wake_.get(), "\1\0\0\0\0\0\0", 8);
  if (thread_.joinable()) thread_.join();
  if (!path_.empty()) ::unlink(path_.c_str());
}

void TraceRing::trace_printk(std::string_view text, const RunContext& run) noexcept {
  const u64 ticket = slots_->head.fetch_add(1, std::memory_order_relaxed);
  Slots::Slot& slot = slots_->slot[ticket % kSlots];
  const u64 mine = (ticket + 1) * 2;
  u64 before = slot.state.load(std::memory_order_relaxed);
  if ((before & 1) == 0 && before < mine &&
      slot.state.compare_exchange_strong(before, mine | 1, std::memory_order_acquire)) {
    slot.line.time_ns = boot_time_ns();
    slot.line.task = current_task();
    slot.line.cpu = run.cpu;
    slot.line.size = static_cast<u32>(std::min(text.size(), kMaxText));
    std::memcpy(slot.line.text.data(), text.data(), slot.line.size);
    slot.state.store(mine, std::memory_order_release);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!awake_.load(std::memory_order_relaxed) && !awake_.exchange(true))
    (void)!::write(wake_.get(), "\1\0\0\0\0\0\0", 8);
}

Result<UniqueFd> TraceRing::open_reader() const {
  const std::string path = path_.empty() ? fmt::format("/proc/self/fd/{}", read_end_.get()) : path_;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("trace_pipe");
  return fd;
}

void TraceRing::flush() {
  const u64 target = slots_->head.load();
  for (int wait = 0; wait < 5000 && pumped_.load() < target && !full_.load(); ++wait) {
    const timespec pause{0, 200'000};
    ::nanosleep(&pause, nullptr);
  }
}

/// One packet into the FIFO; false if it is full.
bool TraceRing::write_line(std::string_view line) noexcept {
  for (;;) {
    const ssize_t done = ::write(fifo_.get(), line.data(), line.size());
    if (done >= 0) return true;
    if (errno == EINTR) continue;
    return errno != EAGAIN;  // nothing else can be done about another error than losing the line
  }
}

/// Empties the FIFO; what was in it counts as lost, and so does what a notice in it had said was lost.
void TraceRing::drop_fifo() noexcept {
  std::array<char, 4097> line;  // NOLINT: filled by read
  const int fd = read_end_ ? read_end_.get() : fifo_.get();
  for (ssize_t got = 0; (got = ::read(fd, line.data(), line.size() - 1)) > 0;) {
    line[static_cast<std::size_t>(got)] = '\0';
    unsigned long noticed = 0;
    const bool notice = std::sscanf(line.data(), "CPU:%*u [LOST %lu EVENTS]", &noticed) == 1;
    lost_ += notice ? noticed : 1;
  }
}

/// Copies the line of ticket `tail` out of the ring. Gone: overwritten. Unfinished: its writer is still at
/// it.
TraceRing::Take TraceRing::take(Line& to) noexcept {
  Slots::Slot& slot = slots_->slot[slots_->tail % kSlots];
  u64 state = (slots_->tail + 1) * 2;
  const u64 whole = state;
  if (slot.state.compare_exchange_strong(state, whole | 1, std::memory_order_acquire)) {
    to.time_ns = slot.line.time_ns;
    to.task = slot.line.task;
    to.cpu = slot.line.cpu;
    to.size = slot.line.size;
    std::memcpy(to.text.data(), slot.line.text.data(), to.size);
    slot.state.store(whole, std::memory_order_release);
    return Take::line;
  }
  return state > (whole | 1) ? Take::gone : Take::unfinished;
}

/// Moves what there is; false if the FIFO is full.
bool TraceRing::move_lines() noexcept {
  Line line;
  int tries = 0;
  while (!stop_) {
    const u64 head = slots_->head.load();
    if (slots_->tail == head) return true;
    if (head - slots_->tail > kSlots) {  // the oldest are overwritten
      lost_ += head - slots_->tail - kSlots;
      slots_->tail = head - kSlots;
    }
    const Take taken = take(line);
    if (taken == Take::unfinished && ++tries < kUnfinishedTries) {
      const timespec pause{0, 1'000'000};
      ::nanosleep(&pause, nullptr);
      continue;
    }
    tries = 0;
    if (taken == Take::line) {
      if (lost_ > 0 && !write_line(fmt::format("CPU:{} [LOST {} EVENTS]\n", line.cpu, lost_))) return false;
      lost_ = 0;
      if (!write_line(trace_line(text_of(line.task.comm), line.task.pid, line.cpu,
                                 line.task.test_run ? kTestRun : kSoftirq, line.time_ns,
                                 {line.text.data(), line.size}) +
                      '\n'))
        return false;
    } else {
      ++lost_;
    }
    pumped_ = ++slots_->tail;
  }
  return true;
}

void TraceRing::pump() noexcept {
  ::prctl(PR_SET_NAME, "skep-trace");
  bool was_full = false;
  while (!stop_) {
    awake_ = true;
    const bool room = move_lines();
    full_ = !room;
    if (room) {
      awake_ = false;
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (slots_->head.load() != slots_->tail) continue;
    }
    // Full: wait for a reader. Nobody reads and the ring has come round: renew, so that a later reader gets
    // the newest lines, as from the kernel's ring.
    std::array<pollfd, 2> events{pollfd{wake_.get(), POLLIN, 0}, pollfd{fifo_.get(), POLLOUT, 0}};
    ::poll(events.data(), room ? 1 : 2, room ? -1 : kStaleMs);
    u64 count = 0;
    (void)!::read(wake_.get(), &count, sizeof count);
    if (!room && was_full && slots_->head.load() - slots_->tail > kSlots) drop_fifo();
    was_full = !room;
  }
}

TraceRing::ActAs::ActAs(std::string_view comm, int pid) {
  if (t_acting_depth++ > 0) return;  // the outer one knows better
  t_acting = Task{};
  std::memcpy(t_acting.comm.data(), comm.data(), std::min(comm.size(), t_acting.comm.size() - 1));
  t_acting.pid = pid;
  t_acting.test_run = true;
}

TraceRing::ActAs::ActAs() {
  if (t_acting_depth > 0) {
    ++t_acting_depth;
    return;
  }
  t_acting = current_task();
  t_acting.test_run = true;
  ++t_acting_depth;
}

TraceRing::ActAs::~ActAs() { --t_acting_depth; }

}  // namespace skep::runtime
