# faults.mk: the program with calls that fail on request (test/faults/faults.c), and the sweep over
# them.
#   make test-faults        failures of every kind in every place of each command (FAULT_EVERY=1:
#                           every call of each, hours). FAULT_CASES="train export": these
FAULT_OFFSET = pread mmap open fopen ftruncate stat lstat fstat
# CUDA's runtime calls them without 64, which faults.c does not take over
FAULT_PLAIN  = $(if $(CUDAOBJ),,$(FAULT_OFFSET))
FAULT_CALLS  = posix_memalign open_memstream read write fsync rename link unlink opendir mkdir \
               flock realpath fork pthread_create $(FAULT_PLAIN) $(FAULT_OFFSET:%=%64)
FAULT_WRAP   = $(FAULT_CALLS:%=-Wl,--wrap=%)
$(BUILD)/faults/prlx: $(TOOLOBJ) $(CUDAOBJ) $(BUILD)/test/faults/faults.o $(BUILD)/librooms.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FAULT_WRAP) -o $@ $(TOOLOBJ) $(CUDAOBJ) $(BUILD)/test/faults/faults.o \
	  $(BUILD)/librooms.a $(CUDA_LIBS) $(LDLIBS)
test-faults: $(BUILD)/faults/prlx
	@sh test/faults/run.sh $(BUILD)/faults/prlx $(FAULT_CASES)
.PHONY: test-faults
