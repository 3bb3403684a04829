/* What the files of a HyperLogLog share: the sketch (hll.c), its bytes. */
#ifndef MILLRACE_CORE_HLL_PRIVATE_H
#define MILLRACE_CORE_HLL_PRIVATE_H

#include <stdint.h>

#include <millrace/hll.h>


#define HLL_REST (64 - MR_HLL_PRECISION) /* bits that ranks are made of */
#define HLL_RANK_MAX (HLL_REST + 1)
#define HLL_MASK 63u


/* Add index << 6 | register; as mr_hll_add(). */
int mr_hll_add_point(mr_hll_t *hll, uint32_t point);

/* Go over from hashes to registers; -1 when out of memory. */
int mr_hll_registers(mr_hll_t *hll);

/* Go over to a byte a register, from registers; -1 when out of memory. */
int mr_hll_densify(mr_hll_t *hll);

/* Merge all registers into one that is dense: whether it changed. */
int mr_hll_merge_dense(mr_hll_t *into, const uint8_t *from);

/* How many of all registers are not zero. */
uint32_t mr_hll_count(const uint8_t *registers);

#endif /* MILLRACE_CORE_HLL_PRIVATE_H */
