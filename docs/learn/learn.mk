# learn.mk: the programs of docs/learn/. Included by the Makefile.
#   make ladder             $(BUILD)/ladder: naive loops to today's kernels, each judged and timed
#   make ladder-emu         $(EMU)/ladder --card: the CUDA rungs without a GPU (g++)
#   make ladder-gpu         $(GPU)/ladder --card: through nvcc
LADDER_C    := $(filter-out %_cuda.c %/climb.c,$(wildcard docs/learn/ladder/*.c))
LADDER_CU   := $(wildcard docs/learn/ladder/*.cu)
LADDER_OBJ   = $(LADDER_C:%.c=$(BUILD)/%.o)
# the same with the rungs of a card: where card_new() and the like come from ladder_card.cu
LADDER_CARD  = $(patsubst %.c,$(BUILD)/%.card.o,$(LADDER_C) docs/learn/ladder/climb.c) \
               $(BUILD)/docs/learn/ladder/ladder_cuda.o
$(BUILD)/%.card.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) $(ISADEF) -DLADDER_CARD -c -o $@ $<
$(BUILD)/ladder: $(BUILD)/docs/learn/ladder/climb.o $(LADDER_OBJ) $(BUILD)/librooms.a
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(EMU)/ladder: $(LADDER_CARD) $(LADDER_CU:%.cu=$(EMU)/%.o) $(EMU_OBJ) $(BUILD)/librooms.a
	$(EMU_CXX) $(EMU_FLAGS) -o $@ $^ $(LDLIBS)
$(GPU)/ladder: $(LADDER_CARD) $(LADDER_CU:%.cu=$(GPU)/%.o) $(CUDAOBJ) $(BUILD)/librooms.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $^ $(CUDA_LIBS) -lstdc++ $(LDLIBS)
ladder: $(BUILD)/ladder
	$(BUILD)/ladder
ladder-emu: $(EMU)/ladder
	$(EMU)/ladder --quick --card
ladder-gpu:
	@test -n "$(NVCC)" || { \
	  echo "make ladder-gpu: no nvcc; install the CUDA toolkit or set NVCC=/path/to/nvcc"; exit 1; }
	@$(MAKE) --no-print-directory CUDA=1 $(GPU)/ladder
	$(GPU)/ladder --card
.PHONY: ladder ladder-emu ladder-gpu

# The tests of the kernels take rung 0 as their oracle.
$(BUILD)/test_conv $(BUILD)/test_oracle $(BUILD)/test_bf16: $(BUILD)/test_%: \
    $(BUILD)/test/test_%.o $(LADDER_OBJ) $(BUILD)/librooms.a
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
emu-programs: $(if $(HAVE_GXX),$(EMU)/ladder)

#   make test-learn         every command of the chapters prints what they say (some minutes);
#                           make test runs the chapters without projections
$(BUILD)/learn: $(BUILD)/docs/learn/learn.o $(BUILD)/librooms.a
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
learn: $(BUILD)/prlx $(BUILD)/learn $(BUILD)/ladder
test-learn: learn
	@sh test/learn.sh $(BUILD)
test test-long: $(BUILD)/learn $(BUILD)/ladder
.PHONY: learn test-learn
