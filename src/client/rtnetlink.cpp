// See rtnetlink.hpp. The acknowledgement's layout is NLMSG_ERROR's: an errno, the request's header (or the
// whole request unless NLM_F_CAPPED), then attributes if NLM_F_ACK_TLVS.
#include "client/rtnetlink.hpp"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>

#include "base/fd.hpp"

namespace skep::client {

namespace {

int collect(const nlattr* attribute, void* data) {
  (*static_cast<const std::function<void(const nlattr*)>*>(data))(attribute);
  return MNL_CB_OK;
}

std::string extended_text(const nlmsghdr* message) {
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  std::size_t offset = sizeof *error;
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) {
    if (error->msg.nlmsg_len < sizeof(nlmsghdr)) return {};
    offset += (error->msg.nlmsg_len - sizeof(nlmsghdr) + 3) & ~std::size_t{3};
  }
  if (offset > mnl_nlmsg_get_payload_len(message)) return {};
  std::string text;
  each_attribute(message, static_cast<unsigned>(offset), [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
        mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
      text = mnl_attr_get_str(attribute);
  });
  return text;
}

}  // namespace

void each_attribute(const nlmsghdr* message, unsigned header_size,
                    const std::function<void(const nlattr*)>& each) {
  auto copy = each;
  mnl_attr_parse(message, header_size, collect, &copy);
}

void each_nested(const nlattr* nest, const std::function<void(const nlattr*)>& each) {
  auto copy = each;
  mnl_attr_parse_nested(nest, collect, &copy);
}

Result<RtNetlink> RtNetlink::open() {
  RtNetlink result;
  result.socket_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!result.socket_ || mnl_socket_bind(result.socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return fail_errno("a netlink socket");
  int on = 1;
  mnl_socket_setsockopt(result.socket_.get(), NETLINK_EXT_ACK, &on, sizeof on);
  return result;
}

Result<void> RtNetlink::transact(nlmsghdr* request) {
  request->nlmsg_seq = ++sequence_;
  request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
  if (mnl_socket_sendto(socket_.get(), request, request->nlmsg_len) < 0) return fail_errno("netlink");
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t got = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("netlink");
    int left = static_cast<int>(got);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != sequence_ || message->nlmsg_type != NLMSG_ERROR) continue;
      const int code = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
      if (code == 0) return {};
      return fail(code, extended_text(message));
    }
  }
}

Result<void> RtNetlink::dump(nlmsghdr* request, std::string_view subject,
                             const std::function<void(const nlmsghdr*)>& each) {
  request->nlmsg_seq = ++sequence_;
  request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
  if (mnl_socket_sendto(socket_.get(), request, request->nlmsg_len) < 0) return fail_errno(subject);
  std::array<char, 65536> buffer;  // NOLINT: filled by recvfrom
  for (;;) {
    const ssize_t got = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(subject);
    int left = static_cast<int>(got);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != sequence_) continue;
      if (message->nlmsg_type == NLMSG_DONE) return {};
      if (message->nlmsg_type == NLMSG_ERROR) {
        const int code = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
        if (code == 0) return {};
        return fail(code, std::string(subject) + ": " + errno_text(code));
      }
      each(message);
    }
  }
}

}  // namespace skep::client
