// What VFIO devices reach, for JavaScript: containers and their groups, IOMMUFDs, and the memory mapped in them.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "napi/convert.h"
#include "napi/vfio-classes.h"
#include "napi/vfio-device.h"
#include "napi/vfio.h"
#include "os/mapping.h"
#include "vfio/container.h"
#include "vfio/iommufd.h"

namespace vtkit::napi {

namespace {

using Info = const Napi::CallbackInfo&;

/** An address space of either kind, and the memory that devices reach in it. */
template <typename Space>
class AddressSpace {
 public:
  void take(Space space) { held_ = std::move(space); }
  Space& held(Napi::Env env) { return open(env, held_); }

  void map(Napi::Env env, const std::shared_ptr<os::Mapping>& memory, uint64_t iova, bool writable) {
    Space& space = held(env);
    guarded(env, [&] { space.map(memory->data(), iova, memory->bytes(), writable); });
    pinned_.insert_or_assign(iova, memory);
  }
  void allocate(Info info) {
    held(info.Env());
    const uint64_t bytes = toUint64(info[0], "bytes");
    const uint64_t iova = toUint64(info[1], "iova");
    const auto memory =
        guarded(info.Env(), [&] { return std::make_shared<os::Mapping>(os::Mapping::anonymous(bytes)); });
    map(info.Env(), memory, iova, info[2].ToBoolean());
  }
  Napi::Value view(Info info) {
    held(info.Env());
    const auto at = pinned_.find(toUint64(info[0], "iova"));
    if (at == pinned_.end()) throw Napi::RangeError::New(info.Env(), "no mapping begins at this iova");
    return shared(info.Env(), at->second, at->second->data(), at->second->bytes());
  }
  Napi::Value unmap(Info info) {
    Space& space = held(info.Env());
    const uint64_t iova = toUint64(info[0], "iova");
    const uint64_t bytes = toUint64(info[1], "bytes");
    const uint64_t unmapped = guarded(info.Env(), [&] { return space.unmap(iova, bytes); });
    for (auto at = pinned_.lower_bound(iova); at != pinned_.end() && at->first - iova < bytes;) at = pinned_.erase(at);
    return Napi::BigInt::New(info.Env(), unmapped);
  }
  Napi::Value ranges(Info info) {
    Space& space = held(info.Env());
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
  void close() {
    held_.reset();
    pinned_.clear();
  }

 private:
  std::optional<Space> held_;
  /** LIFETIME: pages that devices reach, by I/O address, stay mapped here until they are unmapped there. */
  std::map<uint64_t, std::shared_ptr<os::Mapping>> pinned_;
};

/** A class of JavaScript for a kind of address space; `Self` adds what that kind alone has. */
template <typename Self, typename Space>
class SpaceObject : public Napi::ObjectWrap<Self> {
 public:
  explicit SpaceObject(Info info) : Napi::ObjectWrap<Self>(info) {
    const std::string path = text(info[0], "path");
    space.take(guarded(info.Env(), [&] { return Space::open(path); }));
  }
  void allocate(Info info) { space.allocate(info); }
  Napi::Value view(Info info) { return space.view(info); }
  Napi::Value unmap(Info info) { return space.unmap(info); }
  Napi::Value ranges(Info info) { return space.ranges(info); }
  void close(Info) { space.close(); }

  static std::vector<Napi::ClassPropertyDescriptor<Self>> methods(
      std::vector<Napi::ClassPropertyDescriptor<Self>> own) {
    own.push_back(Self::InstanceMethod("allocate", &Self::allocate));
    own.push_back(Self::InstanceMethod("view", &Self::view));
    own.push_back(Self::InstanceMethod("unmap", &Self::unmap));
    own.push_back(Self::InstanceMethod("ranges", &Self::ranges));
    own.push_back(Self::InstanceMethod("close", &Self::close));
    return own;
  }

