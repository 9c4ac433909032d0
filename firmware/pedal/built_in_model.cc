#include "pedal/built_in_model.h"

#if defined(PEDAL_MODEL_HEADER)
#include PEDAL_MODEL_HEADER
#endif

namespace oddity {

const ModelView* BuiltInModel() {
#if defined(PEDAL_MODEL_HEADER)
  return &kBuiltInModel;
#else
  return nullptr;
#endif
}

}  // namespace oddity
