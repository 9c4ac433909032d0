#include "engine/model_view.h"

#include <cstring>

namespace oddity {

int32_t DefaultPosition(const KnobDescription& knob) {
  const float span = knob.maximum - knob.minimum;
  const float position = span > 0.0f ? (knob.default_value - knob.minimum) / span : 0.0f;
  if (!(position > 0.0f)) return 0;
  return position >= 1.0f ? INT32_MAX : static_cast<int32_t>(position * 2147483648.0f);
}

void UnpackWeights(const ModelView& model, int16_t* destination) {
  const ModelDescription& description = *model.description;
  const int hidden_size = description.hidden_size;
  const int8_t* packed = model.int8_weights;
  size_t total = 0;
  for (int layer = 0; layer < description.layer_count; ++layer) {
    const int count = WeightCount(description.architecture, hidden_size, layer);
    total += count;
    if (packed == nullptr) continue;
    const int16_t* steps = model.int8_steps + layer * hidden_size * kMaxGates;
    const int rows = RowCount(description.architecture, layer);
    const int words_of_two_units = count / ((hidden_size + 1) / 2);
    for (int index = 0; index < count; ++index) {
      const int row = index / 2 % rows, unit = index / words_of_two_units * 2 + index / 2 / rows % 2;
      const int step = unit < hidden_size ? steps[unit * kMaxGates + row] : 0;
      *destination++ = static_cast<int16_t>(*packed++ * step);
    }
  }
  if (packed == nullptr) std::memcpy(destination, model.recurrent_weights, total * sizeof *destination);
}

}  // namespace oddity
