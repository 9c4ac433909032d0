// LSTM -> head, one sample at a time, in the order of the equations:
//   z = W_hh h + w_x x + b         (i, f, g, o)
//   c' = sigmoid(f) c + sigmoid(i) tanh(g)
//   h' = sigmoid(o) tanh(c')
//   y = w_head h' + b_head + x
// The numpy specification of the same arithmetic is export/fixed_point.py.
#include <utility>

#include "engine/activation.h"
#include "engine/recurrent_q15.h"

namespace oddity {

#if defined(__ARM_FEATURE_DSP)

namespace {
constexpr GatesKernel* kGates[] = {LstmGatesQ15Cell24, LstmGatesQ15Cell25, LstmGatesQ15Cell26, LstmGatesQ15Cell27,
                                   LstmGatesQ15Cell28};
}

void LstmQ15(RecurrentLayerQ15& layer, const int32_t* in, int32_t* out, size_t size) {
  GatesKernel* const gates = kGates[layer.cell_frac_bits - 24];
  // The kernels could change the layer for all that the compiler knows: what they do not touch is held here.
  const HeadQ15 head = layer.head;
  RecurrentLayerQ15::Unit* const units = layer.units;
  RecurrentLayerQ15::Unit* const units_end = layer.units_end();
  const int quad_count = layer.quad_count;
  int16_t* hidden = layer.hidden[layer.current];
  int16_t* next_hidden = layer.hidden[layer.current ^ 1];
  for (size_t sample = 0; sample < size; ++sample) {
    const int32_t x = in[sample];
    LstmDotQ15(layer.weights, hidden, units, units_end, quad_count);
    std::swap(hidden, next_hidden);
    out[sample] = head.ToQ31(gates(units, hidden, x, head.Start(x), units_end, kSigmoidCentre, kTanhCentre));
  }
  layer.current ^= size & 1;
}

#else

void LstmQ15(RecurrentLayerQ15& layer, const int32_t* in, int32_t* out, size_t size) {
  const int product_shift = 30 - layer.cell_frac_bits;  // Q28 to two bits less than the cell's format
  const int tanh_shift = layer.cell_frac_bits - 24;     // those two bits less to Q22
  for (size_t sample = 0; sample < size; ++sample) {
    const int32_t x = in[sample];
    DotGates<4>(layer);
    int16_t* next_hidden = layer.hidden[layer.current ^ 1];
    int32_t head = layer.head.Start(x);
    for (int index = 0; index < layer.hidden_size; ++index) {
      RecurrentLayerQ15::Unit& unit = layer.units[index];
      int32_t z[4];
      for (int gate = 0; gate < 4; ++gate) {
        z[gate] = Smmla(x, unit.input[gate], Smmla(unit.sum[gate], unit.scale[gate], unit.bias[gate]));
      }
      const int32_t input_gate = SigmoidQ30(z[0]), forget_gate = SigmoidQ30(z[1]), output_gate = SigmoidQ30(z[3]);
      const int32_t candidate = Smmulr(input_gate, TanhQ30(z[2])) >> product_shift;
      const int32_t cell = Ssat<30>(Smmlar(unit.state, forget_gate, candidate));
      unit.state = ShiftLeft(cell, 2);
      const int32_t state = Smmulr(output_gate, TanhQ30(cell >> tanh_shift));  // Q28
      next_hidden[index] = static_cast<int16_t>((state + (1 << 12)) >> 13);
      head = Smmlar(state, unit.head, head);
    }
    layer.current ^= 1;
    out[sample] = layer.head.ToQ31(head);
  }
}

#endif

}  // namespace oddity
