package main

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/bytedance/sonic"
)

const maxBody = 16 << 20

var (
	errEmpty    = errors.New("there is no event in the body")
	errTooMany  = errors.New("more than 10000 events in one request")
	errTooLarge = errors.New("the body is larger than 16 MiB")
)

// readBody reads the whole body into buf, grown where it must be.
func readBody(r *http.Request, buf []byte) ([]byte, error) {
	if r.ContentLength > maxBody {
		return buf, errTooLarge
	}

	if r.ContentLength >= 0 {
		if int64(cap(buf)) < r.ContentLength {
			buf = make([]byte, r.ContentLength)
		}
		buf = buf[:r.ContentLength]
		_, err := io.ReadFull(r.Body, buf)
		return buf, err
	}

	out := bytes.NewBuffer(buf[:0])
	n, err := io.Copy(out, io.LimitReader(r.Body, maxBody+1))
	if err == nil && n > maxBody {
		err = errTooLarge
	}

	return out.Bytes(), err
}

// isLines says whether the media type is NDJSON; ok is false for one that
// is not taken.
func isLines(contentType string) (lines, ok bool) {
	switch contentType {
	case "application/x-ndjson":
		return true, true
	case "application/json":
		return false, true
	}

	name, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false, false
	}

	switch name {
	case "application/x-ndjson":
		return true, true
	case "application/json", "text/plain":
		return false, true
	}

	return false, false
}

// split cuts a body into the texts of its events, appended to texts.
func split(body []byte, lines bool, texts [][]byte) ([][]byte, error) {
	if lines {
		return splitLines(body, texts)
	}

	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return texts, errEmpty
	}
	if body[0] != '[' {
		return append(texts, body), nil
	}

	var items []sonic.NoCopyRawMessage
	if err := strict.Unmarshal(body, &items); err != nil {
		return texts, err
	}
	if len(items) == 0 {
		return texts, errEmpty
	}
	if len(items) > maxBatch {
		return texts, errTooMany
	}

	for _, item := range items {
		texts = append(texts, item)
	}

	return texts, nil
}

func splitLines(body []byte, texts [][]byte) ([][]byte, error) {
	for len(body) > 0 {
		line := body
		if i := bytes.IndexByte(body, '\n'); i >= 0 {
			line, body = body[:i], body[i+1:]
		} else {
			body = nil
		}

		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if len(texts) == maxBatch {
			return texts, errTooMany
		}
		texts = append(texts, line)
	}

	if len(texts) == 0 {
		return texts, errEmpty
	}

	return texts, nil
}
