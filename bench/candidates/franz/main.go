// franz-go, as a candidate of the benchmarks: a scenario from standard input, what was found on standard output. What they
// have in them is told in bench/candidates/scenario.py.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type scenario struct {
	Do           string  `json:"do"`
	How          string  `json:"how"`
	Bootstrap    string  `json:"bootstrap"`
	Topic        string  `json:"topic"`
	Topics       int     `json:"topics"`
	Seconds      float64 `json:"seconds"`
	Values       string  `json:"values"`
	Size         int     `json:"size"`
	LingerMs     int     `json:"linger_ms"`
	BatchSize    int32   `json:"batch_size"`
	BufferMemory int     `json:"buffer_memory"`
	Acks         any     `json:"acks"`
	Idempotence  bool    `json:"idempotence"`
	Compression  string  `json:"compression"`
	CA           string  `json:"ca"`
	Records      int     `json:"records"`
	Offered      float64 `json:"offered"`
}

type found map[string]float64

const warmChunks, keyCount = 10, 10_000

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// The clock: of the time, and of the processor.
type measured struct {
	before float64
	start  time.Time
	cpu    time.Duration
}

func processorTime() time.Duration {
	var used syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// The most memory there has been; reset: from now on.
func peakMB(reset bool) float64 {
	if reset {
		os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	}
	data, _ := os.ReadFile("/proc/self/status")
	var kib float64
	if _, after, there := strings.Cut(string(data), "VmHWM:"); there {
		fmt.Sscan(after, &kib)
	}
	return kib / 1024
}

func (m *measured) begin() {
	m.cpu = processorTime()
	m.start = time.Now()
}

func (m *measured) end(records, warm int) found {
	seconds := time.Since(m.start).Seconds()
	cpu := processorTime()
	return found{
		"records": float64(records), "warm": float64(warm), "seconds": seconds,
		"cpu_us":  float64((cpu - m.cpu).Microseconds()) / float64(records),
		"peak_mb": peakMB(false) - m.before,
	}
}

func secured(s scenario) []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(strings.Split(s.Bootstrap, ",")...)}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		must(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		opts = append(opts, kgo.DialTLSConfig(&tls.Config{RootCAs: pool}))
	}
	return opts
}

func producerFor(s scenario, more ...kgo.Opt) *kgo.Client {
	codec := map[string]kgo.CompressionCodec{
		"": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "lz4": kgo.Lz4Compression(),
		"snappy": kgo.SnappyCompression(), "zstd": kgo.ZstdCompression(),
	}[s.Compression]
	opts := append(secured(s),
		kgo.DefaultProduceTopic(s.Topic),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(time.Duration(s.LingerMs)*time.Millisecond),
		kgo.ProducerBatchMaxBytes(s.BatchSize),
		kgo.MaxBufferedRecords(1_000_000),
		kgo.MaxBufferedBytes(s.BufferMemory),
	)
	if s.How != "keyed" {
		opts = append(opts, kgo.RecordPartitioner(kgo.UniformBytesPartitioner(int(s.BatchSize), true, true, nil)))
	}
	switch s.Acks {
	case "all":
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	case 1.0:
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()))
	case 0.0:
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()))
	}
	if !s.Idempotence {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5))
	}
	client, err := kgo.NewClient(append(opts, more...)...)
	must(err)
	return client
}

func valuesOf(s scenario) [][]byte {
	data, err := os.ReadFile(s.Values)
	must(err)
	lines := bytes.Split(data, []byte("\n"))
	return lines[:len(lines)-1]
}

func chunkSize(values [][]byte) int { return max(1, min(1000, (1<<18)/len(values[0]))) }

