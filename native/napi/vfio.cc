// VFIO for JavaScript: arguments and errors, and nothing else.
#include "napi/vfio.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "napi/convert.h"
#include "os/mapping.h"
#include "vfio/container.h"
#include "vfio/device.h"
#include "vfio/iommufd.h"

namespace vtkit::napi {

namespace {

/** Constructors of one environment: instances are checked by them before they are unwrapped. */
struct Classes {
  Napi::FunctionReference container, group, iommufd, device, memory;
};

/** What a wrapper holds until it is closed. @throws Error after close() */
template <typename T>
T& open(const Napi::CallbackInfo& info, std::optional<T>& held) {
  if (!held) throw Napi::Error::New(info.Env(), "it is closed");
  return *held;
}

std::string text(const Napi::Value& value, const char* name) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a string");
  return value.As<Napi::String>();
}

std::vector<int> descriptors(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    throw Napi::TypeError::New(value.Env(), "descriptors must be an Int32Array");
  }
  const auto array = value.As<Napi::Int32Array>();
  return std::vector<int>(array.Data(), array.Data() + array.ElementLength());
}

class DmaMemory : public Napi::ObjectWrap<DmaMemory> {
 public:
  explicit DmaMemory(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const uint64_t bytes = toUint64(info[0], "bytes");
    memory_ = guarded(info.Env(), [&] { return std::make_shared<os::Mapping>(os::Mapping::anonymous(bytes)); });
  }
  Napi::Value buffer(const Napi::CallbackInfo& info) {
    return shared(info.Env(), memory_, memory_->data(), memory_->bytes());
  }
  const std::shared_ptr<os::Mapping>& memory() const { return memory_; }

 private:
  std::shared_ptr<os::Mapping> memory_;
};

/** map, unmap and ranges of either kind of address space. */
template <typename Space>
struct SpaceCalls {
  std::optional<Space> held;
  /** LIFETIME: pages that devices reach, by I/O address, stay mapped here until they are unmapped there. */
  std::map<uint64_t, std::shared_ptr<os::Mapping>> pinned;

  Napi::Value map(const Napi::CallbackInfo& info, const Classes& classes) {
    Space& space = open(info, held);
    const Napi::Object given = info[0].As<Napi::Object>();
    if (!info[0].IsObject() || !given.InstanceOf(classes.memory.Value())) {
      throw Napi::TypeError::New(info.Env(), "memory must be a DmaMemory");
    }
    const auto& memory = DmaMemory::Unwrap(given)->memory();
    const uint64_t offset = toUint64(info[1], "offset");
    const uint64_t iova = toUint64(info[2], "iova");
    const uint64_t bytes = toUint64(info[3], "bytes");
    if (offset > memory->bytes() || bytes > memory->bytes() - offset) {
      throw Napi::RangeError::New(info.Env(), "the part lies outside of the memory");
    }
    guarded(info.Env(), [&] { space.map(memory->data() + offset, iova, bytes, info[4].ToBoolean()); });
    pinned.insert_or_assign(iova, memory);
    return info.Env().Undefined();
  }
  void mapWhole(Napi::Env env, const std::shared_ptr<os::Mapping>& memory, uint64_t iova, bool writable) {
    if (!held) throw Napi::Error::New(env, "it is closed");
    guarded(env, [&] { held->map(memory->data(), iova, memory->bytes(), writable); });
    pinned.insert_or_assign(iova, memory);
  }
  Napi::Value unmap(const Napi::CallbackInfo& info) {
    Space& space = open(info, held);
    const uint64_t iova = toUint64(info[0], "iova");
    const uint64_t bytes = toUint64(info[1], "bytes");
    const uint64_t unmapped = guarded(info.Env(), [&] { return space.unmap(iova, bytes); });
    for (auto at = pinned.lower_bound(iova); at != pinned.end() && at->first - iova < bytes;) at = pinned.erase(at);
    return Napi::BigInt::New(info.Env(), unmapped);
  }
  Napi::Value ranges(const Napi::CallbackInfo& info) {
    Space& space = open(info, held);
    const auto list = guarded(info.Env(), [&] { return space.ranges(); });
    Napi::Array result = Napi::Array::New(info.Env(), list.size());
    for (uint32_t i = 0; i < list.size(); i++) {
      Napi::Array pair = Napi::Array::New(info.Env(), 2);
      pair.Set(0u, Napi::BigInt::New(info.Env(), list[i].first));
      pair.Set(1u, Napi::BigInt::New(info.Env(), list[i].last));
      result.Set(i, pair);
    }
    return result;
  }
};

