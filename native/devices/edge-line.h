// An interrupt line that can be pulsed without a gap.
#pragma once

#include "bus/device.h"

namespace vtkit::devices {

class EdgeLine : public bus::Line {
 public:
  /** Leaves the line high behind a new rising edge. Nobody sees it low in between, so no request is withdrawn. */
  virtual void edge() = 0;
};

}  // namespace vtkit::devices
