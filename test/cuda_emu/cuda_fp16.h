/* Emulation: everything comes from test/cuda_emu.h. */