Classes& classesOf(Napi::Env env) { return *env.GetInstanceData<Classes>(); }

class Container : public Napi::ObjectWrap<Container> {
 public:
  explicit Container(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const std::string path = text(info[0], "path");
    calls_.held = guarded(info.Env(), [&] { return vfio::Container::open(path); });
  }
  vfio::Container& held(const Napi::CallbackInfo& info) { return open(info, calls_.held); }
  Napi::Value apiVersion(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), guarded(info.Env(), [&] { return held(info).apiVersion(); }));
  }
  Napi::Value checkExtension(const Napi::CallbackInfo& info) {
    const uint32_t extension = toUint32(info[0], "extension");
    return Napi::Boolean::New(
        info.Env(), guarded(info.Env(), [&] { return held(info).checkExtension(static_cast<int>(extension)); }));
  }
  void setIommu(const Napi::CallbackInfo& info) {
    const uint32_t type = toUint32(info[0], "type");
    guarded(info.Env(), [&] { held(info).setIommu(static_cast<int>(type)); });
  }
  Napi::Value map(const Napi::CallbackInfo& info) { return calls_.map(info, classesOf(info.Env())); }
  auto& calls() { return calls_; }
  Napi::Value unmap(const Napi::CallbackInfo& info) { return calls_.unmap(info); }
  Napi::Value ranges(const Napi::CallbackInfo& info) { return calls_.ranges(info); }
  void close(const Napi::CallbackInfo&) {
    calls_.held.reset();
    calls_.pinned.clear();
  }

 private:
  SpaceCalls<vfio::Container> calls_;
};

class Iommufd : public Napi::ObjectWrap<Iommufd> {
 public:
  explicit Iommufd(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const std::string path = text(info[0], "path");
    calls_.held = guarded(info.Env(), [&] { return vfio::Iommufd::open(path); });
  }
  vfio::Iommufd& held(const Napi::CallbackInfo& info) { return open(info, calls_.held); }
  Napi::Value map(const Napi::CallbackInfo& info) { return calls_.map(info, classesOf(info.Env())); }
  auto& calls() { return calls_; }
  Napi::Value unmap(const Napi::CallbackInfo& info) { return calls_.unmap(info); }
  Napi::Value ranges(const Napi::CallbackInfo& info) { return calls_.ranges(info); }
  Napi::Value vtd(const Napi::CallbackInfo& info) {
    const uint32_t device = toUint32(info[0], "device");
    const auto registers = guarded(info.Env(), [&] { return held(info).vtd(device); });
    if (!registers) return info.Env().Null();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("cap", Napi::BigInt::New(info.Env(), registers->cap));
    result.Set("ecap", Napi::BigInt::New(info.Env(), registers->ecap));
    return result;
  }
  Napi::Value device(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo&) {
    calls_.held.reset();
    calls_.pinned.clear();
  }

 private:
  SpaceCalls<vfio::Iommufd> calls_;
};

class Device : public Napi::ObjectWrap<Device> {
 public:
  /** Only Group.device() and Iommufd.device() make one: they hand over what was opened. */
  explicit Device(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    if (!info[0].IsExternal())
      throw Napi::TypeError::New(info.Env(), "a device comes from its group or from an Iommufd");
    std::unique_ptr<vfio::Device> given(info[0].As<Napi::External<vfio::Device>>().Data());
    held_.emplace(std::move(*given));
  }
  static Napi::Value make(Napi::Env env, vfio::Device device) {
    auto* moved = new vfio::Device(std::move(device));
    return classesOf(env).device.New({Napi::External<vfio::Device>::New(env, moved)});
  }

