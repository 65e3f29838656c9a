/* Emulation: the Philox generator of cuRAND is in test/cuda_emu_math.h, on core/rng.h. */
