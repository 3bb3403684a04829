# The load generator and the benchmarks: included by ../Makefile.

LOADTEST_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard loadtest/generator/*.c))
LOADTEST_LIB := $(filter-out $(BUILD)/loadtest/generator/main.o,$(LOADTEST_OBJ))
KAFKA_LIBS   := $(shell pkg-config --libs rdkafka 2>/dev/null)

MONGO_LIBS   := $(shell pkg-config --libs libmongoc-1.0 2>/dev/null)

.PHONY: loadtest bench bench-ingest memory-ingest bench-pipeline bench-query \
    bench-cache bench-stats bench-storage
loadtest: $(BUILD)/millrace-load $(BUILD)/raw_producer $(BUILD)/topic_tool \
    $(BUILD)/block_tool

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

# Inserts the writer's blocks again: mongod's own limit.
$(BUILD)/block_tool: $(BUILD)/loadtest/block_tool.o
	@echo '  LINK $@'
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(MONGO_LIBS)

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

bench-storage: loadtest all
	@.cache/venv/bin/python -B loadtest/bench_storage.py -b $(BUILD) \
	    $(BENCH_FLAGS)

bench-query: loadtest all
	@.cache/venv/bin/python -B loadtest/bench_query.py -b $(BUILD) \
	    $(BENCH_FLAGS)

# 50 million events, then a stopped broker: what a worker takes at most.
memory-ingest: loadtest module
	@loadtest/memory_ingest.py -b $(BUILD) $(MEMORY_FLAGS)

# What the windows cost and how fresh they are: about ten minutes.
bench-stats: loadtest all
	@.cache/venv/bin/python -B loadtest/bench_stats.py -b $(BUILD) \
	    $(BENCH_FLAGS)

# GET /stats, of the daemon and from nginx's cache.
bench-cache: all
	@.cache/venv/bin/python -B loadtest/bench_cache.py -b $(BUILD) \
	    $(BENCH_FLAGS)

# All of them, an hour and a half on a machine that has nothing else to do, and
# what they found as a table.  One that fails does not keep the others from it.
BENCHES := ingest storage stats cache pipeline
bench:
	@failed=; for b in $(BENCHES); do \
	    $(MAKE) --no-print-directory bench-$$b || failed="$$failed $$b"; \
	done; \
	loadtest/table.py; \
	test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

# Its unit tests are one program more of the Makefile's.
$(BUILD)/tests/unit/loadtest/%.o: CPPFLAGS += -Iloadtest
$(BUILD)/check_loadtest: $(LOADTEST_LIB) $(BUILD)/loadtest/audit.o
