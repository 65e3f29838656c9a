# faults.mk: the program with calls that fail on request (test/faults/faults.c), and the sweep over
# them.
#   make test-faults        every k-th failure of every kind for each command (hours of no one's
#                           time: FAULT_STRIDE=n takes only every n-th beyond the 40th)
FAULT_CALLS = posix_memalign open_memstream read pread write fsync rename mmap open fopen opendir \
              mkdir ftruncate pthread_create
FAULT_WRAP  = $(FAULT_CALLS:%=-Wl,--wrap=%)
$(BUILD)/faults/prlx: $(TOOLOBJ) $(CUDAOBJ) $(BUILD)/test/faults/faults.o $(BUILD)/librooms.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FAULT_WRAP) -o $@ $(TOOLOBJ) $(CUDAOBJ) $(BUILD)/test/faults/faults.o \
	  $(BUILD)/librooms.a $(CUDA_LIBS) $(LDLIBS)
test-faults: $(BUILD)/faults/prlx
	@sh test/faults/run.sh $(BUILD)/faults/prlx $(FAULT_CASES)
.PHONY: test-faults
