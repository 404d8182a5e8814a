#include "textflag.h"

// The layout below is mirrored in layout.go.
#define BASE 0x10000000
#define SIZE 0x1000000
#define ERRFD 8
#define REGS 64
#define OPS 576

// shim is not called: its instructions are copied into an executable of their own
// (Image). It runs without a runtime, on the stack the kernel gave it.
//
// R13 base, R12 index of the operation, BX the operation, R15 scratch memory.
TEXT ·shim(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ SP, R15
	SUBQ $256, R15
	MOVQ $9, AX                // mmap the program, descriptor 3
	MOVQ $BASE, DI
	MOVQ $SIZE, SI
	MOVQ $3, DX
	MOVQ $0x12, R10
	MOVQ $3, R8
	MOVQ $0, R9
	SYSCALL
	CMPQ AX, $BASE
	JNE  die
	MOVQ $BASE, R13
	MOVQ $0, R12

next:
	MOVQ    R12, BX
	SHLQ    $6, BX
	ADDQ    R13, BX
	ADDQ    $OPS, BX
	MOVBLZX 2(BX), AX
	CMPL    AX, $0
	JEQ     call
	CMPL    AX, $1
	JEQ     jumpnonzero
	CMPL    AX, $2
	JEQ     init
	CMPL    AX, $3
	JEQ     jumpnegative
	CMPL    AX, $4
	JEQ     store
	CMPL    AX, $5
	JEQ     jump
	JMP     die

call:
	MOVBLZX 4(BX), R11
	MOVQ    $0, CX

resolve:
	MOVQ 8(BX)(CX*8), DX
	BTL  CX, R11
	JCC  immediate
	MOVQ REGS(R13)(DX*8), DX

immediate:
	MOVQ    DX, 0(R15)(CX*8)
	INCQ    CX
	CMPQ    CX, $6
	JLT     resolve
	MOVQ    0(R15), DI
	MOVQ    8(R15), SI
	MOVQ    16(R15), DX
	MOVQ    24(R15), R10
	MOVQ    32(R15), R8
	MOVQ    40(R15), R9
	MOVWLZX 0(BX), AX
	SYSCALL
	MOVBLZX 3(BX), CX
	MOVQ    AX, REGS(R13)(CX*8)
	CMPQ    AX, $-4095
	JCS     ok
	NEGQ    AX
	MOVBLZX 5(BX), CX
	CMPL    CX, $1
	JEQ     ok
	CMPL    CX, $2
	JNE     fail
	MOVWLZX 6(BX), CX
	CMPL    AX, CX
	JNE     fail

ok:
	INCQ R12
	JMP  next

jumpnonzero:
	MOVQ 8(BX), CX
	MOVQ REGS(R13)(CX*8), CX
	CMPQ CX, $0
	JEQ  ok

jump:
	MOVQ 16(BX), R12
	JMP  next

jumpnegative:
	MOVQ 8(BX), CX
	MOVQ REGS(R13)(CX*8), CX
	CMPQ CX, $0
	JGE  ok
	JMP  jump

store:
	MOVQ 8(BX), CX
	MOVQ 16(BX), DX
	MOVL DX, 0(CX)
	JMP  ok

fail:
	MOVL R12, 0(R15)
	MOVL AX, 4(R15)
	MOVL ERRFD(R13), DI
	MOVQ R15, SI
	MOVQ $8, DX
	MOVQ $1, AX                // write
	SYSCALL

die:
	MOVQ $125, DI
	MOVQ $231, AX              // exit_group
	SYSCALL
	JMP  die

init:
	MOVQ 8(BX), CX
	MOVQ REGS(R13)(CX*8), R14  // the command's pid; zero for a pause
	MOVQ 16(BX), R12           // where its status goes
	MOVQ $11, AX               // munmap
	MOVQ $BASE, DI
	MOVQ $SIZE, SI
	SYSCALL
	MOVQ $-1, 0(R15)

wait:
	MOVQ $128, AX              // rt_sigtimedwait
	MOVQ R15, DI
	MOVQ $0, SI
	MOVQ $0, DX
	MOVQ $8, R10
	SYSCALL
	CMPQ AX, $17
	JEQ  reap
	CMPQ AX, $0
	JLE  wait
	CMPQ R14, $0
	JEQ  pause
	MOVQ AX, SI
	MOVQ R14, DI
	MOVQ $62, AX               // kill
	SYSCALL
	JMP  wait

pause:
	CMPQ AX, $15
	JNE  wait
	MOVQ $0, DI
	JMP  exit

reap:
	MOVQ $61, AX               // wait4, WNOHANG|__WALL
	MOVQ $-1, DI
	MOVQ R15, SI
	ADDQ $8, SI
	MOVQ $0x40000001, DX
	MOVQ $0, R10
	SYSCALL
	CMPQ AX, $0
	JLE  wait
	CMPQ AX, R14
	JNE  reap
	MOVQ $1, AX                // write the status
	MOVQ R12, DI
	MOVQ R15, SI
	ADDQ $8, SI
	MOVQ $4, DX
	SYSCALL
	MOVL 8(R15), DI
	MOVL DI, AX
	ANDL $0x7f, AX
	JNE  signaled
	SHRL $8, DI
	ANDL $0xff, DI
	JMP  exit

signaled:
	MOVL AX, DI
	ADDL $128, DI

exit:
	MOVQ $231, AX
	SYSCALL
	JMP  exit
	BYTE $0xf1; BYTE $0x0f; BYTE $0xf1; BYTE $0x0f
	BYTE $0xa6; BYTE $0x06; BYTE $0xa6; BYTE $0x06

// func code() unsafe.Pointer
TEXT ·code(SB), NOSPLIT, $0-8
	LEAQ ·shim(SB), AX
	MOVQ AX, ret+0(FP)
	RET