  Napi::Value info(const Napi::CallbackInfo& info) {
    const vfio::DeviceInfo told = guarded(info.Env(), [&] { return open(info, held_).info(); });
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("canReset", told.canReset);
    result.Set("regions", told.regions);
    result.Set("interrupts", told.interrupts);
    return result;
  }
  Napi::Value region(const Napi::CallbackInfo& info) {
    const uint32_t index = toUint32(info[0], "index");
    const vfio::RegionInfo told = guarded(info.Env(), [&] { return open(info, held_).region(index); });
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("bytes", Napi::BigInt::New(info.Env(), told.bytes));
    result.Set("readable", told.readable);
    result.Set("writable", told.writable);
    result.Set("mappable", told.mappable);
    return result;
  }
  Napi::Value interrupt(const Napi::CallbackInfo& info) {
    const uint32_t index = toUint32(info[0], "index");
    const vfio::InterruptInfo told = guarded(info.Env(), [&] { return open(info, held_).interrupt(index); });
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("count", told.count);
    result.Set("maskable", told.maskable);
    result.Set("automasked", told.automasked);
    return result;
  }
  Napi::Value read(const Napi::CallbackInfo& info) {
    const uint32_t index = toUint32(info[0], "region");
    const uint64_t offset = toUint64(info[1], "offset");
    const unsigned width = widthOf(info[2]);
    const uint64_t value = guarded(info.Env(), [&] { return open(info, held_).read(index, offset, width); });
    if (width == 8) return Napi::BigInt::New(info.Env(), value);
    return Napi::Number::New(info.Env(), static_cast<double>(value));
  }
  void write(const Napi::CallbackInfo& info) {
    const uint32_t index = toUint32(info[0], "region");
    const uint64_t offset = toUint64(info[1], "offset");
    const unsigned width = widthOf(info[2]);
    const uint64_t value = toUint64(info[3], "value");
    if (width < 8 && value >> (8 * width) != 0)
      throw Napi::RangeError::New(info.Env(), "value is wider than the access");
    guarded(info.Env(), [&] { open(info, held_).write(index, offset, width, value); });
  }
  /** Offsets and values of 32 bits, in turn: written in order, in one call. */
  void write32s(const Napi::CallbackInfo& info) {
    const uint32_t index = toUint32(info[0], "region");
    const auto pairs = words(info[1]);
    guarded(info.Env(), [&] { open(info, held_).write32s(index, pairs.Data(), pairs.ElementLength() / 2); });
  }
  /** What stands at these offsets, 32 bits each, in one call. */
  Napi::Value read32s(const Napi::CallbackInfo& info) {
    const uint32_t index = toUint32(info[0], "region");
    const auto offsets = words(info[1]);
    auto values = Napi::Uint32Array::New(info.Env(), offsets.ElementLength());
    guarded(info.Env(),
            [&] { open(info, held_).read32s(index, offsets.Data(), values.Data(), offsets.ElementLength()); });
    return values;
  }
  void setEventfds(const Napi::CallbackInfo& info) {
    const uint32_t index = toUint32(info[0], "index");
    const std::vector<int> eventfds = descriptors(info[1]);
    guarded(info.Env(), [&] { open(info, held_).setEventfds(index, eventfds); });
  }
  void setUnmaskEventfd(const Napi::CallbackInfo& info) {
    const uint32_t index = toUint32(info[0], "index");
    const uint32_t eventfd = toUint32(info[1], "eventfd");
    guarded(info.Env(), [&] { open(info, held_).setUnmaskEventfd(index, static_cast<int>(eventfd)); });
  }
  void mask(const Napi::CallbackInfo& info) {
    const uint32_t index = toUint32(info[0], "index");
    guarded(info.Env(), [&] { open(info, held_).mask(index, info[1].ToBoolean()); });
  }
  void reset(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] { open(info, held_).reset(); });
  }
  Napi::Value dependents(const Napi::CallbackInfo& info) {
    const auto list = guarded(info.Env(), [&] { return open(info, held_).dependents(); });
    Napi::Array result = Napi::Array::New(info.Env(), list.size());
    for (uint32_t i = 0; i < list.size(); i++) {
      Napi::Object row = Napi::Object::New(info.Env());
      row.Set("group", list[i].group);
      row.Set("segment", list[i].segment);
      row.Set("bus", list[i].bus);
      row.Set("devfn", list[i].devfn);
      result.Set(i, row);
    }
    return result;
  }
  void hotReset(const Napi::CallbackInfo& info) {
    const std::vector<int> groups = descriptors(info[0]);
    guarded(info.Env(), [&] { open(info, held_).hotReset(groups); });
  }
  Napi::Value migration(const Napi::CallbackInfo& info) {
    const auto told = guarded(info.Env(), [&] { return open(info, held_).migration(); });
    if (!told) return info.Env().Null();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("flags", Napi::BigInt::New(info.Env(), told->flags));
    result.Set("state", told->state);
    return result;
  }
  Napi::Value logsDma(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), guarded(info.Env(), [&] { return open(info, held_).logsDma(); }));
  }
  void setVfToken(const Napi::CallbackInfo& info) {
    std::array<uint8_t, 16> token;
    const bool bytes = info[0].IsTypedArray() && info[0].As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
    if (!bytes || info[0].As<Napi::Uint8Array>().ElementLength() != token.size()) {
      throw Napi::TypeError::New(info.Env(), "token must be a Uint8Array of 16 bytes");
    }
    std::copy_n(info[0].As<Napi::Uint8Array>().Data(), token.size(), token.begin());
    guarded(info.Env(), [&] { open(info, held_).setVfToken(token); });
  }
  vfio::Device& held(Napi::Env env) {
    if (!held_) throw Napi::Error::New(env, "it is closed");
    return *held_;
  }
  Napi::Value fd(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), open(info, held_).fd().get()); }
  Napi::Value id(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), open(info, held_).id()); }
  void close(const Napi::CallbackInfo&) { held_.reset(); }

 private:
  static unsigned widthOf(const Napi::Value& value) {
    const uint32_t width = toUint32(value, "width");
    if (width != 1 && width != 2 && width != 4 && width != 8) {
      throw Napi::RangeError::New(value.Env(), "width must be 1, 2, 4 or 8");
    }
    return width;
  }
  static Napi::Uint32Array words(const Napi::Value& value) {
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
      throw Napi::TypeError::New(value.Env(), "words must be a Uint32Array");
    }
    return value.As<Napi::Uint32Array>();
  }
  std::optional<vfio::Device> held_;
};

