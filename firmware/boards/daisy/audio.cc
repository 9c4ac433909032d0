extern "C" void AudioInterruptHandler() {}
