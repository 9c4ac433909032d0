// The model that is compiled into the image, where one is: PEDAL_MODEL_HEADER=amp.h pio run ...
#pragma once

#include "engine/model_view.h"

namespace oddity {

const ModelView* BuiltInModel();  // nullptr: none

}  // namespace oddity