Napi::Value Iommufd::device(const Napi::CallbackInfo& info) {
  const std::string path = text(info[0], "path");
  return Device::make(info.Env(), guarded(info.Env(), [&] { return vfio::Device(path, held(info)); }));
}

class Group : public Napi::ObjectWrap<Group> {
 public:
  explicit Group(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const std::string path = text(info[0], "path");
    held_ = guarded(info.Env(), [&] { return vfio::Group::open(path); });
  }
  Napi::Value viable(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), guarded(info.Env(), [&] { return open(info, held_).viable(); }));
  }
  void setContainer(const Napi::CallbackInfo& info) {
    const Napi::Object given = info[0].As<Napi::Object>();
    if (!info[0].IsObject() || !given.InstanceOf(classesOf(info.Env()).container.Value())) {
      throw Napi::TypeError::New(info.Env(), "container must be a Container");
    }
    vfio::Container& container = Container::Unwrap(given)->held(info);
    guarded(info.Env(), [&] { open(info, held_).setContainer(container); });
  }
  void unsetContainer(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] { open(info, held_).unsetContainer(); });
  }
  Napi::Value device(const Napi::CallbackInfo& info) {
    const std::string name = text(info[0], "name");
    return Device::make(info.Env(),
                        guarded(info.Env(), [&] { return vfio::Device(open(info, held_).deviceFd(name)); }));
  }
  Napi::Value fd(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), open(info, held_).fd().get()); }
  void close(const Napi::CallbackInfo&) { held_.reset(); }

 private:
  std::optional<vfio::Group> held_;
};

template <typename T>
Napi::FunctionReference define(Napi::Env env, Napi::Object vfio, const char* name,
                               const std::vector<Napi::ClassPropertyDescriptor<T>>& methods) {
  const Napi::Function made = T::DefineClass(env, name, methods);
  vfio.Set(name, made);
  return Napi::Persistent(made);
}

}  // namespace

