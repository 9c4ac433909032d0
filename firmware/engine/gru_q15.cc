// GRU -> head, one sample at a time, in the order of the equations (torch's form, reset gate after the product):
//   r, z = sigmoid(W_h h + w_x x + b)
//   n = tanh(w_x x + b_in + r (W_hn h + b_hn))
//   h' = n + z (h - n)
//   y = w_head h' + b_head + x
// The state is kept in Q30, because z near 1 makes it the layer's long memory; the dot products read it as Q15.
// The numpy specification of the same arithmetic is export/fixed_point.py.
#include <utility>

#include "engine/activation.h"
#include "engine/recurrent_q15.h"

namespace oddity {

#if defined(__ARM_FEATURE_DSP)

void GruQ15(RecurrentLayerQ15& layer, const int32_t* in, int32_t* out, size_t size) {
  // The kernels could change the layer for all that the compiler knows: what they do not touch is held here.
  const HeadQ15 head = layer.head;
  RecurrentLayerQ15::Unit* const units = layer.units;
  RecurrentLayerQ15::Unit* const units_end = layer.units_end();
  const int quad_count = layer.quad_count;
  int16_t* hidden = layer.hidden[layer.current];
  int16_t* next_hidden = layer.hidden[layer.current ^ 1];
  for (size_t sample = 0; sample < size; ++sample) {
    const int32_t x = in[sample];
    GruDotQ15(layer.weights, hidden, units, units_end, quad_count);
    std::swap(hidden, next_hidden);
    out[sample] = head.ToQ31(GruGatesQ15(units, hidden, x, head.Start(x), units_end, kSigmoidCentre, kTanhCentre));
  }
  layer.current ^= size & 1;
}

#else

void GruQ15(RecurrentLayerQ15& layer, const int32_t* in, int32_t* out, size_t size) {
  for (size_t sample = 0; sample < size; ++sample) {
    const int32_t x = in[sample];
    DotGates<3>(layer);
    int16_t* next_hidden = layer.hidden[layer.current ^ 1];
    int32_t head = layer.head.Start(x);
    for (int index = 0; index < layer.hidden_size; ++index) {
      RecurrentLayerQ15::Unit& unit = layer.units[index];
      int32_t z[2];
      for (int gate = 0; gate < 2; ++gate) {
        z[gate] = Smmla(x, unit.input[gate], Smmla(unit.sum[gate], unit.scale[gate], unit.bias[gate]));
      }
      const int32_t reset_gate = SigmoidQ30(z[0]), update_gate = SigmoidQ30(z[1]);
      const int32_t from_state = Smmla(unit.sum[2], unit.scale[2], unit.bias[3]);
      const int32_t gated = ShiftLeft(Smmulr(reset_gate, from_state), 2);
      const int32_t candidate = TanhQ30(gated + Smmla(x, unit.input[2], unit.bias[2]));
      unit.state = candidate + ShiftLeft(Smmulr(update_gate, unit.state - candidate), 2);
      next_hidden[index] = static_cast<int16_t>((unit.state + (1 << 14)) >> 15);
      head = Smmlar(unit.state >> 2, unit.head, head);
    }
    layer.current ^= 1;
    out[sample] = layer.head.ToQ31(head);
  }
}

#endif

}  // namespace oddity
