// Netlink sockets for JavaScript.
#include "napi/netlink.h"

#include <optional>
#include <vector>

#include "napi/convert.h"
#include "netlink/socket.h"

namespace vtkit::napi {

namespace {

class NetlinkSocket : public Napi::ObjectWrap<NetlinkSocket> {
 public:
  /** new NetlinkSocket(protocol) */
  explicit NetlinkSocket(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const uint32_t protocol = toUint32(info[0], "protocol");
    guarded(info.Env(), [&] { held_.emplace(static_cast<int>(protocol)); });
  }

  static void define(Napi::Env env, Napi::Object exports) {
    exports.Set("NetlinkSocket", DefineClass(env, "NetlinkSocket",
                                             {InstanceMethod("send", &NetlinkSocket::send),
                                              InstanceMethod("receive", &NetlinkSocket::receive),
                                              InstanceMethod("close", &NetlinkSocket::close)}));
  }

 private:
  netlink::Socket& open(const Napi::CallbackInfo& info) {
    if (!held_) throw Napi::Error::New(info.Env(), "it is closed");
    return *held_;
  }

  void send(const Napi::CallbackInfo& info) {
    const Bytes message = toBytes(info[0], "message");
    guarded(info.Env(), [&] { open(info).send(message.data, message.size); });
  }

  Napi::Value receive(const Napi::CallbackInfo& info) {
    const std::vector<uint8_t> datagram = guarded(info.Env(), [&] { return open(info).receive(); });
    Napi::Uint8Array made = Napi::Uint8Array::New(info.Env(), datagram.size());
    std::copy(datagram.begin(), datagram.end(), made.Data());
    return made;
  }

  void close(const Napi::CallbackInfo&) { held_.reset(); }

  std::optional<netlink::Socket> held_;
};

}  // namespace

void initNetlink(Napi::Env env, Napi::Object exports) { NetlinkSocket::define(env, exports); }

}  // namespace vtkit::napi