  AddressSpace<Space> space;
};

class Container : public SpaceObject<Container, vfio::Container> {
 public:
  using SpaceObject::SpaceObject;
  Napi::Value apiVersion(Info info) {
    return Napi::Number::New(info.Env(), guarded(info.Env(), [&] { return space.held(info.Env()).apiVersion(); }));
  }
  Napi::Value checkExtension(Info info) {
    const uint32_t extension = toUint32(info[0], "extension");
    return Napi::Boolean::New(info.Env(), guarded(info.Env(), [&] {
                                return space.held(info.Env()).checkExtension(static_cast<int>(extension));
                              }));
  }
  void setIommu(Info info) {
    const uint32_t type = toUint32(info[0], "type");
    guarded(info.Env(), [&] { space.held(info.Env()).setIommu(static_cast<int>(type)); });
  }
};

class Iommufd : public SpaceObject<Iommufd, vfio::Iommufd> {
 public:
  using SpaceObject::SpaceObject;
  Napi::Value vtd(Info info) {
    const uint32_t device = toUint32(info[0], "device");
    const auto registers = guarded(info.Env(), [&] { return space.held(info.Env()).vtd(device); });
    if (!registers) return info.Env().Null();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("cap", Napi::BigInt::New(info.Env(), registers->cap));
    result.Set("ecap", Napi::BigInt::New(info.Env(), registers->ecap));
    return result;
  }
  Napi::Value device(Info info) {
    const std::string path = text(info[0], "path");
    return VfioDevice::make(info.Env(),
                            guarded(info.Env(), [&] { return vfio::Device(path, space.held(info.Env())); }));
  }
};

class Group : public Napi::ObjectWrap<Group> {
 public:
  explicit Group(Info info) : ObjectWrap(info) {
    const std::string path = text(info[0], "path");
    held_ = guarded(info.Env(), [&] { return vfio::Group::open(path); });
  }
  Napi::Value viable(Info info) {
    return Napi::Boolean::New(info.Env(), guarded(info.Env(), [&] { return held(info).viable(); }));
  }
  void setContainer(Info info) {
    if (!isInstance(info[0], classesOf(info.Env()).container)) {
      throw Napi::TypeError::New(info.Env(), "container must be a Container");
    }
    vfio::Container& container = Container::Unwrap(info[0].As<Napi::Object>())->space.held(info.Env());
    guarded(info.Env(), [&] { held(info).setContainer(container); });
  }
  void unsetContainer(Info info) {
    guarded(info.Env(), [&] { held(info).unsetContainer(); });
  }
  Napi::Value device(Info info) {
    const std::string name = text(info[0], "name");
    return VfioDevice::make(info.Env(), guarded(info.Env(), [&] { return vfio::Device(held(info).deviceFd(name)); }));
  }
  Napi::Value fd(Info info) { return Napi::Number::New(info.Env(), held(info).fd().get()); }
  void close(Info) { held_.reset(); }

 private:
  vfio::Group& held(Info info) { return open(info.Env(), held_); }
  std::optional<vfio::Group> held_;
};

}  // namespace

void mapForDevices(const Napi::Value& space, const std::shared_ptr<os::Mapping>& memory, uint64_t iova, bool writable) {
  const Napi::Env env = space.Env();
  if (isInstance(space, classesOf(env).container)) {
    return Container::Unwrap(space.As<Napi::Object>())->space.map(env, memory, iova, writable);
  }
  if (isInstance(space, classesOf(env).iommufd)) {
    return Iommufd::Unwrap(space.As<Napi::Object>())->space.map(env, memory, iova, writable);
  }
  throw Napi::TypeError::New(env, "space must be a Container or an Iommufd");
}

void initVfioSpaces(Napi::Env env, Napi::Object vfio, VfioClasses& classes) {
  classes.container =
      define<Container>(env, vfio, "Container",
                        Container::methods({Container::InstanceMethod("apiVersion", &Container::apiVersion),
                                            Container::InstanceMethod("checkExtension", &Container::checkExtension),
                                            Container::InstanceMethod("setIommu", &Container::setIommu)}));
  classes.iommufd = define<Iommufd>(env, vfio, "Iommufd",
                                    Iommufd::methods({Iommufd::InstanceMethod("vtd", &Iommufd::vtd),
                                                      Iommufd::InstanceMethod("device", &Iommufd::device)}));
  classes.group = define<Group>(
      env, vfio, "Group",
      {Group::InstanceMethod("viable", &Group::viable), Group::InstanceMethod("setContainer", &Group::setContainer),
       Group::InstanceMethod("unsetContainer", &Group::unsetContainer), Group::InstanceMethod("device", &Group::device),
       Group::InstanceMethod("fd", &Group::fd), Group::InstanceMethod("close", &Group::close)});
}

}  // namespace vtkit::napi
