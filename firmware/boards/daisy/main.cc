// The Daisy Seed's image so far: engines and effect, linked for the STM32H750 without the board's drivers.
//
// It shows that the portable code builds and fits; it is not to be flashed, since neither clocks nor codec, controls or
// USB are set up yet.
#include "pedal/built_in_model.h"
#include "pedal/effect.h"

namespace {

[[gnu::section(".dtcm")]] oddity::Effect<oddity::Engine> effect;
int32_t block[48];

}  // namespace

int main() {
  effect.Init();
  if (const oddity::ModelView* model = oddity::BuiltInModel()) effect.ChangeModel(oddity::EngineKind::kFixed, model);
  effect.Settle();
  for (;;) effect.Process(block, block, 48);
}
