# sweep.mk: every command with every option at its edges (test/sweep/sweep.c).
#   make test-sweep         all cases under address and undefined-behaviour sanitizers.
#                           SWEEP_STRIDE=n: every n-th; SWEEP_ONLY=train: this command
SWEEP_STRIDE ?= 1
SWEEP_SRC     = test/sweep/sweep.c test/sweep/sweep_parts.c
$(BUILD)/sweep: $(SWEEP_SRC:%.c=$(BUILD)/%.o)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
test-sweep: $(BUILD)/prlx $(BUILD)/sweep
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan CFLAGS="$(ASAN_FLAGS)" $(BUILD)/asan/prlx
	@BUILD=$(BUILD) sh test/sweep/run.sh $(BUILD)/asan/prlx $(SWEEP_STRIDE) $(SWEEP_ONLY)
.PHONY: test-sweep
