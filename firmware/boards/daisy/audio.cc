#include "boards/daisy/audio.h"

#include <cstring>
#include <initializer_list>

#include "boards/daisy/cycle_counter.h"
#include "boards/daisy/dma.h"
#include "boards/daisy/interrupts.h"
#include "boards/daisy/pins.h"
#include "boards/daisy/registers.h"

namespace oddity {
namespace {

constexpr size_t kChannels = 2;
constexpr size_t kBufferWords = 2 * Audio::kMaxFrames * kChannels;
[[gnu::section(".dma")]] int32_t received[kBufferWords];
[[gnu::section(".dma")]] int32_t transmitted[kBufferWords];

Audio* playing = nullptr;  // whose interrupt it is

// Left-justified: the frame signal is high for the left slot and changes with the first bit; data change on the bit
// clock's fall. MCLK is 256 times the frame rate: 24.576 MHz by 2.
constexpr uint32_t kCr1 = SAI_CR1_DS_24_BITS | SAI_CR1_CKSTR | 2 << SAI_CR1_MCKDIV;
constexpr uint32_t kFrcr = (64 - 1) | (32 - 1) << SAI_FRCR_FSALL | SAI_FRCR_FSDEF | SAI_FRCR_FSPOL;
constexpr uint32_t kSlotr = SAI_SLOTR_SLOTSZ_32_BITS | (2 - 1) << SAI_SLOTR_NBSLOT | 3 << SAI_SLOTR_SLOTEN;

constexpr uint32_t kHalfOrFull = DMA_ISR_HTIF | DMA_ISR_TCIF;
constexpr uint32_t kStopTimeoutUs = 100;  // the SAI stops at the end of a frame, 21 us

void InitPins() {
  for (const Pin& pin : {kSaiMasterClockPin, kSaiFramePin, kSaiBitClockPin, kSaiDataAPin, kSaiDataBPin}) {
    pin.InitAlternate(kSaiFunction, Slew::kMedium);
  }
}

// Block A is the master and on the Seed 1.1 the receiver, else the transmitter.
bool MasterReceives(BoardRevision revision) { return revision == BoardRevision::kSeed1_1; }
SaiBlockRegisters& Transmitter(BoardRevision revision) { return MasterReceives(revision) ? SAI1->B : SAI1->A; }
SaiBlockRegisters& Receiver(BoardRevision revision) { return MasterReceives(revision) ? SAI1->A : SAI1->B; }

void InitBlock(SaiBlockRegisters& block, uint32_t mode_and_clock) {
  block.CR1 = kCr1 | mode_and_clock;
  block.CR2 = SAI_CR2_FTH_EMPTY;  // a word moves as soon as it can: the delay is two blocks and no more
  block.FRCR = kFrcr;
  block.SLOTR = kSlotr;
}

void InitSai(BoardRevision revision) {
  EnableClock(RCC->APB2ENR, RCC_APB2ENR_SAI1EN);
  const bool receives = MasterReceives(revision);
  InitBlock(SAI1->A, receives ? SAI_CR1_MODE_MASTER_RECEIVE : SAI_CR1_MODE_MASTER_TRANSMIT);
  InitBlock(SAI1->B,
            SAI_CR1_SYNCEN_OTHER_BLOCK | (receives ? SAI_CR1_MODE_SLAVE_TRANSMIT : SAI_CR1_MODE_SLAVE_RECEIVE));
  SetBits(SAI1->A.CR1, SAI_CR1_MCKEN);  // the codec has its master clock even while the SAI is off
}

}  // namespace

bool Audio::Init(Callback callback, size_t block_frames) {
  callback_ = callback;
  block_frames_ = block_frames;
  counts_ = {};
  muted_ = runs_ = false;
  position_ = place_ = 0;
  revision_ = FindBoardRevision();
  InitPins();
  InitSai(revision_);
  const bool answers = InitCodec(revision_);
  playing = this;
  Start();
  EnableInterrupt(kAudioInterrupt, kAudioPriority);
  return answers;
}

void Audio::SetBlock(size_t block_frames) {
  if (block_frames == block_frames_) return;
  const uint32_t mask = MaskAudioInterrupt();
  Stop();
  block_frames_ = block_frames;
  Start();
  RestoreInterruptMask(mask);
}

// The streams before the SAI, a word in the transmitter's FIFO, the slave before the master.
void Audio::Start() {
  std::memset(transmitted, 0, sizeof transmitted);
  Mute(muted_);
  const bool receives = MasterReceives(revision_);
  const uint32_t words = 2 * block_frames_ * kChannels;
  for (SaiBlockRegisters* block : {&SAI1->A, &SAI1->B}) {
    block->CLRFR = SAI_CLRFR_ALL;
    SetBits(block->CR2, SAI_CR2_FFLUSH);
  }
  kAudioTransmitDma.Start(receives ? DMAMUX_REQUEST_SAI1_B : DMAMUX_REQUEST_SAI1_A,
                          DMA_CR_DIR_TO_PERIPHERAL | DMA_CR_SIZE_32 | DMA_CR_PL_VERY_HIGH, &Transmitter(revision_).DR,
                          transmitted, words);
  kAudioReceiveDma.Start(
      receives ? DMAMUX_REQUEST_SAI1_A : DMAMUX_REQUEST_SAI1_B,
      DMA_CR_DIR_FROM_PERIPHERAL | DMA_CR_SIZE_32 | DMA_CR_PL_VERY_HIGH | DMA_CR_HTIE | DMA_CR_TCIE | DMA_CR_TEIE,
      &Receiver(revision_).DR, received, words);
  runs_ = true;
  SetBits(SAI1->A.CR1, SAI_CR1_DMAEN);
  SetBits(SAI1->B.CR1, SAI_CR1_DMAEN);
  WaitMicroseconds(kStopTimeoutUs, [this] { return Transmitter(revision_).SR >> SAI_SR_FLVL & 7; });
  SetBits(SAI1->B.CR1, SAI_CR1_SAIEN);
  SetBits(SAI1->A.CR1, SAI_CR1_SAIEN);
}

// Of two blocks that work in step the master is disabled first (section 51.3.16).
void Audio::Stop() {
  Position();
  runs_ = false;
  place_ = 0;
  SetBits(Transmitter(revision_).CR2, SAI_CR2_MUTE);
  DelayMicroseconds(kStopTimeoutUs);
  for (SaiBlockRegisters* block : {&SAI1->A, &SAI1->B}) {
    ClearBits(block->CR1, SAI_CR1_SAIEN);
    WaitMicroseconds(kStopTimeoutUs, [block] { return !(block->CR1 & SAI_CR1_SAIEN); });
  }
  ClearBits(SAI1->A.CR1, SAI_CR1_DMAEN);
  ClearBits(SAI1->B.CR1, SAI_CR1_DMAEN);
  kAudioTransmitDma.Stop();
  kAudioReceiveDma.Stop();
}

void Audio::Mute(bool mute) {
  muted_ = mute;
  SetField(Transmitter(revision_).CR2, SAI_CR2_MUTE, mute ? SAI_CR2_MUTE : 0);
}

bool Audio::Late() const { return kAudioReceiveDma.Flags() & kHalfOrFull; }

// By where the DMA is and not by the blocks that were played: it holds when those are late.
uint32_t Audio::Position() {
  const uint32_t mask = MaskUsbInterrupt();
  if (runs_) {
    const uint32_t frames = 2 * block_frames_;
    const uint32_t place = (frames - kAudioReceiveDma.Remaining() / kChannels) % frames;
    position_ += (place + frames - place_) % frames;
    place_ = place;
  }
  const uint32_t position = position_;
  RestoreInterruptMask(mask);
  return position;
}

Audio::Counts Audio::counts() const {
  const uint32_t mask = MaskAudioInterrupt();
  const Counts counts = counts_;
  RestoreInterruptMask(mask);
  return counts;
}

void Audio::ClearCounts() {
  const uint32_t mask = MaskAudioInterrupt();
  counts_ = {};
  RestoreInterruptMask(mask);
}

void Audio::HandleInterrupt() {
  const uint32_t flags = kAudioReceiveDma.Flags();
  kAudioReceiveDma.ClearFlags(flags);
  const bool slipped = (SAI1->A.SR | SAI1->B.SR) & SAI_SR_OVRUDR;
  if (slipped || flags & DMA_ISR_TEIF || kAudioTransmitDma.Flags() & DMA_ISR_TEIF) {
    ++counts_.errors;
    Stop();
    Start();
    return;
  }
  if (!(flags & kHalfOrFull)) return;  // SetBlock() stopped the stream of which this interrupt was
  if ((flags & kHalfOrFull) == kHalfOrFull) ++counts_.missed;  // the one before it was never worked on
  const size_t half_words = block_frames_ * kChannels;
  const size_t ready = kAudioReceiveDma.Remaining() > half_words ? half_words : 0;  // the half that is not being filled
  callback_(received + ready, transmitted + ready, block_frames_);
  DataBarrier();
  ++counts_.blocks;
  if (Late()) ++counts_.missed;
}

}  // namespace oddity

extern "C" void AudioInterruptHandler() { oddity::playing->HandleInterrupt(); }
