# The load generator and the benchmarks: included by ../Makefile.

LOADTEST_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard loadtest/generator/*.c))
LOADTEST_LIB := $(filter-out $(BUILD)/loadtest/generator/main.o,$(LOADTEST_OBJ))
KAFKA_LIBS   := $(shell pkg-config --libs rdkafka 2>/dev/null)

.PHONY: loadtest bench-ingest bench-pipeline
loadtest: $(BUILD)/millrace-load $(BUILD)/raw_producer $(BUILD)/topic_tool

$(BUILD)/millrace-load: $(LOADTEST_OBJ)
	@echo '  LINK $@'
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lm

$(BUILD)/raw_producer: $(BUILD)/loadtest/raw_producer.o $(LOADTEST_LIB)
	@echo '  LINK $@'
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(KAFKA_LIBS) -lm

# Creates, measures and audits topics.
$(BUILD)/topic_tool: $(BUILD)/loadtest/topic_tool.o \
    $(BUILD)/loadtest/audit.o $(LOADTEST_LIB)
	@echo '  LINK $@'
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(KAFKA_LIBS) -lm

# The Go service that it is compared with.
$(BUILD)/go-ingest: $(wildcard loadtest/peers/go-ingest/*)
	@command -v go > /dev/null || { echo 'loadtest/peers/go-ingest needs' \
	    'Go 1.26 or later in the PATH' >&2; exit 1; }
	@echo '  GO   $@'
	$(Q)cd loadtest/peers/go-ingest && go build -trimpath -o $(abspath $@) .

# BENCH_FLAGS=--quick for a look whether all of it works.
bench-ingest: loadtest module $(BUILD)/go-ingest
	@loadtest/bench_ingest.py -b $(BUILD) $(BENCH_FLAGS)

# Everything at once: about eight minutes.
bench-pipeline: loadtest all
	@loadtest/bench_pipeline.py -b $(BUILD) $(BENCH_FLAGS)

# Its unit tests are one program more of the Makefile's.
$(BUILD)/tests/unit/loadtest/%.o: CPPFLAGS += -Iloadtest
$(BUILD)/check_loadtest: $(LOADTEST_LIB) $(BUILD)/loadtest/audit.o
