# cuda.mk: the CUDA sources without a GPU (emulated, g++) and their tests. Included by the Makefile.
# The objects of the emulation carry the suffix .emu.o; everything else comes from libprlx.a.
EMU_CXX   ?= g++
EMU_FLAGS ?= -O1 -g
EMU_BASE   = -std=gnu++17 -Wall -Wextra -Wno-unknown-pragmas -Wno-unused-parameter -Wno-missing-field-initializers -MMD -MP -I. -Itest/cuda_emu -DPRLX_CUDA_EMU
EMU_OBJ    = $(patsubst %.cu,$(BUILD)/%.emu.o,$(wildcard cuda/*.cu)) $(BUILD)/test/cuda_emu.emu.o
$(BUILD)/cuda/%.emu.o: cuda/%.cu
	@mkdir -p $(@D)
	$(EMU_CXX) $(EMU_BASE) -include test/cuda_emu.h $(EMU_FLAGS) $(EMU_EXTRA) -x c++ -c -o $@ $<
$(BUILD)/test/%.emu.o: test/%.cpp
	@mkdir -p $(@D)
	$(EMU_CXX) $(EMU_BASE) -include test/cuda_emu.h $(EMU_FLAGS) $(EMU_EXTRA) -c -o $@ $<
