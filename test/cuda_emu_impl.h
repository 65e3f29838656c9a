/* cuda_emu_impl.h: what cuda_emu.cpp (threads of a kernel) and cuda_emu_api.cpp (memory, streams,
 * graphs) share. */
#ifndef PRLX_CUDA_EMU_IMPL_H
#define PRLX_CUDA_EMU_IMPL_H
#include "test/cuda_emu.h"
struct EmuSite {
  const char *name;
  const char *file;
  int line;
};
void emu_run_kernel(EmuKernel *k, const EmuSite *site, dim3 grid, dim3 block, size_t shared,
                    long number);
const char *emu_where(char *buf, size_t n);         /* kernel, block and thread that run now */
void emu_note(const char *text, const char *where); /* records and prints a fault */
void emu_check_guards(void);                        /* of every allocation */

/* ---- what goes on beside the threads of a block (cuda_emu_async.cpp) ---- */
void emu_async_start(void);
void emu_async_end(void);
bool emu_async_step(void); /* something moves; false: nothing is under way */

/* The thread that runs; the dynamic shared memory of its block. */
int emu_current(void);
unsigned char *emu_dynamic(size_t *bytes);

/* The thread that runs waits until ready(what); it is asked again after each emu_events_changed. */
typedef bool (*EmuReadyFn)(const void *what);
void emu_wait_event(const char *kind, int line, EmuReadyFn ready, const void *what);
void emu_events_changed(void);
#endif
