// See netlink.hpp. Netlink handles a request inside of sendto(2), so every answer is there when it returns;
// reading until EAGAIN gets them all.
#include "net/netlink.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/fd.hpp"

namespace skep::net {
namespace {

/// MNL_ALIGN and MNL_NLMSG_HDRLEN in unsigned arithmetic.
constexpr std::size_t aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }
constexpr std::size_t kHeader = aligned(sizeof(nlmsghdr));

}  // namespace

void* Request::begin(u16 type, u16 flags, std::size_t size) {
  if (current_ != nullptr) finished_ += aligned(current_->nlmsg_len);
  SKEP_ASSERT(finished_ + kHeader + size <= buffer_.size());
  current_ = mnl_nlmsg_put_header(buffer_.data() + finished_);
  current_->nlmsg_type = type;
  current_->nlmsg_flags = static_cast<u16>(flags | NLM_F_REQUEST);
  current_->nlmsg_seq = ++sequence_;
  return mnl_nlmsg_put_extra_header(current_, size);
}

std::size_t Request::size() const {
  return finished_ + (current_ != nullptr ? aligned(current_->nlmsg_len) : 0);
}

void Request::put(u16 type, const void* data, std::size_t size) {
  const bool fits = mnl_attr_put_check(current_, buffer_.size() - finished_, type, size, data);
  SKEP_ASSERT(fits);
}

void Request::put_be32(u16 type, u32 value) { put_u32(type, htonl(value)); }
void Request::put_string(u16 type, const char* text) { put(type, text, std::strlen(text) + 1); }

Request::Nest::Nest(Request& request, u16 type)
    : request_(request),
      attribute_(
          mnl_attr_nest_start_check(request.current_, request.buffer_.size() - request.finished_, type)) {
  SKEP_ASSERT(attribute_ != nullptr);
  request_.open_nests_++;
}
Request::Nest::~Nest() {
  mnl_attr_nest_end(request_.current_, attribute_);
  request_.open_nests_--;
}

Result<Netlink> Netlink::open(int bus) {
  mnl_socket* socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
  if (socket == nullptr) return fail_errno("netlink");
  Netlink netlink(socket);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) return fail_errno("netlink bind");
  int on = 1;  // older kernels do not have it: errors come without a sentence
  mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &on, sizeof on);
  return netlink;
}

Result<void> Netlink::move_descriptor(int lowest) {
  UniqueFd moved(::fcntl(mnl_socket_get_fd(socket_.get()), F_DUPFD_CLOEXEC, lowest));
  if (!moved) return {};  // beyond RLIMIT_NOFILE
  mnl_socket* socket = mnl_socket_fdopen(moved.get());
  if (socket == nullptr) return fail_errno("netlink");
  (void)moved.release();
  socket_.reset(socket);
  return {};
}

namespace {

/// The kernel's sentence in an extended acknowledgement, or strerror.
std::string error_sentence(const nlmsghdr* message, const nlmsgerr* error) {
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) != 0) {
    std::size_t skip = sizeof *error;
    if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) skip += error->msg.nlmsg_len - kHeader;
    const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, skip));
    const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
    while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
      if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
          mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
        return mnl_attr_get_str(attribute);
      attribute = mnl_attr_next(attribute);
    }
  }
  return errno_text(-error->error);
}

}  // namespace

Result<void> Netlink::transact(const Request& request) {
  if (mnl_socket_sendto(socket_.get(), request.data(), request.size()) < 0) return fail_errno("netlink send");
  Result<void> result;
  alignas(MNL_ALIGNTO) std::array<char, 16384> answer;  // NOLINT: filled by recv
  for (;;) {
    const ssize_t got = ::recv(mnl_socket_get_fd(socket_.get()), answer.data(), answer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return result;
    if (got < 0) return fail_errno("netlink receive");
    int left = static_cast<int>(got);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(answer.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_type != NLMSG_ERROR || !result) continue;
      const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
      if (error->error != 0) result = fail(-error->error, error_sentence(message, error));
    }
  }
}

Result<LinkEvents> LinkEvents::open() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket == nullptr) return fail_errno("netlink");
  LinkEvents events(socket);
  if (mnl_socket_bind(socket, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0) return fail_errno("netlink bind");
  return events;
}

void LinkEvents::drain() noexcept {
  std::array<char, 64> ignored;  // NOLINT: the rest of a message is cut off
  // ENOBUFS, more events than the socket holds, is reported once between messages.
  while (::recv(fd(), ignored.data(), ignored.size(), MSG_DONTWAIT) >= 0 || errno == ENOBUFS ||
         errno == EINTR) {
  }
}

}  // namespace skep::net
