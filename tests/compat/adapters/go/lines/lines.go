// Package lines is what the adapters in Go share: the lines of ../../PROTOCOL.md.
package lines

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
)

// Request has the fields of every word.
type Request struct {
	ID          int               `json:"id"`
	Do          string            `json:"do"`
	Topic       string            `json:"topic"`
	Partition   int32             `json:"partition"`
	Partitions  json.RawMessage   `json:"partitions"` // a number or a list
	Codec       string            `json:"codec"`
	Idempotent  bool              `json:"idempotent"`
	Records     []Record          `json:"records"`
	Offset      int64             `json:"offset"`
	Offsets     []Offset          `json:"offsets"` // nil: behind everything delivered
	Count       int               `json:"count"`
	TimeoutMs   int               `json:"timeout_ms"`
	At          int64             `json:"at"`
	Before      int64             `json:"before"`
	Group       string            `json:"group"`
	Topics      []string          `json:"topics"`
	Instance    string            `json:"instance"` // empty: a dynamic member
	Strategy    string            `json:"strategy"`
	SessionMs   int               `json:"session_ms"`
	HeartbeatMs int               `json:"heartbeat_ms"`
	RebalanceMs int               `json:"rebalance_ms"`
	Configs     map[string]string `json:"configs"`
	Set         map[string]string `json:"set"`
	Total       int               `json:"total"`
	Broker      *string           `json:"broker"`
	As          string            `json:"as"`  // the name of a transactional producer
	Txn         string            `json:"txn"` // its transactional id
	Commit      bool              `json:"commit"`
	Committed   bool              `json:"committed"` // read committed only
	To          string            `json:"to"`        // the topic that a chain writes to
}

// Record is one to produce, or one that was read. A nil slice is null.
type Record struct {
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []Header `json:"headers"`
	Timestamp *int64   `json:"timestamp"`
}

// Header is written as [key, value].
type Header struct {
	Key   string
	Value []byte
}

// Partition is written as [topic, number].
type Partition struct {
	Topic  string
	Number int32
}

// Offset is read from [topic, partition, offset, metadata].
type Offset struct {
	Partition
	At       int64
	Metadata string
}

// Fields are those of an answer.
type Fields map[string]any

// Word does what a request asks. It runs on the one thread that reads the requests.
type Word func(*Request) (Fields, error)

// Unsupported is the error of a word that the client has no means for.
type Unsupported string

func (why Unsupported) Error() string { return string(why) }

func (h *Header) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&h.Key, &h.Value})
}

func (h Header) MarshalJSON() ([]byte, error) { return json.Marshal([]any{h.Key, h.Value}) }

func (p *Partition) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&p.Topic, &p.Number})
}

func (p Partition) MarshalJSON() ([]byte, error) { return json.Marshal([]any{p.Topic, p.Number}) }

func (o *Offset) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&o.Topic, &o.Number, &o.At, &o.Metadata})
}

// PartitionCount is the number `partitions` of create_topic.
func (r *Request) PartitionCount() (count int, err error) {
	err = json.Unmarshal(r.Partitions, &count)
	return
}

// PartitionList is the list `partitions` of committed.
func (r *Request) PartitionList() (list []Partition, err error) {
	err = json.Unmarshal(r.Partitions, &list)
	return
}

var output sync.Mutex

func say(line Fields) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

// Assigned is everything that the member owns now.
func Assigned(owned []Partition, generation int32) {
	say(Fields{"event": "assigned", "partitions": append([]Partition{}, owned...), "generation": generation})
}

// Revoked is what was taken from the member.
func Revoked(taken []Partition) {
	if len(taken) > 0 {
		say(Fields{"event": "revoked", "partitions": taken})
	}
}

// Delivered is a record that the member was given.
func Delivered(topic string, partition int32, offset int64, value []byte) {
	say(Fields{"event": "record", "topic": topic, "partition": partition, "offset": offset, "value": value})
}

// Failed is what the client reported to the member.
func Failed(err error) {
	say(Fields{"event": "error", "error": err.Error()})
}

// Transformed is what a chain makes of a record.
func Transformed(value []byte) []byte { return append([]byte("did "), value...) }

// Chained is a transaction that a chain has committed.
func Chained(count int) {
	say(Fields{"event": "transformed", "count": count})
}

// Listed turns topic -> partitions into a list.
func Listed(topics map[string][]int32) []Partition {
	var list []Partition
	for topic, partitions := range topics {
		for _, number := range partitions {
			list = append(list, Partition{topic, number})
		}
	}
	return list
}

// Version is that of a module which the program was built with.
func Version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version
		}
	}
	return "unknown"
}

func answer(words map[string]Word, request *Request) Fields {
	word := words[request.Do]
	if word == nil {
		return Fields{"error": "the adapter does not know this word"}
	}
	fields, err := word(request)
	if why, is := err.(Unsupported); is {
		return Fields{"unsupported": string(why)}
	}
	if err != nil {
		return Fields{"error": err.Error()}
	}
	if fields == nil {
		fields = Fields{}
	}
	fields["ok"] = true
	return fields
}

// Serve answers requests until quit, or until the input ends: then everything is dropped at once.
func Serve(words map[string]Word) {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := input.ReadBytes('\n')
		if err != nil {
			os.Exit(1)
		}
		request := &Request{}
		said := Fields{}
		if err := json.Unmarshal(line, request); err != nil {
			said["error"] = fmt.Sprintf("the adapter does not understand: %v", err)
		} else {
			said = answer(words, request)
		}
		said["id"] = request.ID
		say(said)
		if request.Do == "quit" {
			os.Exit(0)
		}
	}
}

// Missing is a word that always says why the client lacks it.
func Missing(why string) Word {
	return func(*Request) (Fields, error) { return nil, Unsupported(why) }
}
