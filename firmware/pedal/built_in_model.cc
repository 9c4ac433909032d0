#include "pedal/built_in_model.h"

#if defined(PEDAL_BUILT_IN_MODELS)
#include PEDAL_BUILT_IN_MODELS
#endif

namespace oddity {

const ModelView* BuiltInModel(int index) {
#if defined(PEDAL_BUILT_IN_MODELS)
  constexpr int kCount = sizeof kBuiltInModels / sizeof *kBuiltInModels;
  if (index < kCount) return kBuiltInModels[index];
#endif
  (void)index;
  return nullptr;
}

}  // namespace oddity
