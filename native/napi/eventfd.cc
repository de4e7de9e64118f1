// eventfd(2) for JavaScript, watched by the event loop.
#include "napi/eventfd.h"

#include <uv.h>

#include <memory>
#include <optional>

#include "napi/convert.h"
#include "os/eventfd.h"

namespace vtkit::napi {

namespace {

class EventFd : public Napi::ObjectWrap<EventFd> {
 public:
  /** new EventFd(onSignal): called on the event loop while watching, once for each time the count leaves 0. */
  explicit EventFd(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    if (!info[0].IsFunction()) throw Napi::TypeError::New(info.Env(), "onSignal must be a function");
    guarded(info.Env(), [&] { held_.emplace(); });
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(info.Env(), &loop);
    poll_ = new Poll{{}, this};
    uv_poll_init(loop, &poll_->handle, held_->get());
    poll_->handle.data = poll_;
    onSignal_ = Napi::Persistent(info[0].As<Napi::Function>());
    context_ = std::make_unique<Napi::AsyncContext>(info.Env(), "vtkit.EventFd");
    napi_add_env_cleanup_hook(info.Env(), endOfEnvironment, this);
  }

  ~EventFd() override { end(); }

  static void define(Napi::Env env, Napi::Object exports) {
    const Napi::Function made =
        DefineClass(env, "EventFd",
                    {InstanceMethod("fd", &EventFd::fd), InstanceMethod("signal", &EventFd::signal),
                     InstanceMethod("take", &EventFd::take), InstanceMethod("watch", &EventFd::watch),
                     InstanceMethod("keepAlive", &EventFd::keepAlive), InstanceMethod("close", &EventFd::close)});
    exports.Set("EventFd", made);
  }

 private:
  /** LIFETIME: libuv keeps the handle until its close callback, which may come after the object is gone. */
  struct Poll {
    uv_poll_t handle;
    EventFd* owner;
  };

  os::EventFd& open(const Napi::CallbackInfo& info) {
    if (!held_) throw Napi::Error::New(info.Env(), "it is closed");
    return *held_;
  }

  Napi::Value fd(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), open(info).get()); }
  void signal(const Napi::CallbackInfo& info) {
    const uint64_t count = toUint64(info[0], "count");
    guarded(info.Env(), [&] { open(info).signal(count); });
  }
  Napi::Value take(const Napi::CallbackInfo& info) {
    return Napi::BigInt::New(info.Env(), guarded(info.Env(), [&] { return open(info).take(); }));
  }
  /** While watching, the event loop stays alive for it, unless keepAlive() says otherwise. */
  void watch(const Napi::CallbackInfo& info) {
    open(info);
    if (info[0].ToBoolean()) {
      uv_poll_start(&poll_->handle, UV_READABLE, [](uv_poll_t* poll, int, int) {
        EventFd* owner = static_cast<Poll*>(poll->data)->owner;
        if (owner != nullptr) owner->call();
      });
    } else {
      uv_poll_stop(&poll_->handle);
    }
  }
  void keepAlive(const Napi::CallbackInfo& info) {
    open(info);
    auto* handle = reinterpret_cast<uv_handle_t*>(&poll_->handle);
    if (info[0].ToBoolean()) {
      uv_ref(handle);
    } else {
      uv_unref(handle);
    }
  }
  void close(const Napi::CallbackInfo&) { end(); }

  void call() {
    const Napi::HandleScope scope(Env());
    try {
      onSignal_.MakeCallback(Env().Global(), {}, *context_);
    } catch (const Napi::Error& error) {
      napi_fatal_exception(Env(), error.Value());
    }
  }

  static void endOfEnvironment(void* self) { static_cast<EventFd*>(self)->end(false); }

  void end(bool removeHook = true) {
    if (poll_ == nullptr) return;
    if (removeHook) napi_remove_env_cleanup_hook(Env(), endOfEnvironment, this);
    poll_->owner = nullptr;
    uv_poll_stop(&poll_->handle);
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_->handle),
             [](uv_handle_t* handle) { delete static_cast<Poll*>(handle->data); });
    poll_ = nullptr;
    // Behind uv_poll_stop: libuv has taken the descriptor out of its set by now.
    held_.reset();
    onSignal_.Reset();
    context_.reset();
  }

  std::optional<os::EventFd> held_;
  Poll* poll_ = nullptr;
  Napi::FunctionReference onSignal_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

}  // namespace

void initEventFd(Napi::Env env, Napi::Object exports) { EventFd::define(env, exports); }

}  // namespace vtkit::napi
