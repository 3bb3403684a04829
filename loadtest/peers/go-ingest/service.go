package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	ackTimeout  = 10 * time.Second
	maxBuffered = 500000
	maxErrors   = 100
)

type service struct {
	client *kgo.Client
	jobs   sync.Pool
}

// job is the memory of one request, used again by a later one.
type job struct {
	body    []byte
	texts   [][]byte
	records []kgo.Record
	pending atomic.Int64
	failure atomic.Pointer[error]
	done    chan struct{}
	promise func(*kgo.Record, error)
	answer  []byte
}

// problem is an RFC 9457 answer.
type problem struct {
	Type   string      `json:"type"`
	Title  string      `json:"title"`
	Status int         `json:"status"`
	Detail string      `json:"detail"`
	Errors []itemError `json:"errors,omitempty"`
	Total  int         `json:"errors_total,omitempty"`
}

type itemError struct {
	Index   int    `json:"index"`
	Message string `json:"message"`
}

func newService(brokers, topic string, linger time.Duration) (*service, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.DefaultProduceTopic(topic),
		kgo.ClientID("go-ingest"),
		// acks=all and idempotence are franz-go's defaults, as is the
		// partitioner that hashes keys as Java's does.
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(linger),
		kgo.MaxBufferedRecords(maxBuffered),
		kgo.RecordDeliveryTimeout(ackTimeout),
	)
	if err != nil {
		return nil, err
	}

	limit, cancel := context.WithTimeout(context.Background(), ackTimeout)
	defer cancel()
	if err := client.Ping(limit); err != nil {
		return nil, fmt.Errorf("Kafka at %s: %w", brokers, err)
	}

	s := &service{client: client}
	s.jobs.New = func() any {
		j := &job{done: make(chan struct{}, 1)}
		j.promise = func(_ *kgo.Record, err error) { j.release(err) }
		return j
	}

	return s, nil
}

func (s *service) close() {
	s.client.Close()
}

func (s *service) health(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusOK)
}

func (s *service) events(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		fail(w, http.StatusMethodNotAllowed, "events are sent with POST", nil)
		return
	}

	lines, ok := isLines(r.Header.Get("Content-Type"))
	if !ok {
		fail(w, http.StatusUnsupportedMediaType,
			"send application/json or application/x-ndjson", nil)
		return
	}

	j := s.jobs.Get().(*job)
	defer s.jobs.Put(j)

	var err error
	j.body, err = readBody(r, j.body)
	if err == nil {
		j.texts, err = split(j.body, lines, j.texts[:0])
	}

	switch {
	case err == nil:
	case errors.Is(err, errTooLarge), errors.Is(err, errTooMany):
		fail(w, http.StatusRequestEntityTooLarge, err.Error(), nil)
		return
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return
	default:
		fail(w, http.StatusBadRequest, err.Error(), nil)
		return
	}

	if bad := j.judge(); len(bad) > 0 {
		fail(w, http.StatusBadRequest, fmt.Sprintf(
			"%d of %d events are invalid; none was taken", len(bad),
			len(j.texts)), bad)
		return
	}

	if err := j.produce(s.client); err != nil {
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, err.Error(), nil)
		return
	}

	j.answer = append(j.answer[:0], `{"accepted":`...)
	j.answer = strconv.AppendInt(j.answer, int64(len(j.texts)), 10)
	j.answer = append(j.answer, "}\n"...)

	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(j.answer)))
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(j.answer)
}

// judge makes a record of every text, or says which are no valid events.
func (j *job) judge() []itemError {
	var bad []itemError
	var e event

	now := float64(time.Now().UnixMilli()) / 1000

	if cap(j.records) < len(j.texts) {
		j.records = make([]kgo.Record, len(j.texts))
	}
	j.records = j.records[:len(j.texts)]

	for i, text := range j.texts {
		if err := judge(text, &e, now); err != nil {
			bad = append(bad, itemError{i, err.Error()})
			continue
		}
		// Neither is changed by the client, and both outlive the promise.
		j.records[i] = kgo.Record{Value: text, Key: unsafe.Slice(
			unsafe.StringData(e.UserID), len(e.UserID))}
	}

	return bad
}

// produce returns once every record is acknowledged or has failed.
func (j *job) produce(client *kgo.Client) error {
	j.failure.Store(nil)
	j.pending.Store(int64(len(j.records)))

	for i := range j.records {
		client.TryProduce(context.Background(), &j.records[i], j.promise)
	}

	<-j.done

	if err := j.failure.Load(); err != nil {
		return *err
	}

	return nil
}

func (j *job) release(err error) {
	if err != nil {
		j.failure.CompareAndSwap(nil, &err)
	}
	if j.pending.Add(-1) == 0 {
		j.done <- struct{}{}
	}
}

func fail(w http.ResponseWriter, status int, detail string, bad []itemError) {
	p := problem{"about:blank", http.StatusText(status), status, detail,
		bad, len(bad)}
	if len(bad) > maxErrors {
		p.Errors = bad[:maxErrors]
	}

	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p)
}
