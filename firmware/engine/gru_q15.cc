// A GRU's layer, one sample at a time, in the order of the equations (torch's form, reset gate after the product):
//   r, z = sigmoid(W h + w_x x + b)
//   n = tanh(w_x x + b_nx + r (W_n h + b_n))
//   h' = n + z (h - n)
//   head += w_head h'
// Of a stacked layer, h has the states of the layer below in front; their share of n is row 3 and takes the place of
// w_x x. The state is kept in Q30, because z near 1 makes it the layer's long memory; the dot products read it as Q15.
// The specification of the same arithmetic in Python is export/fixed_point.py.
#include "engine/activation.h"
#include "engine/recurrent_q15.h"

namespace oddity {

#if defined(__ARM_FEATURE_DSP)

extern "C" {
RecurrentLayerQ15::GatesKernel GruGatesQ15, GruFineGatesQ15, GruStackedGatesQ15, GruStackedFineGatesQ15;
}

void UseGruQ15(RecurrentLayerQ15& layer) {
  static RecurrentLayerQ15::GatesKernel* const kGates[2][2] = {{GruGatesQ15, GruFineGatesQ15},
                                                               {GruStackedGatesQ15, GruStackedFineGatesQ15}};
  layer.gates = kGates[layer.stacked][layer.fine()];
  layer.tables[0] = layer.fine() ? kFineCentre : kSigmoidCentre;
  layer.tables[1] = kTanhCentre;
}

#else

void UseGruQ15(RecurrentLayerQ15&) {}

int32_t GruGates(RecurrentLayerQ15& layer, int32_t x, int32_t head) {
  int16_t* hidden = layer.hidden;
  for (RecurrentLayerQ15::Unit* unit = layer.dot.units; unit < layer.dot.units_end; ++unit) {
    const auto with_sum = [unit](int row) { return Smmla(unit->sum[row], unit->scale[row], unit->bias[row]); };
    const int32_t reset = Smmla(x, unit->input[0], with_sum(0));
    const int32_t update = Smmla(x, unit->input[1], with_sum(1));
    const int32_t from_state = with_sum(2);
    const int32_t from_below = layer.stacked ? with_sum(3) : Smmla(x, unit->input[3], unit->bias[3]);
    const auto sigmoid = layer.fine() ? FineSigmoidQ31 : SigmoidQ31;
    const auto tangent = layer.fine() ? FineTanhQ31 : TanhQ31;
    const int32_t candidate = tangent(from_below + ShiftLeft(Smmulr(sigmoid(reset), from_state), 1)) >> 1;
    const int32_t state = candidate + ShiftLeft(Smmulr(sigmoid(update), unit->state - candidate), 1);
    unit->state = state;
    *hidden++ = RoundState(*unit, layer.fine(), state);
    head = Smmlar(state, unit->head, head);
  }
  return head;
}

#endif

}  // namespace oddity
