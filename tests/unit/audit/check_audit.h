/* What the unit tests of the audit share. */
#ifndef CHECK_AUDIT_H
#define CHECK_AUDIT_H

#include <check.h>

#include <audit/audit.h>


#define START INT64_C(1700000040000) /* a whole minute */
#define NOW (START + 10 * MR_AUDIT_MINUTE)
#define MINUTES 4


Suite *suite_accounts(void);
Suite *suite_acknowledged(void);
Suite *suite_windows(void);
Suite *suite_tally(void);

/* An audit of MINUTES from START on, of one partition, and its options. */
extern mr_options_t options;
extern mr_audit_t audit;

void audit_setup(void);
void audit_teardown(void);

/* Add an account; blocks hold as many events as it says. */
void account(int minute, int64_t first, int64_t last, int64_t stored,
    int64_t repeated, int64_t dead, int64_t holes);

/*
 * A partition in balance: three minutes of records, offsets 100 to 179, one
 * minute without any, a hole before offset 150.
 */
void balanced(void);

/* Finding i is this one; minute -1: of none. */
void expect(size_t i, const char *check, int minute, int64_t difference);

#endif /* CHECK_AUDIT_H */
