/* setjmp.h for the page: nothing jumps back; a longjmp (out of memory in the PNG writer) ends the
 * program, which the page reports. */
#ifndef LAB_SETJMP_H
#define LAB_SETJMP_H
typedef int jmp_buf[1];
#define setjmp(where) ((void)(where), 0)
#define longjmp(where, value) __builtin_trap()
#endif
