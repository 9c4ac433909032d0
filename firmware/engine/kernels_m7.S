// Made by `python firmware/engine/generate_kernels.py`, which explains the kernels. Do not edit.
#if defined(__ARM_FEATURE_DSP)
.syntax unified
.thumb

// Dot products of the rows of two units a turn with all hidden states.
    .section .text.LstmDotQ15, "ax", %progbits
    .balign 8
    .global LstmDotQ15
    .type LstmDotQ15, %function
LstmDotQ15:
    push {r4-r11, lr}
    ldr r4, [sp, #36] @ quads
    sub sp, sp, #156
    rsb r5, r4, #16 @ turns of the chain to skip
    ldr r6, [r1]
    str r6, [sp, #136]
    adr r7, 2f + 1 @ + 1: Thumb
    movs r6, #136
    mla r7, r5, r6, r7
    str r7, [sp, #140]
    movs r6, #64
    mul r7, r4, r6
    str r7, [sp, #144]
    mls r7, r5, r6, r0 @ the chain's offsets count from its first turn, skipped or not
    add r6, sp, r5, lsl #3
    @ the states go to the stack: SP is the one register left to point at them
    @ in steps of two turns, which may spill into the slots behind them
    1: ldmia r1!, {r8-r11}
    subs r4, r4, #2
    stmia r6!, {r8-r11}
    bgt 1b
    strd r2, r3, [sp, #128]
    ldr r1, [r0, #0]
    ldr r2, [r0, #4]
    ldr r3, [r0, #8]
    mov r0, r7
    mov.w r4, #0
    mov.w r5, #0
    mov.w r6, #0
    mov.w r7, #0
    mov.w r8, #0
    mov.w r9, #0
    mov.w r10, #0
    mov.w r11, #0
    ldr lr, [sp, #140]
    ldr r12, [sp, #136]
    bx lr
    .balign 8
    @ one turn is four states of every row; the entry depends on the hidden size. The last turn's load beyond the
    @ states gets the unit pointer, its loads beyond the weights the first words of the next rows
    2:
    .set .Lturn, 0
    .rept 16
    smlad r4, r1, r12, r4
    ldr.w r1, [r0, #4 * (16 * .Lturn + 3)]
    smlad r5, r2, r12, r5
    ldr.w r2, [r0, #4 * (16 * .Lturn + 4)]
    smlad r6, r3, r12, r6
    ldr.w r3, [r0, #4 * (16 * .Lturn + 5)]
    ldr.w lr, [sp, #8 * .Lturn + 4]
    smlad r7, r1, r12, r7
    ldr.w r1, [r0, #4 * (16 * .Lturn + 6)]
    smlad r8, r2, r12, r8
    ldr.w r2, [r0, #4 * (16 * .Lturn + 7)]
    smlad r9, r3, r12, r9
    ldr.w r3, [r0, #4 * (16 * .Lturn + 8)]
    smlad r10, r1, r12, r10
    ldr.w r1, [r0, #4 * (16 * .Lturn + 9)]
    smlad r11, r2, r12, r11
    ldr.w r2, [r0, #4 * (16 * .Lturn + 10)]
    smlad r4, r3, lr, r4
    ldr.w r3, [r0, #4 * (16 * .Lturn + 11)]
    smlad r5, r1, lr, r5
    ldr.w r1, [r0, #4 * (16 * .Lturn + 12)]
    smlad r6, r2, lr, r6
    ldr.w r2, [r0, #4 * (16 * .Lturn + 13)]
    ldr.w r12, [sp, #8 * .Lturn + 8]
    smlad r7, r3, lr, r7
    ldr.w r3, [r0, #4 * (16 * .Lturn + 14)]
    smlad r8, r1, lr, r8
    ldr.w r1, [r0, #4 * (16 * .Lturn + 16)]
    smlad r9, r2, lr, r9
    ldr.w r2, [r0, #4 * (16 * .Lturn + 15)]
    smlad r10, r3, lr, r10
    ldr.w r3, [r0, #4 * (16 * .Lturn + 18)]
    smlad r11, r2, lr, r11
    ldr.w r2, [r0, #4 * (16 * .Lturn + 17)]
    .set .Lturn, .Lturn + 1
    .endr
    stmia r12, {r4-r7}
    add r12, r12, #72
    ldr lr, [sp, #144]
    stmia r12, {r8-r11}
    add r12, r12, #72
    add r0, r0, lr
    ldr lr, [sp, #132]
    mov.w r4, #0
    cmp r12, lr
    str r12, [sp, #128]
    mov.w r5, #0
    mov.w r6, #0
    mov.w r7, #0
    mov.w r8, #0
    mov.w r9, #0
    mov.w r10, #0
    mov.w r11, #0
    beq 3f
    ldr lr, [sp, #140]
    ldr r12, [sp, #136]
    bx lr
    3: add sp, sp, #156
    pop {r4-r11, pc}
    .size LstmDotQ15, . - LstmDotQ15

    .section .text.GruDotQ15, "ax", %progbits
    .balign 8
    .global GruDotQ15
    .type GruDotQ15, %function
GruDotQ15:
    push {r4-r11, lr}
    ldr r4, [sp, #36] @ quads
    sub sp, sp, #156
    rsb r5, r4, #16 @ turns of the chain to skip
    ldr r6, [r1]
    str r6, [sp, #136]
    adr r7, 2f + 1 @ + 1: Thumb
    movs r6, #104
    mla r7, r5, r6, r7
    str r7, [sp, #140]
    movs r6, #48
    mul r7, r4, r6
    str r7, [sp, #144]
    mls r7, r5, r6, r0 @ the chain's offsets count from its first turn, skipped or not
    add r6, sp, r5, lsl #3
    @ the states go to the stack: SP is the one register left to point at them
    @ in steps of two turns, which may spill into the slots behind them
    1: ldmia r1!, {r8-r11}
    subs r4, r4, #2
    stmia r6!, {r8-r11}
    bgt 1b
    strd r2, r3, [sp, #128]
    ldr r1, [r0, #0]
    ldr r2, [r0, #4]
    ldr r3, [r0, #8]
    mov r0, r7
    mov.w r4, #0
    mov.w r5, #0
    mov.w r6, #0
    mov.w r7, #0
    mov.w r8, #0
    mov.w r9, #0
    ldr lr, [sp, #140]
    ldr r12, [sp, #136]
    bx lr
    .balign 8
    @ one turn is four states of every row; the entry depends on the hidden size. The last turn's load beyond the
    @ states gets the unit pointer, its loads beyond the weights the first words of the next rows
    2:
    .set .Lturn, 0
    .rept 16
    smlad r4, r1, r12, r4
    ldr.w r1, [r0, #4 * (12 * .Lturn + 3)]
    smlad r5, r2, r12, r5
    ldr.w r2, [r0, #4 * (12 * .Lturn + 4)]
    smlad r6, r3, r12, r6
    ldr.w r3, [r0, #4 * (12 * .Lturn + 5)]
    ldr.w lr, [sp, #8 * .Lturn + 4]
    smlad r7, r1, r12, r7
    ldr.w r1, [r0, #4 * (12 * .Lturn + 6)]
    smlad r8, r2, r12, r8
    ldr.w r2, [r0, #4 * (12 * .Lturn + 7)]
    smlad r9, r3, r12, r9
    ldr.w r3, [r0, #4 * (12 * .Lturn + 8)]
    smlad r4, r1, lr, r4
    ldr.w r1, [r0, #4 * (12 * .Lturn + 9)]
    smlad r5, r2, lr, r5
    ldr.w r2, [r0, #4 * (12 * .Lturn + 10)]
    smlad r6, r3, lr, r6
    ldr.w r3, [r0, #4 * (12 * .Lturn + 11)]
    ldr.w r12, [sp, #8 * .Lturn + 8]
    smlad r7, r1, lr, r7
    ldr.w r1, [r0, #4 * (12 * .Lturn + 12)]
    smlad r8, r2, lr, r8
    ldr.w r2, [r0, #4 * (12 * .Lturn + 13)]
    smlad r9, r3, lr, r9
    ldr.w r3, [r0, #4 * (12 * .Lturn + 14)]
    .set .Lturn, .Lturn + 1
    .endr
    stmia r12, {r4-r6}
    add r12, r12, #72
    ldr lr, [sp, #144]
    stmia r12, {r7-r9}
    add r12, r12, #72
    add r0, r0, lr
    ldr lr, [sp, #132]
    mov.w r4, #0
    cmp r12, lr
    str r12, [sp, #128]
    mov.w r5, #0
    mov.w r6, #0
    mov.w r7, #0
    mov.w r8, #0
    mov.w r9, #0
    beq 3f
    ldr lr, [sp, #140]
    ldr r12, [sp, #136]
    bx lr
    3: add sp, sp, #156
    pop {r4-r11, pc}
    .size GruDotQ15, . - GruDotQ15

// From the sums of two units a turn to their new states; one function a format of the cell state.
.macro lstm_gates name, product_shift, tanh_shift
    .section .text.\name, "ax", %progbits
    .balign 8
    .global \name
    .type \name, %function
\name:
    push {r4-r11, lr}
    ldrd r6, r7, [sp, #40]
    mov r4, #0x80000000
    mov r5, r4
    .balign 8
    1:
    ldr r8, [r0, #8]
    ldr r9, [r0, #4]
    ldr r10, [r0, #0]
    ldr r11, [r0, #36]
    ldr r12, [r0, #24]
    ldr lr, [r0, #20]
    smmla lr, r9, r11, lr
    ldr r9, [r0, #40]
    ldr r11, [r0, #32]
    smmla r12, r8, r9, r12
    ldr r8, [r0, #48]
    ldr r9, [r0, #16]
    smmla r9, r10, r11, r9
    ldr r10, [r0, #56]
    smmla r9, r2, r8, r9
    ldr r11, [r0, #52]
    smmla r12, r2, r10, r12
    ldr r8, [r0, #44]
    smmla lr, r2, r11, lr
    ldr r10, [r0, #12]
    ssat r12, #26, r12
    ldr r11, [r0, #28]
    ssat r9, #26, r9
    smmla r11, r10, r8, r11
    asr r10, r9, #15
    asr r8, r12, #15
    ldr r8, [r7, r8, lsl #2]
    bfi r4, r9, #0, #15
    ldr r9, [r6, r10, lsl #2]
    bfi r5, r12, #0, #15
    ldr r10, [r0, #64]
    ssat lr, #26, lr
    smuad r12, r4, r9
    asr r9, lr, #15
    smuad r8, r5, r8
    ldr r9, [r6, r9, lsl #2]
    bfi r4, lr, #0, #15
    smmulr lr, r12, r8
    smuad r12, r4, r9
    ldr r8, [r0, #60]
    asr r9, lr, #\product_shift
    ldr lr, [r0, #112]
    smmlar r10, r10, r12, r9
    ldr r12, [r0, #80]
    smmla r11, r2, r8, r11
    ldr r9, [r0, #96]
    ssat r8, #30, r10
    ldr r10, [r0, #72]
    ssat r11, #26, r11
    smmla r9, r12, lr, r9
    ssat r12, #26, r8\tanh_shift
    asr lr, r11, #15
    ldr lr, [r6, lr, lsl #2]
    lsl r8, r8, #2
    bfi r5, r12, #0, #15
    asr r12, r12, #15
    ldr r12, [r7, r12, lsl #2]
    str r8, [r0, #64]
    bfi r4, r11, #0, #15
    ldr r8, [r0, #104]
    smuad r11, r5, r12
    ldr r12, [r0, #88]
    smuad lr, r4, lr
    smmla r12, r10, r8, r12
    ldr r10, [r0, #128]
    ldr r8, [r0, #120]
    smmulr lr, lr, r11
    ldr r11, [r0, #92]
    smmla r9, r2, r10, r9
    ldr r10, [r0, #76]
    smmla r12, r2, r8, r12
    ldr r8, [r0, #108]
    ssat r12, #26, r12
    smmla r11, r10, r8, r11
    ldr r10, [r0, #124]
    ssat r9, #26, r9
    asr r8, r12, #15
    smmla r11, r2, r10, r11
    asr r10, r9, #15
    bfi r4, r12, #0, #15
    ldr r12, [r7, r10, lsl #2]
    bfi r5, r9, #0, #15
    ldr r10, [r6, r8, lsl #2]
    ssat r11, #26, r11
    add r9, lr, #4096
    asr r8, r11, #15
    smuad r10, r4, r10
    bfi r4, r11, #0, #15
    ldr r11, [r0, #68]
    ldr r8, [r6, r8, lsl #2]
    smuad r12, r5, r12
    asr r9, r9, #13
    smmlar r3, lr, r11, r3
    ldr lr, [r0, #116]
    ldr r11, [r0, #136]
    smmulr r10, r10, r12
    ldr r12, [r0, #84]
    smuad r8, r4, r8
    asr r10, r10, #\product_shift
    strh r9, [r1], #2
    smmlar r9, r11, r8, r10
    ldr r11, [r0, #132]
    ldr r8, [r0, #100]
    ssat r10, #30, r9
    smmla r8, r12, lr, r8
    smmla r8, r2, r11, r8
    ldr r9, [sp, #36]
    ssat r12, #26, r10\tanh_shift
    lsl lr, r10, #2
    ssat r8, #26, r8
    asr r11, r12, #15
    asr r10, r8, #15
    ldr r11, [r7, r11, lsl #2]
    bfi r4, r8, #0, #15
    ldr r8, [r6, r10, lsl #2]
    bfi r5, r12, #0, #15
    str lr, [r0, #136]
    smuad r10, r4, r8
    ldr r12, [r0, #140]
    add r0, r0, #144
    smuad lr, r5, r11
    cmp r0, r9
    smmulr r8, r10, lr
    add r11, r8, #4096
    smmlar r3, r8, r12, r3
    asr r9, r11, #13
    strh r9, [r1], #2
    bne 1b
    mov r0, r3
    pop {r4-r11, pc}
    .size \name, . - \name
.endm
lstm_gates LstmGatesQ15Cell24, 6, ""
lstm_gates LstmGatesQ15Cell25, 5, ", asr #1"
lstm_gates LstmGatesQ15Cell26, 4, ", asr #2"
lstm_gates LstmGatesQ15Cell27, 3, ", asr #3"
lstm_gates LstmGatesQ15Cell28, 2, ", asr #4"

    .section .text.GruGatesQ15, "ax", %progbits
    .balign 8
    .global GruGatesQ15
    .type GruGatesQ15, %function
GruGatesQ15:
    push {r4-r11, lr}
    ldrd r6, r7, [sp, #40]
    mov r4, #0x80000000
    mov r5, r4
    .balign 8
    1:
    ldr r8, [r0, #16]
    ldr r9, [r0, #36]
    ldr r10, [r0, #32]
    ldr r11, [r0, #4]
    ldr r12, [r0, #0]
    ldr lr, [r0, #52]
    smmla r8, r12, r10, r8
    ldr r12, [r0, #48]
    ldr r10, [r0, #20]
    smmla r8, r2, r12, r8
    ldr r12, [r0, #40]
    smmla r10, r11, r9, r10
    ldr r11, [r0, #8]
    ssat r8, #26, r8
    smmla r10, r2, lr, r10
    asr r9, r8, #15
    ldr lr, [r0, #28]
    ssat r10, #26, r10
    smmla lr, r11, r12, lr
    asr r11, r10, #15
    ldr r12, [r6, r9, lsl #2]
    bfi r4, r8, #0, #15
    ldr r9, [r0, #56]
    smuad r8, r4, r12
    ldr r12, [r6, r11, lsl #2]
    bfi r4, r10, #0, #15
    ldr r11, [r0, #104]
    smuad r10, r4, r12
    ldr r12, [r0, #72]
    smmulr r8, r8, lr
    ldr lr, [r0, #24]
    smmla lr, r2, r9, lr
    ldr r9, [r0, #88]
    smmla r9, r12, r11, r9
    ldr r12, [r0, #120]
    add r11, lr, r8, lsl #2
    ldr lr, [r0, #80]
    ssat r8, #26, r11
    smmla r9, r2, r12, r9
    asr r11, r8, #15
    ldr r12, [r0, #112]
    ssat r9, #26, r9
    ldr r11, [r7, r11, lsl #2]
    bfi r5, r8, #0, #15
    asr r8, r9, #15
    smuad r11, r5, r11
    ldr r8, [r6, r8, lsl #2]
    bfi r4, r9, #0, #15
    ldr r9, [r0, #64]
    sub r9, r9, r11
    smuad r8, r4, r8
    smmulr r10, r10, r9
    ldr r9, [r0, #100]
    smmla r9, lr, r12, r9
    ldr lr, [r0, #128]
    ldr r12, [r0, #108]
    smmulr r8, r8, r9
    add r9, r11, r10, lsl #2
    ldr r11, [r0, #92]
    ldr r10, [r0, #96]
    smmla r10, r2, lr, r10
    ldr lr, [r0, #76]
    str r9, [r0, #64]
    smmla r11, lr, r12, r11
    ldr lr, [r0, #124]
    ldr r12, [r0, #68]
    add r10, r10, r8, lsl #2
    asr r8, r9, #2
    smmla r11, r2, lr, r11
    add lr, r9, #16384
    smmlar r3, r8, r12, r3
    asr r9, lr, #15
    strh r9, [r1], #2
    ssat r8, #26, r10
    ldr r12, [r0, #136]
    ssat r11, #26, r11
    asr lr, r8, #15
    asr r9, r11, #15
    ldr r10, [r7, lr, lsl #2]
    bfi r5, r8, #0, #15
    ldr lr, [r6, r9, lsl #2]
    smuad r8, r5, r10
    ldr r9, [sp, #36]
    bfi r4, r11, #0, #15
    ldr r10, [r0, #140]
    smuad r11, r4, lr
    sub lr, r12, r8
    smmulr r12, r11, lr
    add r11, r8, r12, lsl #2
    str r11, [r0, #136]
    add r0, r0, #144
    add lr, r11, #16384
    asr r8, r11, #2
    cmp r0, r9
    smmlar r3, r8, r10, r3
    asr r12, lr, #15
    strh r12, [r1], #2
    bne 1b
    mov r0, r3
    pop {r4-r11, pc}
    .size GruGatesQ15, . - GruGatesQ15
#endif
#if defined(__ELF__) && !defined(__arm__)
.section .note.GNU-stack, "", @progbits
#endif
