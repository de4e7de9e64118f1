// VFIO for JavaScript: the classes of one environment.
#include "napi/vfio.h"

#include "napi/vfio-classes.h"

namespace vtkit::napi {

void initVfio(Napi::Env env, Napi::Object exports) {
  auto* classes = new VfioClasses();
  Napi::Object vfio = Napi::Object::New(env);
  initVfioSpaces(env, vfio, *classes);
  initVfioDevice(env, vfio, *classes);
  env.SetInstanceData(classes);
  exports.Set("vfio", vfio);
}

}  // namespace vtkit::napi
