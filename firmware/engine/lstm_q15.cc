// An LSTM's layer, one sample at a time, in the order of the equations:
//   z = W h + w_x x + b            (i, f, g, o; of a stacked layer, h has the states of the layer below in front)
//   c' = sigmoid(f) c + sigmoid(i) tanh(g)
//   h' = sigmoid(o) tanh(c')
//   head += w_head h'
// The specification of the same arithmetic in Python is export/fixed_point.py.
#include "engine/activation.h"
#include "engine/recurrent_q15.h"

namespace oddity {

#if defined(__ARM_FEATURE_DSP)

extern "C" {
RecurrentLayerQ15::GatesKernel LstmGatesQ15Cell24, LstmGatesQ15Cell25, LstmGatesQ15Cell26, LstmGatesQ15Cell27,
    LstmGatesQ15Cell28, LstmFineGatesQ15Cell24, LstmFineGatesQ15Cell25, LstmFineGatesQ15Cell26, LstmFineGatesQ15Cell27,
    LstmFineGatesQ15Cell28;
}

void UseLstmQ15(RecurrentLayerQ15& layer) {
  static RecurrentLayerQ15::GatesKernel* const kGates[2][5] = {
      {LstmGatesQ15Cell24, LstmGatesQ15Cell25, LstmGatesQ15Cell26, LstmGatesQ15Cell27, LstmGatesQ15Cell28},
      {LstmFineGatesQ15Cell24, LstmFineGatesQ15Cell25, LstmFineGatesQ15Cell26, LstmFineGatesQ15Cell27,
       LstmFineGatesQ15Cell28}};
  layer.gates = kGates[layer.fine()][layer.cell_frac_bits - 24];
  layer.tables[0] = layer.fine() ? kFineCentre : kSigmoidCentre;
  layer.tables[1] = kTanhCentre;
}

#else

void UseLstmQ15(RecurrentLayerQ15&) {}

namespace {

// Returns the hidden state, Q30. The cell's sum has one bit less than its format.
int32_t CoarseCell(RecurrentLayerQ15::Unit& unit, const int32_t (&z)[4], int cell_frac_bits) {
  const int32_t input_gate = SigmoidQ31(z[0]), forget_gate = SigmoidQ31(z[1]), output_gate = SigmoidQ31(z[3]);
  const int32_t candidate = Smmulr(input_gate, TanhQ31(z[2])) >> (31 - cell_frac_bits);
  const int32_t cell = Ssat<31>(Smmlar(unit.state, forget_gate, candidate));
  unit.state = ShiftLeft(cell, 1);
  return Smmulr(output_gate, TanhQ31(cell >> (cell_frac_bits - 23)));
}

// A cell of 63 bits loses nothing from sample to sample, however close to 1 its forget gate is:
//   c' = c - (1 - f) c + i g
int32_t FineCell(RecurrentLayerQ15::Unit& unit, const int32_t (&z)[4], int cell_frac_bits) {
  const int32_t minus_leak_q31 = (FineTanhQ31(z[1]) >> 1) - (1 << 30);
  const int32_t candidate = FineTanhQ31(z[2]) >> (31 - cell_frac_bits);
  const int32_t before = unit.state;  // one bit less than the cell's format
  int64_t cell = static_cast<int64_t>(uint64_t{static_cast<uint32_t>(before)} << 32 | unit.state_low);
  cell += int64_t{ShiftLeft(before, 1)} * minus_leak_q31 + int64_t{FineSigmoidQ31(z[0])} * candidate;
  unit.state = Ssat<31>(static_cast<int32_t>(cell >> 32));
  unit.state_low = static_cast<uint32_t>(cell);
  return Smmulr(FineSigmoidQ31(z[3]), FineTanhOfTwice(unit.state >> (cell_frac_bits - 24)));
}

}  // namespace

int32_t LstmGates(RecurrentLayerQ15& layer, int32_t x, int32_t head) {
  int16_t* hidden = layer.hidden;
  for (RecurrentLayerQ15::Unit* unit = layer.dot.units; unit < layer.dot.units_end; ++unit) {
    int32_t z[4];
    for (int gate = 0; gate < 4; ++gate) {
      z[gate] = Smmla(x, unit->input[gate], Smmla(unit->sum[gate], unit->scale[gate], unit->bias[gate]));
    }
    const int32_t state = (layer.fine() ? FineCell : CoarseCell)(*unit, z, layer.cell_frac_bits);
    *hidden++ = RoundState(*unit, layer.fine(), state);
    head = Smmlar(state, unit->head, head);
  }
  return head;
}

#endif

}  // namespace oddity
