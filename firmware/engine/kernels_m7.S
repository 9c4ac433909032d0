// Made by `python firmware/engine/generate_kernels.py`, which explains the kernels. Do not edit.
#if defined(__ARM_FEATURE_DSP)
.syntax unified
.thumb

// Dot products of the rows of two units a turn with all states.
    .section .text.DotQ15Rows4, "ax", %progbits
    .balign 8
    .global DotQ15Rows4
    .type DotQ15Rows4, %function
DotQ15Rows4:
    push {r4-r11, lr}
    ldmia r0, {r0-r4} @ weights, states, units, end, quads
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
    add r12, r12, #80
    ldr lr, [sp, #144]
    stmia r12, {r8-r11}
    add r12, r12, #80
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
    .size DotQ15Rows4, . - DotQ15Rows4

    .section .text.DotQ15Rows3, "ax", %progbits
    .balign 8
    .global DotQ15Rows3
    .type DotQ15Rows3, %function
DotQ15Rows3:
    push {r4-r11, lr}
    ldmia r0, {r0-r4} @ weights, states, units, end, quads
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
    add r12, r12, #80
    ldr lr, [sp, #144]
    stmia r12, {r7-r9}
    add r12, r12, #80
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
    .size DotQ15Rows3, . - DotQ15Rows3

// From the sums of two units a turn to their new states; one function a format of the cell state.
.macro LstmGates name, product_shift, tanh_shift
    .section .text.\name, "ax", %progbits
    .balign 8
    .global \name
    .type \name, %function
\name:
    push {r4-r11, lr}
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r4, [r0, #12]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    push {r4} @ the end
    mov r4, #0x80000000
    mov r5, #0x80000000
    .balign 8
    1:
    ldr r8, [r0, #40]
    ldr r9, [r0, #4]
    ldr r10, [r0, #8]
    ldr r11, [r0, #36]
    ldr r12, [r0, #0]
    ldr lr, [r0, #20]
    smmla lr, r9, r11, lr
    ldr r9, [r0, #56]
    ldr r11, [r0, #24]
    smmla r11, r10, r8, r11
    ldr r10, [r0, #48]
    ldr r8, [r0, #32]
    smmla r11, r2, r9, r11
    ldr r9, [r0, #16]
    smmla r9, r12, r8, r9
    ldr r12, [r0, #52]
    ssat r11, #26, r11
    smmla r9, r2, r10, r9
    asr r8, r11, #15
    smmla lr, r2, r12, lr
    ssat r9, #26, r9
    ldr r10, [r7, r8, lsl #2]
    bfi r5, r11, #0, #15
    asr r12, r9, #15
    bfi r4, r9, #0, #15
    ldr r8, [r6, r12, lsl #2]
    ssat lr, #26, lr
    smuad r11, r5, r10
    smuad r9, r4, r8
    asr r12, lr, #15
    ldr r10, [r6, r12, lsl #2]
    bfi r4, lr, #0, #15
    ldr r8, [r0, #64]
    smuad r12, r4, r10
    ldr lr, [r0, #12]
    smmulr r10, r9, r11
    ldr r9, [r0, #60]
    ldr r11, [r0, #44]
    asr r10, r10, #\product_shift
    smmlar r8, r8, r12, r10
    ldr r12, [r0, #28]
    ldr r10, [r0, #112]
    smmla r12, lr, r11, r12
    ldr lr, [r0, #80]
    smmla r12, r2, r9, r12
    ldr r11, [r0, #96]
    ssat r9, #30, r8
    smmla r11, lr, r10, r11
    ssat r12, #26, r12
    ldr r8, [r0, #128]
    ssat lr, #26, r9\tanh_shift
    ldr r10, [r0, #68]
    bfi r4, r12, #0, #15
    asr r12, r12, #15
    ldr r12, [r6, r12, lsl #2]
    smmla r11, r2, r8, r11
    bfi r5, lr, #0, #15
    asr r8, lr, #15
    smuad lr, r4, r12
    ldr r12, [r7, r8, lsl #2]
    lsl r8, r9, #2
    str r8, [r0, #64]
    smuad r9, r5, r12
    ldr r8, [r0, #88]
    ldr r12, [r0, #104]
    smmulr lr, lr, r9
    ldr r9, [r0, #120]
    ssat r11, #26, r11
    smmla r12, r8, r9, r12
    add r8, lr, #4096
    ldr r9, [r0, #136]
    asr r8, r8, #13
    smmlar r3, lr, r10, r3
    ldr lr, [r0, #116]
    ldr r10, [r0, #100]
    smmla r12, r2, r9, r12
    ldr r9, [r0, #84]
    strh r8, [r1], #2
    ldr r8, [r0, #132]
    smmla r10, r9, lr, r10
    asr r9, r11, #15
    ssat r12, #26, r12
    smmla r10, r2, r8, r10
    asr lr, r12, #15
    ldr r8, [r6, r9, lsl #2]
    ssat r10, #26, r10
    ldr r9, [r7, lr, lsl #2]
    bfi r5, r12, #0, #15
    asr lr, r10, #15
    bfi r4, r11, #0, #15
    smuad r12, r5, r9
    smuad r11, r4, r8
    ldr r9, [r0, #124]
    bfi r4, r10, #0, #15
    ldr r8, [r6, lr, lsl #2]
    smmulr r10, r11, r12
    ldr lr, [r0, #140]
    ldr r11, [r0, #144]
    smuad r12, r4, r8
    asr r8, r10, #\product_shift
    ldr r10, [r0, #92]
    smmlar r11, r11, r12, r8
    ldr r12, [r0, #108]
    smmla r12, r10, r9, r12
    ldr r8, [r0, #148]
    ssat r10, #30, r11
    smmla r12, r2, lr, r12
    lsl r9, r10, #2
    ldr r11, [sp]
    ssat lr, #26, r10\tanh_shift
    str r9, [r0, #144]
    add r0, r0, #160
    asr r10, lr, #15
    ssat r12, #26, r12
    ldr r9, [r7, r10, lsl #2]
    bfi r5, lr, #0, #15
    asr r10, r12, #15
    ldr lr, [r6, r10, lsl #2]
    smuad r10, r5, r9
    bfi r4, r12, #0, #15
    cmp r0, r11
    smuad r9, r4, lr
    smmulr r12, r9, r10
    add r11, r12, #4096
    smmlar r3, r12, r8, r3
    asr lr, r11, #13
    strh lr, [r1], #2
    bne 1b
    mov r0, r3
    add sp, sp, #4
    pop {r4-r11, pc}
    .size \name, . - \name
.endm
LstmGates LstmGatesQ15Cell24, 6, ""
LstmGates LstmGatesQ15Cell25, 5, ", asr #1"
LstmGates LstmGatesQ15Cell26, 4, ", asr #2"
LstmGates LstmGatesQ15Cell27, 3, ", asr #3"
LstmGates LstmGatesQ15Cell28, 2, ", asr #4"
.macro LstmFineGates name, candidate_shift, tanh_shift
    .section .text.\name, "ax", %progbits
    .balign 8
    .global \name
    .type \name, %function
\name:
    push {r4-r11, lr}
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r4, [r0, #12]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    push {r4} @ the end
    mov r4, #0x10000000
    mov r5, #0x40000000
    .balign 8
    1:
    ldr r7, [r0, #0]
    ldr r8, [r0, #36]
    ldr r9, [r0, #16]
    ldr r10, [r0, #4]
    ldr r11, [r0, #32]
    ldr r12, [r0, #48]
    smmla r9, r7, r11, r9
    ldr lr, [r0, #8]
    smmla r9, r2, r12, r9
    ldr r7, [r0, #40]
    ldr r11, [r0, #56]
    ldr r12, [r0, #24]
    smmla r12, lr, r7, r12
    smmla r12, r2, r11, r12
    ssat r9, #27, r9, lsl #1
    add lr, r9, #0x8000
    ssat r12, #27, r12, lsl #1
    add r7, r12, #0x8000
    asr r11, lr, #16
    add lr, r6, r11, lsl #3
    asr r11, r7, #16
    ldr r7, [lr, #4]
    add r11, r6, r11, lsl #3
    ldr lr, [lr]
    smlawb r7, r7, r9, lr
    ldr r9, [r11, #4]
    ldr lr, [r11]
    smlawb r11, r9, r12, lr
    ldr r9, [r0, #72]
    add r12, r4, r7, asr #3
    ldr lr, [r0, #52]
    ldr r7, [r0, #20]
    asr r11, r11, #\candidate_shift
    smmla r7, r10, r8, r7
    ldr r10, [r0, #64]
    smmla r7, r2, lr, r7
    lsl r8, r10, #1
    smlal r9, r10, r12, r11
    ssat r7, #27, r7, lsl #1
    add lr, r7, #0x8000
    asr r12, lr, #16
    add r11, r6, r12, lsl #3
    ldr lr, [r0, #12]
    ldr r12, [r11, #4]
    ldr r11, [r11]
    smlawb r12, r12, r7, r11
    ldr r7, [r0, #28]
    ldr r11, [r0, #44]
    smmla r7, lr, r11, r7
    rsb lr, r5, r12, asr #1
    ldr r11, [r0, #60]
    smlal r9, r10, r8, lr
    str r9, [r0, #72]
    ldr r12, [r0, #116]
    smmla r7, r2, r11, r7
    ldr r8, [r0, #88]
    ssat lr, #31, r10
    str lr, [r0, #64]
    ssat r7, #27, r7, lsl #1
    ssat r9, #27, lr\tanh_shift
    add r11, r7, #0x8000
    add r10, r9, #0x8000
    asr lr, r11, #16
    asr r11, r10, #16
    add r10, r6, lr, lsl #3
    add lr, r6, r11, lsl #3
    ldr r11, [r10, #4]
    ldr r10, [r10]
    smlawb r11, r11, r7, r10
    ldr r7, [lr, #4]
    ldr r10, [lr]
    smlawb lr, r7, r9, r10
    ldr r7, [r0, #80]
    ldr r9, [r0, #96]
    add r10, r4, r11, asr #3
    ldr r11, [r0, #112]
    smmulr r10, r10, lr
    ldr lr, [r0, #128]
    smmla r9, r7, r11, r9
    ldr r7, [r0, #76]
    smmla r9, r2, lr, r9
    ldr r11, [r0, #68]
    add lr, r10, r7
    ubfx r7, lr, #0, #13
    smmlar r3, r10, r11, r3
    ssat r9, #27, r9, lsl #1
    str r7, [r0, #76]
    add r10, r9, #0x8000
    asr r11, r10, #16
    add r7, r6, r11, lsl #3
    ssat r10, #16, lr, asr #13
    strh r10, [r1], #2
    ldr r11, [r0, #120]
    ldr lr, [r0, #104]
    smmla lr, r8, r11, lr
    ldr r10, [r0, #136]
    ldr r8, [r7, #4]
    smmla lr, r2, r10, lr
    ldr r11, [r7]
    smlawb r10, r8, r9, r11
    ldr r7, [r0, #100]
    ldr r8, [r0, #152]
    ssat lr, #27, lr, lsl #1
    add r9, lr, #0x8000
    add r11, r4, r10, asr #3
    ldr r10, [r0, #84]
    asr r9, r9, #16
    add r9, r6, r9, lsl #3
    smmla r7, r10, r12, r7
    ldr r10, [r0, #132]
    ldr r12, [r9, #4]
    smmla r7, r2, r10, r7
    ldr r10, [r0, #144]
    ldr r9, [r9]
    smlawb r12, r12, lr, r9
    lsl lr, r10, #1
    ssat r7, #27, r7, lsl #1
    add r9, r7, #0x8000
    asr r12, r12, #\candidate_shift
    asr r9, r9, #16
    smlal r8, r10, r11, r12
    add r11, r6, r9, lsl #3
    ldr r12, [r0, #92]
    ldr r9, [r11]
    ldr r11, [r11, #4]
    smlawb r11, r11, r7, r9
    ldr r7, [r0, #124]
    ldr r9, [r0, #108]
    smmla r9, r12, r7, r9
    rsb r12, r5, r11, asr #1
    ldr r7, [r0, #140]
    smlal r8, r10, lr, r12
    smmla r9, r2, r7, r9
    ldr r11, [r0, #156]
    ssat lr, #31, r10
    str r8, [r0, #152]
    ldr r12, [r0, #148]
    str lr, [r0, #144]
    ssat r9, #27, r9, lsl #1
    add r7, r9, #0x8000
    asr r10, r7, #16
    ssat r8, #27, lr\tanh_shift
    add r7, r8, #0x8000
    add lr, r6, r10, lsl #3
    asr r10, r7, #16
    ldr r7, [lr, #4]
    add r10, r6, r10, lsl #3
    ldr lr, [lr]
    smlawb r7, r7, r9, lr
    ldr r9, [r10, #4]
    ldr lr, [r10]
    smlawb r10, r9, r8, lr
    ldr r9, [sp]
    add r8, r4, r7, asr #3
    smmulr lr, r8, r10
    add r7, lr, r11
    smmlar r3, lr, r12, r3
    ubfx r8, r7, #0, #13
    str r8, [r0, #156]
    add r0, r0, #160
    cmp r0, r9
    ssat r10, #16, r7, asr #13
    strh r10, [r1], #2
    bne 1b
    mov r0, r3
    add sp, sp, #4
    pop {r4-r11, pc}
    .size \name, . - \name
.endm
LstmFineGates LstmFineGatesQ15Cell24, 5, ""
LstmFineGates LstmFineGatesQ15Cell25, 4, ", asr #1"
LstmFineGates LstmFineGatesQ15Cell26, 3, ", asr #2"
LstmFineGates LstmFineGatesQ15Cell27, 2, ", asr #3"
LstmFineGates LstmFineGatesQ15Cell28, 1, ", asr #4"

    .section .text.GruGatesQ15, "ax", %progbits
    .balign 8
    .global GruGatesQ15
    .type GruGatesQ15, %function
GruGatesQ15:
    push {r4-r11, lr}
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r4, [r0, #12]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    push {r4} @ the end
    mov r4, #0x80000000
    mov r5, #0x80000000
    .balign 8
    1:
    ldr r8, [r0, #32]
    ldr r9, [r0, #52]
    ldr r10, [r0, #16]
    ldr r11, [r0, #36]
    ldr r12, [r0, #0]
    ldr lr, [r0, #4]
    smmla r10, r12, r8, r10
    ldr r12, [r0, #48]
    ldr r8, [r0, #20]
    smmla r10, r2, r12, r10
    ldr r12, [r0, #40]
    smmla r8, lr, r11, r8
    ldr lr, [r0, #8]
    smmla r8, r2, r9, r8
    ldr r11, [r0, #60]
    ssat r10, #26, r10
    ldr r9, [r0, #24]
    ssat r8, #26, r8
    smmla r9, lr, r12, r9
    asr lr, r8, #15
    asr r12, r10, #15
    ldr r12, [r6, r12, lsl #2]
    bfi r4, r10, #0, #15
    ldr r10, [r6, lr, lsl #2]
    smuad lr, r4, r12
    ldr r12, [r0, #28]
    bfi r4, r8, #0, #15
    ldr r8, [r0, #80]
    smuad r10, r4, r10
    smmulr lr, lr, r9
    ldr r9, [r0, #128]
    smmla r12, r2, r11, r12
    ldr r11, [r0, #96]
    add r12, r12, lr, lsl #2
    ldr lr, [r0, #112]
    ssat r12, #26, r12
    smmla r11, r8, lr, r11
    ldr r8, [r0, #88]
    smmla r11, r2, r9, r11
    ldr lr, [r0, #104]
    bfi r5, r12, #0, #15
    ldr r9, [r0, #120]
    ssat r11, #26, r11
    asr r12, r12, #15
    ldr r12, [r7, r12, lsl #2]
    smmla lr, r8, r9, lr
    asr r8, r11, #15
    ldr r9, [r0, #64]
    smuad r12, r5, r12
    ldr r8, [r6, r8, lsl #2]
    bfi r4, r11, #0, #15
    ldr r11, [r0, #140]
    smuad r8, r4, r8
    sub r9, r9, r12
    smmulr r10, r10, r9
    ldr r9, [r0, #84]
    smmulr r8, r8, lr
    ldr lr, [r0, #108]
    smmla lr, r2, r11, lr
    ldr r11, [r0, #100]
    add r12, r12, r10, lsl #2
    ldr r10, [r0, #116]
    add lr, lr, r8, lsl #2
    ldr r8, [r0, #132]
    smmla r11, r9, r10, r11
    asr r9, r12, #2
    smmla r11, r2, r8, r11
    ldr r10, [r0, #68]
    ssat r8, #26, lr
    str r12, [r0, #64]
    ssat r11, #26, r11
    asr lr, r8, #15
    ldr lr, [r7, lr, lsl #2]
    add r12, r12, #16384
    bfi r5, r8, #0, #15
    asr r8, r11, #15
    bfi r4, r11, #0, #15
    smuad r11, r5, lr
    ldr lr, [r6, r8, lsl #2]
    asr r8, r12, #15
    strh r8, [r1], #2
    ldr r12, [r0, #144]
    smuad r8, r4, lr
    sub lr, r12, r11
    smmlar r3, r9, r10, r3
    ldr r12, [r0, #148]
    smmulr r9, r8, lr
    ldr r10, [sp]
    add r8, r11, r9, lsl #2
    str r8, [r0, #144]
    add r0, r0, #160
    add lr, r8, #16384
    asr r11, r8, #2
    asr r9, lr, #15
    strh r9, [r1], #2
    cmp r0, r10
    smmlar r3, r11, r12, r3
    bne 1b
    mov r0, r3
    add sp, sp, #4
    pop {r4-r11, pc}
    .size GruGatesQ15, . - GruGatesQ15

    .section .text.GruFineGatesQ15, "ax", %progbits
    .balign 8
    .global GruFineGatesQ15
    .type GruFineGatesQ15, %function
GruFineGatesQ15:
    push {r4-r11, lr}
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r4, [r0, #12]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    push {r4} @ the end
    mov r4, #0x10000000
    mov r5, #0x40000000
    .balign 8
    1:
    ldr r7, [r0, #16]
    ldr r8, [r0, #52]
    ldr r9, [r0, #48]
    ldr r10, [r0, #28]
    ldr r11, [r0, #32]
    ldr r12, [r0, #4]
    ldr lr, [r0, #0]
    smmla r7, lr, r11, r7
    ldr lr, [r0, #40]
    smmla r7, r2, r9, r7
    ldr r11, [r0, #24]
    ldr r9, [r0, #8]
    ssat r7, #27, r7, lsl #1
    smmla r11, r9, lr, r11
    add r9, r7, #0x8000
    ldr lr, [r0, #60]
    asr r9, r9, #16
    add r9, r6, r9, lsl #3
    smmla r10, r2, lr, r10
    ldr lr, [r9, #4]
    ldr r9, [r9]
    smlawb lr, lr, r7, r9
    ldr r7, [r0, #112]
    add r9, r5, lr, asr #1
    ldr lr, [r0, #36]
    smmulr r9, r9, r11
    ldr r11, [r0, #20]
    smmla r11, r12, lr, r11
    ldr r12, [r0, #96]
    smmla r11, r2, r8, r11
    ldr lr, [r0, #80]
    add r8, r10, r9, lsl #1
    ldr r10, [r0, #128]
    smmla r12, lr, r7, r12
    ldr r9, [r0, #120]
    smmla r12, r2, r10, r12
    ldr lr, [r0, #104]
    ssat r7, #27, r8, lsl #1
    ldr r10, [r0, #88]
    ssat r11, #27, r11, lsl #1
    add r8, r7, #0x8000
    ssat r12, #27, r12, lsl #1
    smmla lr, r10, r9, lr
    asr r10, r8, #16
    add r9, r11, #0x8000
    add r8, r6, r10, lsl #3
    asr r10, r9, #16
    add r9, r6, r10, lsl #3
    ldr r10, [r8, #4]
    ldr r8, [r8]
    smlawb r10, r10, r7, r8
    add r7, r12, #0x8000
    asr r8, r7, #16
    ldr r7, [r9]
    add r8, r6, r8, lsl #3
    ldr r9, [r9, #4]
    asr r10, r10, #1
    smlawb r9, r9, r11, r7
    ldr r11, [r8, #4]
    ldr r7, [r0, #64]
    ldr r8, [r8]
    smlawb r11, r11, r12, r8
    ldr r12, [r0, #140]
    add r8, r5, r9, asr #1
    sub r9, r7, r10
    ldr r7, [r0, #76]
    add r11, r5, r11, asr #1
    smmulr r8, r8, r9
    smmulr r9, r11, lr
    ldr r11, [r0, #108]
    smmla r11, r2, r12, r11
    ldr lr, [r0, #116]
    add r12, r10, r8, lsl #1
    ldr r10, [r0, #100]
    add r8, r11, r9, lsl #1
    ldr r11, [r0, #84]
    add r9, r12, r7
    ldr r7, [r0, #68]
    smmla r10, r11, lr, r10
    ldr r11, [r0, #132]
    ssat lr, #27, r8, lsl #1
    str r12, [r0, #64]
    ssat r8, #16, r9, asr #15
    strh r8, [r1], #2
    smmla r10, r2, r11, r10
    asr r8, r12, #2
    smmlar r3, r8, r7, r3
    add r11, lr, #0x8000
    ubfx r12, r9, #0, #15
    str r12, [r0, #76]
    ssat r10, #27, r10, lsl #1
    ldr r8, [r0, #144]
    add r7, r10, #0x8000
    asr r9, r11, #16
    asr r12, r7, #16
    ldr r11, [r0, #156]
    add r7, r6, r12, lsl #3
    add r12, r6, r9, lsl #3
    ldr r9, [r12]
    ldr r12, [r12, #4]
    smlawb r12, r12, lr, r9
    ldr lr, [r7, #4]
    ldr r9, [r7]
    smlawb r7, lr, r10, r9
    asr lr, r12, #1
    sub r10, r8, lr
    ldr r9, [r0, #148]
    ldr r12, [sp]
    add r8, r5, r7, asr #1
    smmulr r7, r8, r10
    add r8, lr, r7, lsl #1
    str r8, [r0, #144]
    add r10, r8, r11
    asr lr, r8, #2
    ubfx r7, r10, #0, #15
    str r7, [r0, #156]
    add r0, r0, #160
    smmlar r3, lr, r9, r3
    ssat r11, #16, r10, asr #15
    strh r11, [r1], #2
    cmp r0, r12
    bne 1b
    mov r0, r3
    add sp, sp, #4
    pop {r4-r11, pc}
    .size GruFineGatesQ15, . - GruFineGatesQ15

    .section .text.GruStackedGatesQ15, "ax", %progbits
    .balign 8
    .global GruStackedGatesQ15
    .type GruStackedGatesQ15, %function
GruStackedGatesQ15:
    push {r4-r11, lr}
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r4, [r0, #12]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    push {r4} @ the end
    mov r4, #0x80000000
    mov r5, #0x80000000
    .balign 8
    1:
    ldr r8, [r0, #0]
    ldr r9, [r0, #36]
    ldr r10, [r0, #48]
    ldr r11, [r0, #4]
    ldr r12, [r0, #16]
    ldr lr, [r0, #20]
    smmla lr, r11, r9, lr
    ldr r11, [r0, #32]
    ldr r9, [r0, #52]
    smmla r12, r8, r11, r12
    ldr r8, [r0, #40]
    smmla r12, r2, r10, r12
    ldr r11, [r0, #24]
    smmla lr, r2, r9, lr
    ldr r10, [r0, #12]
    ssat r12, #26, r12
    ldr r9, [r0, #8]
    ssat lr, #26, lr
    bfi r4, r12, #0, #15
    asr r12, r12, #15
    ldr r12, [r6, r12, lsl #2]
    smmla r11, r9, r8, r11
    asr r9, lr, #15
    ldr r8, [r0, #44]
    smuad r12, r4, r12
    ldr r9, [r6, r9, lsl #2]
    bfi r4, lr, #0, #15
    ldr lr, [r0, #28]
    smuad r9, r4, r9
    smmulr r12, r12, r11
    ldr r11, [r0, #112]
    smmla lr, r10, r8, lr
    ldr r10, [r0, #96]
    ldr r8, [r0, #80]
    add lr, lr, r12, lsl #2
    ldr r12, [r0, #128]
    ssat lr, #26, lr
    smmla r10, r8, r11, r10
    smmla r10, r2, r12, r10
    asr r8, lr, #15
    ldr r11, [r7, r8, lsl #2]
    bfi r5, lr, #0, #15
    ldr r12, [r0, #64]
    ssat r10, #26, r10
    smuad r8, r5, r11
    asr lr, r10, #15
    ldr r11, [r0, #88]
    bfi r4, r10, #0, #15
    ldr r10, [r0, #120]
    ldr lr, [r6, lr, lsl #2]
    sub r12, r12, r8
    smmulr r9, r9, r12
    ldr r12, [r0, #104]
    smmla r12, r11, r10, r12
    ldr r11, [r0, #124]
    ldr r10, [r0, #108]
    smuad lr, r4, lr
    add r8, r8, r9, lsl #2
    ldr r9, [r0, #92]
    smmulr lr, lr, r12
    ldr r12, [r0, #68]
    smmla r10, r9, r11, r10
    add r9, r8, #16384
    asr r11, r8, #2
    asr r9, r9, #15
    strh r9, [r1], #2
    add r9, r10, lr, lsl #2
    str r8, [r0, #64]
    ldr r10, [r0, #116]
    ldr lr, [r0, #84]
    smmlar r3, r11, r12, r3
    ldr r8, [r0, #132]
    ldr r11, [r0, #144]
    ldr r12, [r0, #100]
    smmla r12, lr, r10, r12
    ldr lr, [r0, #148]
    smmla r12, r2, r8, r12
    ldr r10, [sp]
    ssat r8, #26, r9
    ssat r12, #26, r12
    asr r9, r8, #15
    bfi r5, r8, #0, #15
    asr r8, r12, #15
    bfi r4, r12, #0, #15
    ldr r12, [r7, r9, lsl #2]
    ldr r9, [r6, r8, lsl #2]
    smuad r8, r5, r12
    smuad r12, r4, r9
    sub r9, r11, r8
    smmulr r11, r12, r9
    add r12, r8, r11, lsl #2
    str r12, [r0, #144]
    add r0, r0, #160
    asr r9, r12, #2
    smmlar r3, r9, lr, r3
    add r8, r12, #16384
    asr r11, r8, #15
    strh r11, [r1], #2
    cmp r0, r10
    bne 1b
    mov r0, r3
    add sp, sp, #4
    pop {r4-r11, pc}
    .size GruStackedGatesQ15, . - GruStackedGatesQ15

    .section .text.GruStackedFineGatesQ15, "ax", %progbits
    .balign 8
    .global GruStackedFineGatesQ15
    .type GruStackedFineGatesQ15, %function
GruStackedFineGatesQ15:
    push {r4-r11, lr}
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r4, [r0, #12]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    push {r4} @ the end
    mov r4, #0x10000000
    mov r5, #0x40000000
    .balign 8
    1:
    ldr r7, [r0, #0]
    ldr r8, [r0, #4]
    ldr r9, [r0, #16]
    ldr r10, [r0, #44]
    ldr r11, [r0, #32]
    ldr r12, [r0, #12]
    ldr lr, [r0, #48]
    smmla r9, r7, r11, r9
    ldr r7, [r0, #40]
    smmla r9, r2, lr, r9
    ldr r11, [r0, #8]
    ldr lr, [r0, #24]
    smmla lr, r11, r7, lr
    ldr r11, [r0, #36]
    ssat r9, #27, r9, lsl #1
    ldr r7, [r0, #20]
    smmla r7, r8, r11, r7
    add r8, r9, #0x8000
    asr r11, r8, #16
    ldr r8, [r0, #28]
    add r11, r6, r11, lsl #3
    smmla r8, r12, r10, r8
    ldr r12, [r0, #52]
    ldr r10, [r0, #64]
    smmla r7, r2, r12, r7
    ldr r12, [r11, #4]
    ldr r11, [r11]
    smlawb r12, r12, r9, r11
    ssat r7, #27, r7, lsl #1
    add r9, r7, #0x8000
    add r11, r5, r12, asr #1
    ldr r12, [r0, #80]
    smmulr r11, r11, lr
    ldr lr, [r0, #112]
    asr r9, r9, #16
    add r9, r6, r9, lsl #3
    add r8, r8, r11, lsl #1
    ldr r11, [r0, #96]
    smmla r11, r12, lr, r11
    ldr r12, [r9, #4]
    ssat lr, #27, r8, lsl #1
    ldr r8, [r9]
    add r9, lr, #0x8000
    smlawb r12, r12, r7, r8
    ldr r7, [r0, #128]
    asr r8, r9, #16
    add r9, r6, r8, lsl #3
    ldr r8, [r0, #76]
    smmla r11, r2, r7, r11
    add r7, r5, r12, asr #1
    ldr r12, [r9]
    ldr r9, [r9, #4]
    ssat r11, #27, r11, lsl #1
    smlawb r9, r9, lr, r12
    add lr, r11, #0x8000
    asr r12, lr, #16
    ldr lr, [r0, #68]
    add r12, r6, r12, lsl #3
    asr r9, r9, #1
    sub r10, r10, r9
    smmulr r7, r7, r10
    ldr r10, [r12, #4]
    ldr r12, [r12]
    smlawb r10, r10, r11, r12
    ldr r11, [r0, #120]
    ldr r12, [r0, #88]
    add r9, r9, r7, lsl #1
    ldr r7, [r0, #104]
    add r8, r9, r8
    smmla r7, r12, r11, r7
    ldr r12, [r0, #92]
    ldr r11, [r0, #124]
    add r10, r5, r10, asr #1
    smmulr r10, r10, r7
    ldr r7, [r0, #108]
    smmla r7, r12, r11, r7
    asr r12, r9, #2
    ssat r11, #16, r8, asr #15
    strh r11, [r1], #2
    add r11, r7, r10, lsl #1
    smmlar r3, r12, lr, r3
    ldr r7, [r0, #132]
    str r9, [r0, #64]
    ldr r10, [r0, #84]
    ldr r12, [r0, #100]
    ldr lr, [r0, #116]
    ssat r9, #27, r11, lsl #1
    smmla r12, r10, lr, r12
    add r11, r9, #0x8000
    smmla r12, r2, r7, r12
    asr r10, r11, #16
    ubfx lr, r8, #0, #15
    str lr, [r0, #76]
    add r7, r6, r10, lsl #3
    ldr r11, [r0, #144]
    ssat r12, #27, r12, lsl #1
    ldr r8, [r0, #156]
    add lr, r12, #0x8000
    ldr r10, [r7, #4]
    asr lr, lr, #16
    ldr r7, [r7]
    add lr, r6, lr, lsl #3
    smlawb r10, r10, r9, r7
    ldr r9, [r0, #148]
    ldr r7, [lr, #4]
    asr r10, r10, #1
    ldr lr, [lr]
    sub r11, r11, r10
    smlawb r7, r7, r12, lr
    ldr r12, [sp]
    add lr, r5, r7, asr #1
    smmulr r7, lr, r11
    add lr, r10, r7, lsl #1
    str lr, [r0, #144]
    add r11, lr, r8
    asr r10, lr, #2
    ubfx r7, r11, #0, #15
    smmlar r3, r10, r9, r3
    str r7, [r0, #156]
    add r0, r0, #160
    ssat r8, #16, r11, asr #15
    strh r8, [r1], #2
    cmp r0, r12
    bne 1b
    mov r0, r3
    add sp, sp, #4
    pop {r4-r11, pc}
    .size GruStackedFineGatesQ15, . - GruStackedFineGatesQ15
#endif
#if defined(__ELF__) && !defined(__arm__)
.section .note.GNU-stack, "", @progbits
#endif
