#include <string.h>

#define XXH_STATIC_LINKING_ONLY /* the streaming state on the stack */
#include <xxhash.h>

#include <millrace/hash.h>
#include <millrace/limits.h>


#define MR_IDENTITY_MAX (MR_USER_ID_MAX + 1 + MR_EVENT_ID_MAX)


static mr_hash_t mr_hash_result(XXH128_hash_t hash);


mr_hash_t
mr_hash(mr_str_t data)
{
    return mr_hash_result(
        XXH3_128bits(data.len > 0 ? data.data : "", data.len));
}


mr_hash_t
mr_hash_identity(mr_str_t user_id, mr_str_t event_id)
{
    char buf[MR_IDENTITY_MAX];
    XXH3_state_t state;

    if (user_id.len <= MR_USER_ID_MAX && event_id.len <= MR_EVENT_ID_MAX) {
        if (user_id.len > 0) {
            memcpy(buf, user_id.data, user_id.len);
        }

        buf[user_id.len] = '\0';

        if (event_id.len > 0) {
            memcpy(buf + user_id.len + 1, event_id.data, event_id.len);
        }

        return mr_hash_result(
            XXH3_128bits(buf, user_id.len + 1 + event_id.len));
    }

    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, user_id.data, user_id.len);
    XXH3_128bits_update(&state, "", 1);
    XXH3_128bits_update(&state, event_id.data, event_id.len);

    return mr_hash_result(XXH3_128bits_digest(&state));
}


static mr_hash_t
mr_hash_result(XXH128_hash_t hash)
{
    mr_hash_t result;

    result.lo = hash.low64;
    result.hi = hash.high64;

    return result;
}
