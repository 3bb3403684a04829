// go-ingest is the service that a team would otherwise write: POST /events
// into Kafka, answered once the broker has acknowledged.  net/http, franz-go
// and a fast JSON package; it exists to be measured beside the nginx module.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"net/http/pprof"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8090", "address to serve")
	brokers := flag.String("brokers", "127.0.0.1:9092", "Kafka, comma-separated")
	topic := flag.String("topic", "events", "topic for the events")
	linger := flag.Duration("linger", 0, "wait to fill a batch for Kafka")
	gc := flag.Int("gc", 400, "GOGC: fewer collections for more memory")
	profile := flag.String("pprof", "", "address to serve profiles at")
	flag.Parse()

	debug.SetGCPercent(*gc)

	service, err := newService(*brokers, *topic, *linger)
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/events", service.events)
	mux.HandleFunc("GET /healthz", service.health)

	if *profile != "" {
		go serveProfiles(*profile)
	}

	server := &http.Server{
		Addr:              *listen,
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		IdleTimeout:       75 * time.Second,
	}

	stop, cancel := signal.NotifyContext(context.Background(),
		syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	go func() {
		<-stop.Done()
		limit, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		if err := server.Shutdown(limit); err != nil {
			log.Print(err)
		}
	}()

	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}

	service.close()
}

func serveProfiles(address string) {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	log.Print(http.ListenAndServe(address, mux))
}
