// The models that are compiled into the image, where some are: PEDAL_MODEL_HEADER=amp.h:other.h pio run ...
#pragma once

#include "engine/model_view.h"

namespace oddity {

const ModelView* BuiltInModel(int index);  // nullptr: there are not so many

}  // namespace oddity