func produce(s scenario) found {
	values := valuesOf(s)
	size := chunkSize(values)
	keys := make([][]byte, keyCount)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key-%06d", i)
	}
	topics := make([]string, s.Topics)
	for i := range topics {
		topics[i] = fmt.Sprintf("%s-%05d-1", s.Topic, i)
	}
	headers := []kgo.RecordHeader{{Key: "trace", Value: []byte("0123456789abcdef")}, {Key: "kind", Value: []byte("x")}}
	transactional := s.How == "transactions"
	var m measured
	m.before = peakMB(true)
	var more []kgo.Opt
	if transactional {
		more = append(more, kgo.TransactionalID("bench-"+rand.Text()))
	}
	client := producerFor(s, more...)
	ctx := context.Background()
	var acknowledged atomic.Int64
	delivered := func(_ *kgo.Record, err error) {
		must(err)
		acknowledged.Add(1)
	}
	at, key, topic := 0, 0, 0
	chunk := func() {
		for range size {
			record := &kgo.Record{Value: values[at]}
			if at++; at == len(values) {
				at = 0
			}
			switch s.How {
			case "keyed":
				record.Key = keys[key]
				if key++; key == keyCount {
					key = 0
				}
			case "topics":
				record.Topic = topics[topic]
				if topic++; topic == len(topics) {
					topic = 0
				}
			case "headers":
				record.Headers = headers
			}
			client.Produce(ctx, record, delivered)
		}
	}
	group := func() int {
		if !transactional {
			chunk()
			return size
		}
		must(client.BeginTransaction())
		for range 10 {
			chunk()
		}
		must(client.Flush(ctx))
		must(client.EndTransaction(ctx, kgo.TryCommit))
		return 10 * size
	}
	during := func(seconds float64, least int) int {
		sent, end := 0, time.Now().Add(time.Duration(seconds*1e9))
		for n := 0; n < least || time.Now().Before(end); n++ {
			sent += group()
		}
		must(client.Flush(ctx))
		return sent
	}
	warm := during(s.Seconds/5, warmChunks)
	m.begin()
	sent := during(s.Seconds, 1)
	answer := m.end(sent, warm)
	if int(acknowledged.Load()) != warm+sent {
		must(fmt.Errorf("%d of %d records were acknowledged", acknowledged.Load(), warm+sent))
	}
	return answer
}

func latency(s scenario) found {
	values := valuesOf(s)
	var m measured
	m.before = peakMB(true)
	client := producerFor(s)
	ctx := context.Background()
	var lock sync.Mutex
	var latencies []float64
	at := 0
	paced := func(seconds float64) int {
		sent, start := 0, time.Now()
		for now := start; now.Sub(start).Seconds() < seconds; now = time.Now() {
			for due := int(now.Sub(start).Seconds() * s.Offered); sent < due; sent++ {
				begun := time.Now()
				client.Produce(ctx, &kgo.Record{Value: values[at%len(values)]}, func(_ *kgo.Record, err error) {
					must(err)
					took := time.Since(begun).Seconds() * 1e3
					lock.Lock()
					latencies = append(latencies, took)
					lock.Unlock()
				})
				at++
			}
			time.Sleep(time.Millisecond)
		}
		must(client.Flush(ctx))
		return sent
	}
	warm := paced(0.5)
	latencies = latencies[:0]
	m.begin()
	sent := paced(s.Seconds)
	answer := m.end(sent, warm)
	slices.Sort(latencies)
	for name, share := range map[string]float64{"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999} {
		answer[name] = latencies[int(share*float64(len(latencies)))]
	}
	return answer
}

func consume(s scenario) found {
	var m measured
	m.before = peakMB(true)
	client, err := kgo.NewClient(append(secured(s),
		kgo.ConsumerGroup("bench-"+rand.Text()), kgo.ConsumeTopics(s.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	must(err)
	ctx, seen, size := context.Background(), 0, 0
	for seen < s.Records {
		fetches := client.PollFetches(ctx)
		for _, failed := range fetches.Errors() {
			must(failed.Err)
		}
		if seen == 0 && !fetches.Empty() {
			m.begin()
		}
		fetches.EachRecord(func(record *kgo.Record) {
			seen++
			size += len(record.Value)
		})
	}
	answer := m.end(seen, 0)
	client.Close()
	if size != seen*s.Size {
		must(fmt.Errorf("%d records were read, %d bytes", seen, size))
	}
	return answer
}

func main() {
	var s scenario
	must(json.NewDecoder(os.Stdin).Decode(&s))
	answer := map[string]func(scenario) found{"produce": produce, "latency": latency, "consume": consume}[s.Do](s)
	must(json.NewEncoder(os.Stdout).Encode(answer))
}
