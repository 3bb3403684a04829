#include "ledger.h"


mr_verdict_t
mr_ledger_judge(const mr_ledger_t *ledger, int64_t log_start, int64_t log_end)
{
    if (ledger->next > log_end) {
        return MR_LEDGER_RECREATED;
    }

    if (ledger->next < log_start && ledger->reached < log_start) {
        return MR_LEDGER_GAP;
    }

    return MR_LEDGER_READ;
}


int
mr_ledger_allows(const mr_ledger_t *ledger, mr_resume_t what)
{
    return what != MR_RESUME_NONE && ledger->resume == what
           && ledger->resume_next == ledger->next;
}


int64_t
mr_ledger_start(const mr_ledger_t *ledger, int64_t log_start, int64_t window,
    int64_t kept, int64_t *ret_fill)
{
    int64_t fill, start;

    fill = ledger->next - window;

    if (fill < log_start) {
        fill = log_start;
    }

    /*
     * A window that was filled beyond `next` has seen what was never stored;
     * one that ends below `fill` would be thrown away whole anyhow.
     */
    if (kept >= fill && kept <= ledger->next) {
        fill = kept;
    }

    start = fill;

    if (ledger->last.offset >= log_start && ledger->last.offset < start) {
        start = ledger->last.offset;
    }

    *ret_fill = fill;

    return start;
}


int
mr_last_matches(
    const mr_last_t *last, int64_t offset, int64_t time, mr_hash_t hash)
{
    return last->offset == offset && last->time == time
           && last->hash.lo == hash.lo && last->hash.hi == hash.hi;
}


const char *
mr_verdict_name(mr_verdict_t verdict)
{
    switch (verdict) {

    case MR_LEDGER_GAP:
        return "gap";

    case MR_LEDGER_RECREATED:
        return "recreated";

    case MR_LEDGER_CORRUPT:
        return "corrupt";

    default:
        return "reading";
    }
}
