#include "kafka.h"
#include "kafka_offsets.h"


static rd_kafka_resp_err_t offsets_ask(rd_kafka_t *client, const char *topic,
    const int32_t *partitions, size_t n, int64_t time, int timeout,
    int64_t *ret_offsets);
static void offsets_refresh(rd_kafka_t *client, const char *topic, int timeout);
static int32_t offsets_leader(
    const struct rd_kafka_metadata_topic *topic, int32_t partition);


_Static_assert(MR_OFFSETS_START == RD_KAFKA_OFFSET_BEGINNING, "protocol");
_Static_assert(MR_OFFSETS_END == RD_KAFKA_OFFSET_END, "protocol");


int
mr_offsets_ask(rd_kafka_t *client, const char *topic, const int32_t *partitions,
    size_t n, int64_t time, int timeout, int64_t *ret_offsets, mr_error_t *err)
{
    int part;
    rd_kafka_resp_err_t code;

    /* A question has two steps, each with a time-out of its own. */
    part = timeout / 3 + 1;

    code = offsets_ask(client, topic, partitions, n, time, part, ret_offsets);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        offsets_refresh(client, topic, part);

        code =
            offsets_ask(client, topic, partitions, n, time, part, ret_offsets);
    }

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "cannot learn the offsets of %s: %s", topic,
            rd_kafka_err2str(code));
    }

    return 0;
}


static rd_kafka_resp_err_t
offsets_ask(rd_kafka_t *client, const char *topic, const int32_t *partitions,
    size_t n, int64_t time, int timeout, int64_t *ret_offsets)
{
    size_t i;
    rd_kafka_resp_err_t code;
    rd_kafka_topic_partition_t *elem;
    rd_kafka_topic_partition_list_t *list;

    list = rd_kafka_topic_partition_list_new((int) n);

    for (i = 0; i < n; i++) {
        rd_kafka_topic_partition_list_add(list, topic, partitions[i])->offset =
            time;
    }

    code = rd_kafka_offsets_for_times(client, list, timeout);

    for (i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < n; i++) {
        elem = rd_kafka_topic_partition_list_find(list, topic, partitions[i]);

        if (elem->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            code = elem->err;

        } else if (elem->offset < 0 && time < 0) {
            code = RD_KAFKA_RESP_ERR__NO_OFFSET;

        } else {
            ret_offsets[i] = elem->offset < 0 ? -1 : elem->offset;
        }
    }

    rd_kafka_topic_partition_list_destroy(list);

    return code;
}


/*
 * librdkafka 2.0.2 asks the leaders that it knows, and that one of them is
 * none any more makes it learn nothing: until it asks for the topic anew, up
 * to topic.metadata.refresh.interval.ms (5 min) later, every question would
 * fail like the first.
 */
static void
offsets_refresh(rd_kafka_t *client, const char *topic, int timeout)
{
    rd_kafka_topic_t *handle;
    const struct rd_kafka_metadata *about;

    handle = rd_kafka_topic_new(client, topic, NULL);
    if (handle == NULL) {
        return;
    }

    if (rd_kafka_metadata(client, 0, handle, &about, timeout)
        == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        rd_kafka_metadata_destroy(about);
    }

    rd_kafka_topic_destroy(handle);
}


int
mr_offsets_leaders(rd_kafka_t *client, const char *topic,
    const int32_t *partitions, size_t n, int timeout, int32_t *ret_leaders,
    mr_error_t *err)
{
    size_t i;
    rd_kafka_topic_t *handle;
    rd_kafka_resp_err_t code;
    const struct rd_kafka_metadata *about;

    handle = rd_kafka_topic_new(client, topic, NULL);
    code = RD_KAFKA_RESP_ERR__FAIL;

    if (handle != NULL) {
        code = rd_kafka_metadata(client, 0, handle, &about, timeout);
        rd_kafka_topic_destroy(handle);
    }

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return mr_error_set(err, MR_ERROR_KAFKA, NULL,
            "cannot learn the leaders of %s: %s", topic,
            rd_kafka_err2str(code));
    }

    for (i = 0; i < n; i++) {
        ret_leaders[i] = about->topic_cnt == 1
                             ? offsets_leader(&about->topics[0], partitions[i])
                             : -1;
    }

    rd_kafka_metadata_destroy(about);

    return 0;
}


static int32_t
offsets_leader(const struct rd_kafka_metadata_topic *topic, int32_t partition)
{
    int i;

    for (i = 0; i < topic->partition_cnt; i++) {
        if (topic->partitions[i].id == partition) {
            return topic->partitions[i].leader;
        }
    }

    return -1;
}


int
mr_offsets_client(const mr_options_t *options, const char *client_id, int all,
    rd_kafka_t **ret_client, mr_error_t *err)
{
    char why[256];
    rd_kafka_t *client;
    rd_kafka_conf_t *conf;

    if (mr_kafka_conf(options, client_id, &conf, err) != 0) {
        return -1;
    }

    /* The client that reads says all there is to say. */
    if (mr_kafka_conf_set(conf, "log_level", "0", err) != 0
        || (all
            && mr_kafka_conf_set(
                   conf, "isolation.level", "read_uncommitted", err)
                   != 0))
    {
        rd_kafka_conf_destroy(conf);
        return -1;
    }

    client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));

    if (client == NULL) {
        rd_kafka_conf_destroy(conf);
        return mr_error_set(
            err, MR_ERROR_CONFIG, NULL, "[kafka] client: %s", why);
    }

    *ret_client = client;

    return 0;
}
