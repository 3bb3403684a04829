package main

import (
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/bytedance/sonic"
)

// The limits of the API.
const (
	maxEventID   = 128
	maxUserID    = 256
	maxEventType = 128
	maxEvent     = 64 << 10
	maxBatch     = 10000
	maxFuture    = 24 * time.Hour
)

// Refuses unknown members, invalid UTF-8 and control characters in strings.
// Strings refer to the body, which lives until the request is answered.
var strict = sonic.Config{
	DisallowUnknownFields: true,
	ValidateString:        true,
}.Froze()

// event is one decoded event; metadata stays text, checked to be JSON.
type event struct {
	EventID   string                 `json:"event_id"`
	UserID    string                 `json:"user_id"`
	EventType string                 `json:"event_type"`
	Timestamp float64                `json:"timestamp"`
	Metadata  sonic.NoCopyRawMessage `json:"metadata"`
}

// judge decodes one event into e, or says what is wrong with it.
func judge(text []byte, e *event, now float64) error {
	if len(text) > maxEvent {
		return fmt.Errorf("the event is larger than %d bytes", maxEvent)
	}

	// What is absent, or null, stays as it is here and is refused below.
	*e = event{Timestamp: math.NaN()}

	if err := strict.UnmarshalFromString(
		unsafe.String(unsafe.SliceData(text), len(text)), e); err != nil {
		return fmt.Errorf("not a valid event: %.200s", err.Error())
	}

	if err := identifier("event_id", e.EventID, maxEventID); err != nil {
		return err
	}
	if err := identifier("user_id", e.UserID, maxUserID); err != nil {
		return err
	}
	if err := identifier("event_type", e.EventType, maxEventType); err != nil {
		return err
	}

	if !(e.Timestamp >= 0 && e.Timestamp <= now+maxFuture.Seconds()) {
		return fmt.Errorf("timestamp must be UNIX seconds from 0 to %v ahead",
			maxFuture)
	}

	if len(e.Metadata) > 0 && e.Metadata[0] != '{' {
		return fmt.Errorf("metadata must be an object")
	}

	return nil
}

func identifier(name, value string, limit int) error {
	if len(value) == 0 || len(value) > limit {
		return fmt.Errorf("%s must be a string of 1 to %d bytes", name, limit)
	}

	for i := 0; i < len(value); i++ {
		if value[i] < 0x20 || value[i] == 0x7f {
			return fmt.Errorf("%s must not hold control characters", name)
		}
	}

	return nil
}
