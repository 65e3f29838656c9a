# cuda.mk: the CUDA sources without a GPU (emulated, g++) and their tests; the same tests on a GPU.
# Included by the Makefile.
#   make test-cuda-emu      the fast subset (part of make test); TEST_LONG=1: everything (part of
#                           make test-long)
#   make test-gpu           the same programs, the golden files and compute-sanitizer on a card
#   make bench-gpu          speed on a card, one call of at most 10 minutes; beside it PyTorch when
#                           it is there
EMU_CXX   ?= g++
EMU_FLAGS ?= $(if $(findstring sanitize,$(CFLAGS)),$(CFLAGS),-O1 -g)
EMU_WARN   = -Wall -Wextra -Wno-unknown-pragmas -Wno-unused-parameter -Wno-psabi \
             -Wno-missing-field-initializers
EMU_BASE   = -std=gnu++17 $(EMU_WARN) -ffp-contract=off -MMD -MP -I. -Itest/cuda_emu \
             -DPRLX_CUDA_EMU
EMU       ?= $(BUILD)/emu
EMU_CU    := $(wildcard cuda/*.cu)
EMU_SELF   = $(patsubst %,$(EMU)/test/%.o,cuda_emu cuda_emu_api cuda_emu_async)
EMU_OBJ    = $(patsubst %.cu,$(EMU)/%.o,$(EMU_CU)) $(EMU_SELF)
CHECK_OBJ  = $(patsubst %,$(BUILD)/test/%.o,cuda_ops cuda_check cuda_shapes cuda_loops cuda_multi \
               cuda_plans cuda_layouts)
GOLD_OBJ   = $(patsubst %.c,$(BUILD)/%.o,$(wildcard test/golden*.c) test/cuda_golden.c)
TWIN_PROGS = cuda_selftest cuda_paper cuda_judge cuda_wgmma
# bench: its program, tried (--dry) where there is no card
EMU_PROGS  = $(TWIN_PROGS:%=$(EMU)/%) $(EMU)/cuda_self $(EMU)/cuda_ops $(EMU)/cuda_run \
              $(EMU)/cuda_batch $(EMU)/cuda_comm \
              $(EMU)/cuda_golden $(EMU)/prlx $(EMU)/bench
HAVE_GXX  := $(shell command -v $(EMU_CXX) 2>/dev/null)
$(EMU)/%.o: %.cu
	@mkdir -p $(@D)
	$(EMU_CXX) $(EMU_BASE) -include test/cuda_emu.h $(EMU_FLAGS) -x c++ -c -o $@ $<
$(EMU)/%.o: %.cpp
	@mkdir -p $(@D)
	$(EMU_CXX) $(EMU_BASE) -include test/cuda_emu.h $(EMU_FLAGS) -O2 -c -o $@ $<
$(EMU)/cuda_self: $(EMU)/test/cuda_emu_self.o $(EMU_SELF) $(BUILD)/librooms.a
$(EMU)/cuda_ops: $(CHECK_OBJ) $(EMU)/test/cuda_exact.o $(EMU_OBJ) $(BUILD)/librooms.a
$(EMU)/cuda_run: $(BUILD)/test/cuda_run.o $(EMU_OBJ) $(BUILD)/librooms.a
$(EMU)/cuda_batch: $(BUILD)/test/cuda_batch.o $(EMU_OBJ) $(BUILD)/librooms.a
# several processes, each with its emulated card: NCCL between them is emulated, too
EMU_NCCL   = $(EMU)/nccl/comm_nccl.o $(EMU)/nccl/cuda_emu_nccl.o
EMU_NCCLED = $(EMU_BASE) -Itest/nccl_emu -DPRLX_HAVE_NCCL -include test/cuda_emu.h $(EMU_FLAGS)
$(EMU)/nccl/comm_nccl.o: cuda/comm_nccl.cu
	@mkdir -p $(@D)
	$(EMU_CXX) $(EMU_NCCLED) -x c++ -c -o $@ $<
$(EMU)/nccl/cuda_emu_nccl.o: test/cuda_emu_nccl.cpp
	@mkdir -p $(@D)
	$(EMU_CXX) $(EMU_NCCLED) -c -o $@ $<
$(EMU)/cuda_comm: $(BUILD)/test/cuda_comm.o $(EMU_NCCL) \
                  $(filter-out $(EMU)/cuda/comm_nccl.o,$(EMU_OBJ)) $(BUILD)/librooms.a
$(EMU)/cuda_selftest: $(BUILD)/test/cuda_selftest.o $(EMU_OBJ) $(BUILD)/librooms.a
$(EMU)/cuda_judge: $(BUILD)/test/cuda_judge.o $(EMU_OBJ) $(BUILD)/librooms.a
$(EMU)/bench: $(BUILD)/test/bench_gpu.o $(EMU)/test/bench_card.o $(EMU_OBJ) $(BUILD)/librooms.a
$(EMU)/cuda_paper: $(BUILD)/test/cuda_paper.o $(EMU)/test/cuda_exact.o $(EMU_OBJ) \
                   $(BUILD)/librooms.a
$(EMU)/cuda_wgmma: $(BUILD)/test/cuda_wgmma.o $(EMU)/test/cuda_exact.o $(EMU_OBJ) \
                   $(BUILD)/librooms.a
$(EMU)/cuda_golden: $(GOLD_OBJ) $(EMU_OBJ) $(BUILD)/librooms.a
$(EMU_PROGS):
	$(EMU_CXX) $(EMU_FLAGS) -o $@ $^ $(LDLIBS)
# The whole program on the emulation, for what only a command line shows (test/cuda_cli.sh).
EMU_TOOLS  = $(filter-out $(BUILD)/tools/cli/device.o,$(TOOLOBJ)) $(EMU)/tools/cli/device.o
$(EMU)/tools/cli/device.o: tools/cli/device.c
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) -DPRLX_HAVE_CUDA -c -o $@ $<
$(EMU)/prlx: $(EMU_TOOLS) $(EMU_OBJ) $(BUILD)/librooms.a
emu-programs: $(if $(HAVE_GXX),$(EMU_PROGS))
test test-long: emu-programs
test-cuda-emu: emu-programs
	@BUILD=$(BUILD) EMU_CXX=$(EMU_CXX) sh test/run.sh $(if $(TEST_LONG),long,fast) emu

# ---- on a card: the same sources through nvcc. Needs nvcc (CUDAOBJ comes from the Makefile) and a
# GPU when it runs. ----
GPU        = $(BUILD)/gpu
GPU_PROGS  = $(TWIN_PROGS:%=$(GPU)/%) $(GPU)/cuda_ops $(GPU)/cuda_run $(GPU)/cuda_batch \
              $(GPU)/cuda_golden $(GPU)/bench
$(GPU)/%.o: %.cu
	@mkdir -p $(@D)
	$(NVCC) $(NVCCFLAGS) $(GENCODE) -I. -c -o $@ $<
$(GPU)/cuda_ops: $(CHECK_OBJ) $(GPU)/test/cuda_exact.o
$(GPU)/cuda_run: $(BUILD)/test/cuda_run.o
$(GPU)/cuda_batch: $(BUILD)/test/cuda_batch.o
$(GPU)/cuda_selftest: $(BUILD)/test/cuda_selftest.o
$(GPU)/cuda_judge: $(BUILD)/test/cuda_judge.o
$(GPU)/cuda_paper: $(BUILD)/test/cuda_paper.o $(GPU)/test/cuda_exact.o
$(GPU)/cuda_wgmma: $(BUILD)/test/cuda_wgmma.o $(GPU)/test/cuda_exact.o
$(GPU)/cuda_golden: $(GOLD_OBJ)
$(GPU)/bench: $(BUILD)/test/bench_gpu.o $(GPU)/test/bench_card.o
$(GPU_PROGS): $(CUDAOBJ) $(BUILD)/librooms.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $(filter-out %.a,$^) $(BUILD)/librooms.a $(CUDA_LIBS) -lstdc++ $(LDLIBS)
gpu-programs: $(GPU_PROGS)
test-gpu:
	@test -n "$(NVCC)" || { \
	  echo "make test-gpu: no nvcc; install the CUDA toolkit or set NVCC=/path/to/nvcc"; exit 1; }
	@$(MAKE) --no-print-directory CUDA=1 gpu-programs
	@BUILD=$(BUILD) sh test/test_gpu.sh
bench-gpu:
	@test -n "$(NVCC)" || { \
	  echo "make bench-gpu: no nvcc; install the CUDA toolkit or set NVCC=/path/to/nvcc"; exit 1; }
	@$(MAKE) --no-print-directory CUDA=1 gpu-programs
	@BUILD=$(BUILD) sh test/bench_gpu.sh
.PHONY: emu-programs test-cuda-emu gpu-programs test-gpu bench-gpu
-include $(shell find $(EMU) -name '*.d' 2>/dev/null)
