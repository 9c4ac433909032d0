#include "engine/model_view.h"

namespace oddity {

int32_t DefaultPosition(const KnobDescription& knob) {
  const float span = knob.maximum - knob.minimum;
  const float position = span > 0.0f ? (knob.default_value - knob.minimum) / span : 0.0f;
  if (!(position > 0.0f)) return 0;
  return position >= 1.0f ? INT32_MAX : static_cast<int32_t>(position * 2147483648.0f);
}

}  // namespace oddity
