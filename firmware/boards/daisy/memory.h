// Which memory is cached, which is not to be touched.
#pragma once

namespace oddity {

// Before the first access to SRAM1 to SRAM3, hence before startup clears ".d2" and ".dma"; uses no static object.
void InitMemory();

}  // namespace oddity
