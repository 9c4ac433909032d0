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
    add r12, r12, #88
    ldr lr, [sp, #144]
    stmia r12, {r8-r11}
    add r12, r12, #88
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
    add r12, r12, #88
    ldr lr, [sp, #144]
    stmia r12, {r7-r9}
    add r12, r12, #88
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

// Four outputs a turn of the outer loop, two times four taps a turn of the inner one.
    .section .text.FirQ15, "ax", %progbits
    .balign 8
    .global FirQ15
    .type FirQ15, %function
FirQ15:
    ldr r12, [sp]
    push {r4-r11, lr}
    sub sp, sp, #20
    lsrs r1, r1, #2
    strd r0, r1, [sp, #0]
    strd r2, r12, [sp, #8]
    1:
    ldrd r0, r2, [sp, #0]
    ldr r1, [sp, #8]
    mov.w r4, #0
    mov.w r5, #0
    mov.w r6, #0
    mov.w r7, #0
    ldr r12, [r0]
    tst r2, #1
    bne 4f
    ldr r8, [r1]
    ldr r9, [r1, #4]
    ldr r11, [r1, #8]
    pkhbt r10, r9, r8
    .balign 8
    2:
    smlad r4, r8, r12, r4
    ldr lr, [r0, #4]
    smladx r5, r10, r12, r5
    pkhbt r8, r11, r9 @ now what straddles the next two words
    smlad r6, r9, r12, r6
    ldr r10, [r1, #12]
    smladx r7, r8, r12, r7
    subs r2, r2, #2
    smlad r4, r9, lr, r4
    ldr r12, [r0, #8]
    smladx r5, r8, lr, r5
    pkhbt r9, r10, r11
    smlad r6, r11, lr, r6
    ldr r8, [r1, #16]
    smladx r7, r9, lr, r7
    3:
    smlad r4, r11, r12, r4
    ldr lr, [r0, #12]
    smladx r5, r9, r12, r5
    pkhbt r11, r8, r10 @ now what straddles the next two words
    smlad r6, r10, r12, r6
    ldr r9, [r1, #20]
    smladx r7, r11, r12, r7
    add r1, r1, #16
    smlad r4, r10, lr, r4
    ldr r12, [r0, #16]!
    smladx r5, r11, lr, r5
    pkhbt r10, r9, r8
    smlad r6, r8, lr, r6
    ldr r11, [r1, #8]
    smladx r7, r10, lr, r7
    bne 2b
    stmia r3!, {r4-r7}
    ldrd r1, r2, [sp, #8]
    adds r1, r1, #8
    subs r2, r2, #4
    strd r1, r2, [sp, #8]
    bgt 1b
    add sp, sp, #20
    pop {r4-r11, pc}
    @ an odd number of turns: begin with the second, whose offsets count from a turn before
    4:
    ldr r11, [r1]
    ldr r10, [r1, #4]
    ldr r8, [r1, #8]
    pkhbt r9, r10, r11
    subs r0, r0, #8
    subs r1, r1, #8
    subs r2, r2, #1
    b 3b
    .size FirQ15, . - FirQ15

// From the sums of two units a turn to their new states; one function a format of the cell state.
.macro LstmGates name, candidate_shift, tanh_shift
    .section .text.\name, "ax", %progbits
    .balign 8
    .global \name
    .type \name, %function
\name:
    ldr r3, [r0, #12]
    push {r3-r11, lr} @ the end of the units on top
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    .balign 8
    1:
    ldr r4, [r0, #16]
    ldr r5, [r0, #4]
    ldr r8, [r0, #32]
    ldr r9, [r0, #20]
    ldr r10, [r0, #8]
    ldr r11, [r0, #36]
    ldr r12, [r0, #40]
    ldr lr, [r0, #52]
    smmla r9, r5, r11, r9
    ldr r5, [r0, #56]
    ldr r11, [r0, #24]
    smmla r9, r2, lr, r9
    ldr lr, [r0, #0]
    smmla r11, r10, r12, r11
    ldr r10, [r0, #48]
    smmla r11, r2, r5, r11
    smmla r4, lr, r8, r4
    ldr r12, [r0, #64]
    ssat r11, #26, r11
    smmla r4, r2, r10, r4
    ssat r9, #26, r9
    asr r5, r11, #15
    ssat r4, #26, r4
    ldr lr, [r7, r5, lsl #2]
    asr r8, r4, #15
    asr r10, r9, #15
    ubfx r5, lr, #0, #10
    ldr r8, [r6, r8, lsl #2]
    ldr r10, [r6, r10, lsl #2]
    smlabb r5, r5, r11, lr
    ubfx r11, r8, #0, #10
    smlabb lr, r11, r4, r8
    ldr r11, [r0, #12]
    ubfx r4, r10, #0, #10
    ldr r8, [r0, #28]
    smlabb r4, r4, r9, r10
    ldr r9, [r0, #44]
    smmulr r10, lr, r5
    ldr lr, [r0, #60]
    smmla r8, r11, r9, r8
    ldr r5, [r0, #88]
    asr r11, r10, #\candidate_shift
    smmlar r9, r12, r4, r11
    smmla r8, r2, lr, r8
    ldr r10, [r0, #120]
    ssat r12, #31, r9
    ldr r4, [r0, #144]
    ssat r8, #26, r8
    ldr r11, [r0, #104]
    ssat lr, #26, r12\tanh_shift
    ldr r9, [r0, #136]
    smmla r11, r5, r10, r11
    asr r5, r8, #15
    ldr r10, [r6, r5, lsl #2]
    asr r5, lr, #15
    ldr r5, [r7, r5, lsl #2]
    smmla r11, r2, r9, r11
    ubfx r9, r10, #0, #10
    lsl r12, r12, #1
    smlabb r9, r9, r8, r10
    ldr r8, [r0, #68]
    ubfx r10, r5, #0, #10
    str r12, [r0, #64]
    ldr r12, [r0, #128]
    smlabb r10, r10, lr, r5
    ldr lr, [r0, #92]
    ldr r5, [r0, #96]
    smmulr r9, r9, r10
    ldr r10, [r0, #112]
    smmla r10, r5, r12, r10
    ldr r5, [r0, #140]
    smmla r10, r2, r4, r10
    ldr r12, [r0, #108]
    ldr r4, [r0, #124]
    smmlar r3, r9, r8, r3
    ssat r10, #26, r10
    asr r8, r9, #15
    asr r9, r10, #15
    smmla r12, lr, r4, r12
    ssat r11, #26, r11
    smmla r12, r2, r5, r12
    asr lr, r11, #15
    strh r8, [r1], #2
    ssat r12, #26, r12
    ldr r4, [r6, lr, lsl #2]
    ubfx r5, r4, #0, #10
    asr r8, r12, #15
    smlabb lr, r5, r11, r4
    ldr r5, [r7, r9, lsl #2]
    ubfx r11, r5, #0, #10
    ldr r4, [r0, #132]
    smlabb r9, r11, r10, r5
    ldr r11, [r6, r8, lsl #2]
    ldr r10, [r0, #148]
    ldr r5, [r0, #152]
    smmulr r8, lr, r9
    ldr lr, [r0, #116]
    ubfx r9, r11, #0, #10
    smlabb r9, r9, r12, r11
    asr r12, r8, #\candidate_shift
    ldr r11, [r0, #100]
    smmlar r8, r5, r9, r12
    ldr r5, [r0, #156]
    smmla lr, r11, r4, lr
    ldr r9, [sp]
    ssat r12, #31, r8
    smmla lr, r2, r10, lr
    lsl r11, r12, #1
    str r11, [r0, #152]
    add r0, r0, #176
    ssat r4, #26, r12\tanh_shift
    cmp r0, r9
    asr r8, r4, #15
    ssat lr, #26, lr
    ldr r10, [r7, r8, lsl #2]
    asr r11, lr, #15
    ldr r12, [r6, r11, lsl #2]
    ubfx r9, r10, #0, #10
    ubfx r8, r12, #0, #10
    smlabb r11, r9, r4, r10
    smlabb r9, r8, lr, r12
    smmulr r4, r9, r11
    smmlar r3, r4, r5, r3
    asr r10, r4, #15
    strh r10, [r1], #2
    bne 1b
    mov r0, r3
    pop {r3-r11, pc}
    .size \name, . - \name
.endm
LstmGates LstmGatesQ15Cell24, 7, ", asr #1"
LstmGates LstmGatesQ15Cell25, 6, ", asr #2"
LstmGates LstmGatesQ15Cell26, 5, ", asr #3"
LstmGates LstmGatesQ15Cell27, 4, ", asr #4"
LstmGates LstmGatesQ15Cell28, 3, ", asr #5"
.macro LstmFineGates name, candidate_shift, tanh_shift
    .section .text.\name, "ax", %progbits
    .balign 8
    .global \name
    .type \name, %function
\name:
    ldr r3, [r0, #12]
    push {r3-r11, lr} @ the end of the units on top
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    mov r5, #0x40000000
    .balign 8
    1:
    ldr r4, [r0, #16]
    ldr r7, [r0, #52]
    ldr r8, [r0, #0]
    ldr r9, [r0, #4]
    ldr r10, [r0, #48]
    ldr r11, [r0, #36]
    ldr r12, [r0, #32]
    ldr lr, [r0, #20]
    smmla lr, r9, r11, lr
    ldr r9, [r0, #40]
    smmla r4, r8, r12, r4
    ldr r11, [r0, #56]
    smmla r4, r2, r10, r4
    ldr r8, [r0, #8]
    ldr r12, [r0, #24]
    smmla lr, r2, r7, lr
    smmla r12, r8, r9, r12
    ldr r10, [r0, #12]
    smmla r12, r2, r11, r12
    ldr r7, [r0, #44]
    ssat lr, #27, lr, lsl #1
    ldr r8, [r0, #28]
    ssat r4, #27, r4, lsl #1
    add r9, lr, #0x8000
    ssat r12, #27, r12, lsl #1
    add r11, r4, #0x8000
    asr r11, r11, #16
    asr r9, r9, #16
    add r9, r6, r9, lsl #3
    smmla r8, r10, r7, r8
    add r10, r12, #0x8000
    add r7, r6, r11, lsl #3
    asr r11, r10, #16
    ldr r10, [r9]
    add r11, r6, r11, lsl #3
    ldr r9, [r9, #4]
    smlawb r9, r9, lr, r10
    ldr lr, [r7, #4]
    ldr r10, [r11, #4]
    ldr r7, [r7]
    smlawb lr, lr, r4, r7
    ldr r4, [r11]
    smlawb r7, r10, r12, r4
    ldr r11, [r0, #60]
    ldr r10, [r0, #64]
    asr r12, r7, #\candidate_shift
    lsl r4, r10, #1
    add r7, r5, lr, asr #1
    smmla r8, r2, r11, r8
    rsb lr, r5, r9, asr #1
    ldr r11, [r0, #72]
    smlal r11, r10, r7, r12
    ldr r9, [r0, #120]
    smlal r11, r10, r4, lr
    ldr r7, [r0, #96]
    ldr r12, [r0, #124]
    ldr r4, [r0, #104]
    ssat lr, #31, r10
    ldr r10, [r0, #88]
    ssat r8, #27, r8, lsl #1
    str lr, [r0, #64]
    ssat lr, #27, lr\tanh_shift
    smmla r4, r10, r9, r4
    add r10, lr, #0x8000
    add r9, r8, #0x8000
    asr r10, r10, #16
    asr r9, r9, #16
    add r9, r6, r9, lsl #3
    str r11, [r0, #72]
    add r11, r6, r10, lsl #3
    ldr r10, [r0, #136]
    smmla r4, r2, r10, r4
    ldr r10, [r9, #4]
    ldr r9, [r9]
    smlawb r10, r10, r8, r9
    ldr r8, [r11]
    ssat r4, #27, r4, lsl #1
    ldr r9, [r11, #4]
    add r11, r4, #0x8000
    smlawb r9, r9, lr, r8
    ldr lr, [r0, #128]
    ldr r8, [r0, #144]
    add r10, r5, r10, asr #1
    asr r11, r11, #16
    smmulr r10, r10, r9
    ldr r9, [r0, #112]
    add r11, r6, r11, lsl #3
    smmla r9, r7, lr, r9
    ldr r7, [r0, #76]
    smmla r9, r2, r8, r9
    ldr lr, [r0, #68]
    ldr r8, [r11]
    add r7, r10, r7
    ldr r11, [r11, #4]
    smmlar r3, r10, lr, r3
    ldr r10, [r0, #92]
    ldr lr, [r0, #152]
    ssat r9, #27, r9, lsl #1
    smlawb r11, r11, r4, r8
    ldr r4, [r0, #108]
    add r8, r9, #0x8000
    smmla r4, r10, r12, r4
    asr r10, r8, #16
    ssat r12, #16, r7, asr #15
    strh r12, [r1], #2
    add r8, r6, r10, lsl #3
    ldr r12, [r0, #160]
    ubfx r10, r7, #0, #15
    str r10, [r0, #76]
    ldr r7, [r0, #140]
    lsl r10, lr, #1
    add r11, r5, r11, asr #1
    smmla r4, r2, r7, r4
    ldr r7, [r8, #4]
    ldr r8, [r8]
    smlawb r7, r7, r9, r8
    ldr r9, [r0, #100]
    ssat r4, #27, r4, lsl #1
    ldr r8, [r0, #132]
    asr r7, r7, #\candidate_shift
    smlal r12, lr, r11, r7
    add r11, r4, #0x8000
    asr r7, r11, #16
    ldr r11, [r0, #116]
    add r7, r6, r7, lsl #3
    smmla r11, r9, r8, r11
    ldr r9, [r0, #148]
    ldr r8, [r7, #4]
    ldr r7, [r7]
    smmla r11, r2, r9, r11
    smlawb r9, r8, r4, r7
    ldr r8, [r0, #164]
    ldr r4, [sp]
    ssat r11, #27, r11, lsl #1
    ldr r7, [r0, #156]
    rsb r9, r5, r9, asr #1
    smlal r12, lr, r10, r9
    add r10, r11, #0x8000
    asr r9, r10, #16
    str r12, [r0, #160]
    ssat r10, #31, lr
    str r10, [r0, #152]
    add r12, r6, r9, lsl #3
    ssat lr, #27, r10\tanh_shift
    add r9, lr, #0x8000
    ldr r10, [r12, #4]
    asr r9, r9, #16
    ldr r12, [r12]
    add r9, r6, r9, lsl #3
    smlawb r10, r10, r11, r12
    ldr r11, [r9]
    ldr r12, [r9, #4]
    add r9, r5, r10, asr #1
    smlawb r10, r12, lr, r11
    smmulr r12, r9, r10
    add lr, r12, r8
    smmlar r3, r12, r7, r3
    ubfx r11, lr, #0, #15
    str r11, [r0, #164]
    add r0, r0, #176
    ssat r9, #16, lr, asr #15
    strh r9, [r1], #2
    cmp r0, r4
    bne 1b
    mov r0, r3
    pop {r3-r11, pc}
    .size \name, . - \name
.endm
LstmFineGates LstmFineGatesQ15Cell24, 7, ""
LstmFineGates LstmFineGatesQ15Cell25, 6, ", asr #1"
LstmFineGates LstmFineGatesQ15Cell26, 5, ", asr #2"
LstmFineGates LstmFineGatesQ15Cell27, 4, ", asr #3"
LstmFineGates LstmFineGatesQ15Cell28, 3, ", asr #4"

    .section .text.GruGatesQ15, "ax", %progbits
    .balign 8
    .global GruGatesQ15
    .type GruGatesQ15, %function
GruGatesQ15:
    ldr r3, [r0, #12]
    push {r3-r11, lr} @ the end of the units on top
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    .balign 8
    1:
    ldr r4, [r0, #32]
    ldr r5, [r0, #60]
    ldr r8, [r0, #16]
    ldr r9, [r0, #28]
    ldr r10, [r0, #0]
    ldr r11, [r0, #20]
    ldr r12, [r0, #48]
    ldr lr, [r0, #4]
    smmla r8, r10, r4, r8
    ldr r10, [r0, #40]
    smmla r8, r2, r12, r8
    ldr r4, [r0, #88]
    ldr r12, [r0, #24]
    smmla r9, r2, r5, r9
    ssat r8, #26, r8
    ldr r5, [r0, #8]
    smmla r12, r5, r10, r12
    asr r5, r8, #15
    ldr r10, [r6, r5, lsl #2]
    ubfx r5, r10, #0, #10
    smlabb r5, r5, r8, r10
    ldr r8, [r0, #120]
    ldr r10, [r0, #136]
    smmulr r5, r5, r12
    ldr r12, [r0, #104]
    smmla r12, r4, r8, r12
    ldr r4, [r0, #96]
    smmla r12, r2, r10, r12
    ldr r8, [r0, #52]
    add r10, r9, r5, lsl #1
    ldr r9, [r0, #36]
    ssat r12, #26, r12
    ldr r5, [r0, #128]
    ssat r10, #26, r10
    smmla r11, lr, r9, r11
    asr lr, r12, #15
    smmla r11, r2, r8, r11
    ldr r9, [r6, lr, lsl #2]
    asr r8, r10, #15
    ssat r11, #26, r11
    ldr lr, [r0, #112]
    ldr r8, [r7, r8, lsl #2]
    smmla lr, r4, r5, lr
    ubfx r4, r9, #0, #10
    asr r5, r11, #15
    smlabb r4, r4, r12, r9
    ldr r12, [r0, #148]
    ubfx r9, r8, #0, #10
    ldr r5, [r6, r5, lsl #2]
    smlabb r9, r9, r10, r8
    ldr r10, [r0, #92]
    ldr r8, [r0, #116]
    smmulr r4, r4, lr
    smmla r8, r2, r12, r8
    ldr lr, [r0, #124]
    ubfx r12, r5, #0, #10
    asr r9, r9, #1
    add r8, r8, r4, lsl #1
    smlabb r4, r12, r11, r5
    ssat r12, #26, r8
    ldr r11, [r0, #140]
    ldr r5, [r0, #64]
    ldr r8, [r0, #108]
    smmla r8, r10, lr, r8
    asr r10, r12, #15
    sub lr, r5, r9
    ldr r5, [r0, #68]
    smmulr r4, r4, lr
    ldr lr, [r7, r10, lsl #2]
    smmla r8, r2, r11, r8
    ldr r10, [r0, #152]
    ubfx r11, lr, #0, #10
    ssat r8, #26, r8
    smlabb r11, r11, r12, lr
    asr r12, r8, #15
    ldr lr, [r6, r12, lsl #2]
    add r12, r9, r4, lsl #1
    smmlar r3, r12, r5, r3
    asr r9, r12, #15
    strh r9, [r1], #2
    asr r4, r11, #1
    ubfx r5, lr, #0, #10
    str r12, [r0, #64]
    smlabb r9, r5, r8, lr
    sub r11, r10, r4
    ldr r12, [sp]
    smmulr r5, r9, r11
    ldr r8, [r0, #156]
    add lr, r4, r5, lsl #1
    str lr, [r0, #152]
    add r0, r0, #176
    asr r10, lr, #15
    cmp r0, r12
    smmlar r3, lr, r8, r3
    strh r10, [r1], #2
    bne 1b
    mov r0, r3
    pop {r3-r11, pc}
    .size GruGatesQ15, . - GruGatesQ15

    .section .text.GruFineGatesQ15, "ax", %progbits
    .balign 8
    .global GruFineGatesQ15
    .type GruFineGatesQ15, %function
GruFineGatesQ15:
    ldr r3, [r0, #12]
    push {r3-r11, lr} @ the end of the units on top
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    mov r5, #0x40000000
    .balign 8
    1:
    ldr r4, [r0, #0]
    ldr r7, [r0, #36]
    ldr r8, [r0, #32]
    ldr r9, [r0, #20]
    ldr r10, [r0, #16]
    ldr r11, [r0, #52]
    smmla r10, r4, r8, r10
    ldr r12, [r0, #48]
    ldr lr, [r0, #120]
    ldr r4, [r0, #4]
    smmla r10, r2, r12, r10
    ldr r8, [r0, #104]
    ldr r12, [r0, #8]
    smmla r9, r4, r7, r9
    ldr r4, [r0, #88]
    ldr r7, [r0, #60]
    ssat r10, #27, r10, lsl #1
    smmla r9, r2, r11, r9
    add r11, r10, #0x8000
    smmla r8, r4, lr, r8
    asr r4, r11, #16
    ldr lr, [r0, #136]
    add r11, r6, r4, lsl #3
    ldr r4, [r0, #40]
    smmla r8, r2, lr, r8
    ldr lr, [r0, #24]
    smmla lr, r12, r4, lr
    ldr r12, [r11]
    ldr r4, [r11, #4]
    ssat r8, #27, r8, lsl #1
    ldr r11, [r0, #28]
    smlawb r4, r4, r10, r12
    add r10, r8, #0x8000
    asr r12, r10, #16
    smmla r11, r2, r7, r11
    add r10, r6, r12, lsl #3
    ldr r7, [r0, #96]
    add r12, r5, r4, asr #1
    smmulr r4, r12, lr
    ldr r12, [r10, #4]
    ldr lr, [r10]
    ssat r9, #27, r9, lsl #1
    smlawb r10, r12, r8, lr
    ldr r12, [r0, #128]
    add r8, r11, r4, lsl #1
    ldr lr, [r0, #112]
    ldr r11, [r0, #148]
    add r4, r5, r10, asr #1
    smmla lr, r7, r12, lr
    ldr r10, [r0, #124]
    add r7, r9, #0x8000
    smmulr r12, r4, lr
    ldr r4, [r0, #116]
    ssat lr, #27, r8, lsl #1
    smmla r4, r2, r11, r4
    ldr r8, [r0, #92]
    add r11, lr, #0x8000
    asr r11, r11, #16
    asr r7, r7, #16
    add r11, r6, r11, lsl #3
    add r4, r4, r12, lsl #1
    ldr r12, [r11, #4]
    add r7, r6, r7, lsl #3
    ssat r4, #27, r4, lsl #1
    ldr r11, [r11]
    smlawb r12, r12, lr, r11
    ldr lr, [r0, #140]
    ldr r11, [r7, #4]
    asr r12, r12, #1
    ldr r7, [r7]
    smlawb r11, r11, r9, r7
    ldr r9, [r0, #108]
    smmla r9, r8, r10, r9
    add r7, r4, #0x8000
    smmla r9, r2, lr, r9
    asr r8, r7, #16
    add r10, r6, r8, lsl #3
    ldr lr, [r0, #64]
    sub r7, lr, r12
    add r8, r5, r11, asr #1
    ssat r9, #27, r9, lsl #1
    ldr lr, [r10, #4]
    smmulr r11, r8, r7
    add r8, r9, #0x8000
    asr r7, r8, #16
    ldr r8, [r10]
    add r10, r6, r7, lsl #3
    ldr r7, [r0, #76]
    add r12, r12, r11, lsl #1
    smlawb r11, lr, r4, r8
    ldr lr, [r10, #4]
    add r4, r12, r7
    ldr r8, [r10]
    str r12, [r0, #64]
    smlawb r7, lr, r9, r8
    ldr r10, [r0, #152]
    ldr lr, [r0, #68]
    asr r9, r11, #1
    sub r8, r10, r9
    ldr r11, [r0, #164]
    ubfx r10, r4, #0, #15
    str r10, [r0, #76]
    ssat r10, #16, r4, asr #15
    strh r10, [r1], #2
    add r4, r5, r7, asr #1
    smmlar r3, r12, lr, r3
    smmulr r10, r4, r8
    ldr r7, [r0, #156]
    ldr r12, [sp]
    add lr, r9, r10, lsl #1
    str lr, [r0, #152]
    add r4, lr, r11
    smmlar r3, lr, r7, r3
    ubfx r8, r4, #0, #15
    str r8, [r0, #164]
    add r0, r0, #176
    cmp r0, r12
    ssat r9, #16, r4, asr #15
    strh r9, [r1], #2
    bne 1b
    mov r0, r3
    pop {r3-r11, pc}
    .size GruFineGatesQ15, . - GruFineGatesQ15

    .section .text.GruStackedGatesQ15, "ax", %progbits
    .balign 8
    .global GruStackedGatesQ15
    .type GruStackedGatesQ15, %function
GruStackedGatesQ15:
    ldr r3, [r0, #12]
    push {r3-r11, lr} @ the end of the units on top
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    .balign 8
    1:
    ldr r4, [r0, #0]
    ldr r5, [r0, #12]
    ldr r8, [r0, #32]
    ldr r9, [r0, #44]
    ldr r10, [r0, #16]
    ldr r11, [r0, #28]
    smmla r10, r4, r8, r10
    ldr r12, [r0, #48]
    ldr lr, [r0, #40]
    ldr r4, [r0, #20]
    smmla r10, r2, r12, r10
    ldr r8, [r0, #8]
    ldr r12, [r0, #24]
    smmla r11, r5, r9, r11
    ssat r10, #26, r10
    smmla r12, r8, lr, r12
    ldr r5, [r0, #136]
    asr r9, r10, #15
    ldr r8, [r6, r9, lsl #2]
    ubfx lr, r8, #0, #10
    ldr r9, [r0, #36]
    smlabb lr, lr, r10, r8
    ldr r10, [r0, #88]
    ldr r8, [r0, #120]
    smmulr lr, lr, r12
    ldr r12, [r0, #104]
    smmla r12, r10, r8, r12
    ldr r10, [r0, #4]
    smmla r12, r2, r5, r12
    ldr r8, [r0, #52]
    add r5, r11, lr, lsl #1
    smmla r4, r10, r9, r4
    ssat r12, #26, r12
    ldr r11, [r0, #128]
    asr lr, r12, #15
    smmla r4, r2, r8, r4
    ssat r10, #26, r5
    ldr r9, [r0, #96]
    asr r8, r10, #15
    ldr r5, [r6, lr, lsl #2]
    ssat r4, #26, r4
    ldr lr, [r7, r8, lsl #2]
    ubfx r8, r5, #0, #10
    smlabb r8, r8, r12, r5
    asr r12, r4, #15
    ubfx r5, lr, #0, #10
    ldr r12, [r6, r12, lsl #2]
    smlabb r5, r5, r10, lr
    ldr r10, [r0, #112]
    smmla r10, r9, r11, r10
    ldr lr, [r0, #100]
    asr r9, r5, #1
    ldr r11, [r0, #132]
    smmulr r5, r8, r10
    ldr r8, [r0, #116]
    smmla r8, lr, r11, r8
    ldr r10, [r0, #124]
    ubfx lr, r12, #0, #10
    ldr r11, [r0, #64]
    smlabb lr, lr, r4, r12
    sub r4, r11, r9
    ldr r12, [r0, #92]
    add r11, r8, r5, lsl #1
    ssat r8, #26, r11
    smmulr r5, lr, r4
    ldr r11, [r0, #108]
    asr lr, r8, #15
    smmla r11, r12, r10, r11
    ldr r4, [r0, #140]
    add r12, r9, r5, lsl #1
    ldr r10, [r0, #68]
    smmla r11, r2, r4, r11
    ldr r9, [r7, lr, lsl #2]
    smmlar r3, r12, r10, r3
    ldr r5, [r0, #152]
    ssat r11, #26, r11
    str r12, [r0, #64]
    asr r4, r11, #15
    asr lr, r12, #15
    strh lr, [r1], #2
    ldr r10, [r6, r4, lsl #2]
    ubfx r12, r9, #0, #10
    ldr lr, [r0, #156]
    smlabb r4, r12, r8, r9
    ldr r12, [sp]
    ubfx r8, r10, #0, #10
    smlabb r9, r8, r11, r10
    asr r8, r4, #1
    sub r11, r5, r8
    smmulr r10, r9, r11
    add r4, r8, r10, lsl #1
    str r4, [r0, #152]
    add r0, r0, #176
    smmlar r3, r4, lr, r3
    asr r5, r4, #15
    strh r5, [r1], #2
    cmp r0, r12
    bne 1b
    mov r0, r3
    pop {r3-r11, pc}
    .size GruStackedGatesQ15, . - GruStackedGatesQ15

    .section .text.GruStackedFineGatesQ15, "ax", %progbits
    .balign 8
    .global GruStackedFineGatesQ15
    .type GruStackedFineGatesQ15, %function
GruStackedFineGatesQ15:
    ldr r3, [r0, #12]
    push {r3-r11, lr} @ the end of the units on top
    mov r3, r2
    mov r2, r1
    ldrd r6, r7, [r0, #24]
    ldr r1, [r0, #20]
    ldr r0, [r0, #8]
    mov r5, #0x40000000
    .balign 8
    1:
    ldr r4, [r0, #0]
    ldr r7, [r0, #36]
    ldr r8, [r0, #32]
    ldr r9, [r0, #28]
    ldr r10, [r0, #48]
    ldr r11, [r0, #12]
    ldr r12, [r0, #16]
    ldr lr, [r0, #44]
    smmla r12, r4, r8, r12
    ldr r4, [r0, #8]
    smmla r12, r2, r10, r12
    ldr r8, [r0, #24]
    smmla r9, r11, lr, r9
    ldr r10, [r0, #40]
    ldr r11, [r0, #4]
    ssat r12, #27, r12, lsl #1
    smmla r8, r4, r10, r8
    add lr, r12, #0x8000
    ldr r4, [r0, #20]
    asr r10, lr, #16
    smmla r4, r11, r7, r4
    add lr, r6, r10, lsl #3
    ldr r11, [r0, #120]
    ldr r7, [r0, #52]
    ldr r10, [lr, #4]
    ldr lr, [lr]
    smmla r4, r2, r7, r4
    smlawb r7, r10, r12, lr
    ldr r10, [r0, #104]
    ldr r12, [r0, #88]
    ssat r4, #27, r4, lsl #1
    add lr, r5, r7, asr #1
    smmla r10, r12, r11, r10
    smmulr r7, lr, r8
    ldr r12, [r0, #136]
    add r11, r4, #0x8000
    ldr lr, [r0, #128]
    asr r8, r11, #16
    smmla r10, r2, r12, r10
    add r11, r9, r7, lsl #1
    ldr r12, [r0, #96]
    add r9, r6, r8, lsl #3
    ldr r7, [r0, #112]
    ssat r8, #27, r11, lsl #1
    smmla r7, r12, lr, r7
    add r11, r8, #0x8000
    ldr r12, [r9, #4]
    asr lr, r11, #16
    ldr r11, [r9]
    add r9, r6, lr, lsl #3
    smlawb lr, r12, r4, r11
    ssat r10, #27, r10, lsl #1
    ldr r12, [r0, #64]
    add r4, r10, #0x8000
    ldr r11, [r9, #4]
    asr r4, r4, #16
    ldr r9, [r9]
    add r4, r6, r4, lsl #3
    smlawb r11, r11, r8, r9
    add r8, r5, lr, asr #1
    ldr r9, [r0, #100]
    asr lr, r11, #1
    ldr r11, [r0, #68]
    sub r12, r12, lr
    smmulr r8, r8, r12
    ldr r12, [r0, #76]
    add lr, lr, r8, lsl #1
    ldr r8, [r4]
    ldr r4, [r4, #4]
    add r12, lr, r12
    smmlar r3, lr, r11, r3
    smlawb r11, r4, r10, r8
    ldr r4, [r0, #124]
    ldr r10, [r0, #108]
    str lr, [r0, #64]
    ldr r8, [r0, #92]
    add lr, r5, r11, asr #1
    smmla r10, r8, r4, r10
    ldr r11, [r0, #132]
    smmulr r8, lr, r7
    ldr r4, [r0, #116]
    smmla r4, r9, r11, r4
    ldr lr, [r0, #140]
    ubfx r7, r12, #0, #15
    str r7, [r0, #76]
    smmla r10, r2, lr, r10
    add r9, r4, r8, lsl #1
    ssat r11, #16, r12, asr #15
    strh r11, [r1], #2
    ssat r7, #27, r9, lsl #1
    ldr lr, [r0, #152]
    add r4, r7, #0x8000
    ldr r8, [r0, #164]
    ssat r10, #27, r10, lsl #1
    ldr r12, [sp]
    asr r11, r4, #16
    add r9, r10, #0x8000
    add r4, r6, r11, lsl #3
    asr r11, r9, #16
    ldr r9, [r4, #4]
    add r11, r6, r11, lsl #3
    ldr r4, [r4]
    smlawb r9, r9, r7, r4
    ldr r7, [r11, #4]
    ldr r4, [r11]
    smlawb r11, r7, r10, r4
    asr r7, r9, #1
    sub r10, lr, r7
    ldr r4, [r0, #156]
    add r9, r5, r11, asr #1
    smmulr lr, r9, r10
    add r11, r7, lr, lsl #1
    str r11, [r0, #152]
    add r9, r11, r8
    smmlar r3, r11, r4, r3
    ubfx r10, r9, #0, #15
    str r10, [r0, #164]
    add r0, r0, #176
    ssat r7, #16, r9, asr #15
    strh r7, [r1], #2
    cmp r0, r12
    bne 1b
    mov r0, r3
    pop {r3-r11, pc}
    .size GruStackedFineGatesQ15, . - GruStackedFineGatesQ15
#endif
#if defined(__ELF__) && !defined(__arm__)
.section .note.GNU-stack, "", @progbits
#endif
