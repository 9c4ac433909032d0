#include "engine/recurrent_q15.h"

namespace oddity {

void DotQ30(const RecurrentLayerQ15& layer, int rows) {
  int32_t low_sums[kMaxUnits + kMaxLayers][kMaxGates];
  DotQ15(layer.low_dot, rows);
  int32_t (*sums)[kMaxGates] = low_sums;
  for (RecurrentLayerQ15::Unit* unit = layer.dot.units; unit < layer.dot.units_end; ++unit, ++sums) {
    for (int row = 0; row < kMaxGates; ++row) (*sums)[row] = unit->sum[row] >> 15;
  }
  DotQ15(layer.dot, rows);
  sums = low_sums;
  for (RecurrentLayerQ15::Unit* unit = layer.dot.units; unit < layer.dot.units_end; ++unit, ++sums) {
    for (int row = 0; row < kMaxGates; ++row) unit->sum[row] += (*sums)[row];
  }
}

// A fine layer's rounded state holds what the sample before left, so that its low half is the difference of what is
// left now and then.
void UpdateLowStates(const RecurrentLayerQ15& layer) {
  int16_t* low = layer.low_hidden;
  for (RecurrentLayerQ15::Unit* unit = layer.dot.units; unit < layer.dot.units_end; ++unit) {
    *low++ = static_cast<int16_t>(unit->left - unit->left_before);
    unit->left_before = unit->left;
  }
}

}  // namespace oddity
