// See netns.hpp. A thread of its own, because setns(2) of a network namespace is for one thread only and
// coming back could fail.
#include "daemon/netns.hpp"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <thread>

#include "base/fd.hpp"

namespace skep::daemon {

Result<void> run_in_network_namespace(int fd, const std::function<Result<void>()>& body) {
  if (::ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) return fail(EINVAL, "not a network namespace");
  struct stat theirs{};
  struct stat ours{};
  if (::fstat(fd, &theirs) < 0) return fail_errno("the client's network namespace");
  if (::stat("/proc/thread-self/ns/net", &ours) == 0 && ours.st_dev == theirs.st_dev &&
      ours.st_ino == theirs.st_ino)
    return body();
  Result<void> result;
  std::thread thread([&] {
    if (::setns(fd, CLONE_NEWNET) == 0)
      result = body();
    else
      result = fail(
          EPERM, "the daemon may not enter this network namespace: one that is started in it may (SKEP_DIR)");
  });
  thread.join();
  return result;
}

}  // namespace skep::daemon