vfio::Device& vfioDevice(const Napi::Value& value) {
  const Napi::Env env = value.Env();
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(classesOf(env).device.Value())) {
    throw Napi::TypeError::New(env, "device must be a VFIO device");
  }
  return Device::Unwrap(value.As<Napi::Object>())->held(env);
}

void mapForDevices(const Napi::Value& space, const std::shared_ptr<os::Mapping>& memory, uint64_t iova, bool writable) {
  const Napi::Env env = space.Env();
  const Classes& classes = classesOf(env);
  if (space.IsObject()) {
    const auto object = space.As<Napi::Object>();
    if (object.InstanceOf(classes.container.Value())) {
      return Container::Unwrap(object)->calls().mapWhole(env, memory, iova, writable);
    }
    if (object.InstanceOf(classes.iommufd.Value())) {
      return Iommufd::Unwrap(object)->calls().mapWhole(env, memory, iova, writable);
    }
  }
  throw Napi::TypeError::New(env, "space must be a Container or an Iommufd");
}

void initVfio(Napi::Env env, Napi::Object exports) {
  auto* classes = new Classes();
  Napi::Object vfio = Napi::Object::New(env);
  classes->memory =
      define<DmaMemory>(env, vfio, "DmaMemory", {DmaMemory::InstanceMethod("buffer", &DmaMemory::buffer)});
  classes->container = define<Container>(
      env, vfio, "Container",
      {Container::InstanceMethod("apiVersion", &Container::apiVersion),
       Container::InstanceMethod("checkExtension", &Container::checkExtension),
       Container::InstanceMethod("setIommu", &Container::setIommu), Container::InstanceMethod("map", &Container::map),
       Container::InstanceMethod("unmap", &Container::unmap), Container::InstanceMethod("ranges", &Container::ranges),
       Container::InstanceMethod("close", &Container::close)});
  classes->iommufd = define<Iommufd>(
      env, vfio, "Iommufd",
      {Iommufd::InstanceMethod("map", &Iommufd::map), Iommufd::InstanceMethod("unmap", &Iommufd::unmap),
       Iommufd::InstanceMethod("ranges", &Iommufd::ranges), Iommufd::InstanceMethod("vtd", &Iommufd::vtd),
       Iommufd::InstanceMethod("device", &Iommufd::device), Iommufd::InstanceMethod("close", &Iommufd::close)});
  classes->group = define<Group>(
      env, vfio, "Group",
      {Group::InstanceMethod("viable", &Group::viable), Group::InstanceMethod("setContainer", &Group::setContainer),
       Group::InstanceMethod("unsetContainer", &Group::unsetContainer), Group::InstanceMethod("device", &Group::device),
       Group::InstanceMethod("fd", &Group::fd), Group::InstanceMethod("close", &Group::close)});
  classes->device = define<Device>(
      env, vfio, "Device",
      {Device::InstanceMethod("info", &Device::info), Device::InstanceMethod("region", &Device::region),
       Device::InstanceMethod("interrupt", &Device::interrupt), Device::InstanceMethod("read", &Device::read),
       Device::InstanceMethod("write", &Device::write), Device::InstanceMethod("read32s", &Device::read32s),
       Device::InstanceMethod("write32s", &Device::write32s),
       Device::InstanceMethod("setEventfds", &Device::setEventfds),
       Device::InstanceMethod("setUnmaskEventfd", &Device::setUnmaskEventfd),
       Device::InstanceMethod("mask", &Device::mask), Device::InstanceMethod("reset", &Device::reset),
       Device::InstanceMethod("dependents", &Device::dependents), Device::InstanceMethod("hotReset", &Device::hotReset),
       Device::InstanceMethod("migration", &Device::migration), Device::InstanceMethod("logsDma", &Device::logsDma),
       Device::InstanceMethod("setVfToken", &Device::setVfToken), Device::InstanceMethod("id", &Device::id),
       Device::InstanceMethod("fd", &Device::fd), Device::InstanceMethod("close", &Device::close)});
  env.SetInstanceData(classes);
  exports.Set("vfio", vfio);
}

}  // namespace vtkit::napi
