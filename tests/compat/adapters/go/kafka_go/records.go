package main

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"adapters/lines"
)

var codecs = map[string]kafka.Compression{
	"gzip":   kafka.Gzip,
	"snappy": kafka.Snappy,
	"lz4":    kafka.Lz4,
	"zstd":   kafka.Zstd,
}

// placing travels with a message through the writer: where it shall go, and where it went.
type placing struct {
	partition int
	offset    int64
}

// place is the writer's balancer.
func place(message kafka.Message, _ ...int) int { return message.WriterData.(*placing).partition }

func placed(messages []kafka.Message, err error) {
	for _, message := range messages {
		if err == nil {
			message.WriterData.(*placing).offset = message.Offset
		}
	}
}

func (a *adapter) writer(codec string, transport *kafka.Transport) *kafka.Writer {
	return &kafka.Writer{
		Addr:         kafka.TCP(a.address),
		Balancer:     kafka.BalancerFunc(place),
		BatchTimeout: 10 * time.Millisecond,
		RequiredAcks: kafka.RequireAll,
		Completion:   placed,
		Compression:  codecs[codec],
		Transport:    transport,
	}
}

// lossy says whether the client's own Reader could not give that back.
func lossy(wanted *lines.Record) bool {
	empty := func(content []byte) bool { return content != nil && len(content) == 0 }
	for _, header := range wanted.Headers {
		if empty(header.Value) {
			return true
		}
	}
	return empty(wanted.Key) || empty(wanted.Value)
}

func outgoing(topic string, wanted *lines.Record) kafka.Message {
	message := kafka.Message{Topic: topic, Key: wanted.Key, Value: wanted.Value,
		WriterData: &placing{partition: int(wanted.Partition), offset: -1}}
	for _, header := range wanted.Headers {
		message.Headers = append(message.Headers, kafka.Header{Key: header.Key, Value: header.Value})
	}
	if wanted.Timestamp != nil {
		message.Time = time.UnixMilli(*wanted.Timestamp)
	}
	return message
}

// firstOf the errors of single messages, if the error is those.
func firstOf(err error) error {
	if all, are := err.(kafka.WriteErrors); are {
		for _, one := range all {
			if one != nil {
				return one
			}
		}
	}
	return err
}

func (a *adapter) produce(r *lines.Request) (lines.Fields, error) {
	if r.Idempotent {
		return nil, lines.Unsupported("kafka.Writer has no idempotence")
	}
	messages := make([]kafka.Message, len(r.Records))
	for i := range r.Records {
		if lossy(&r.Records[i]) {
			return nil, lines.Unsupported("kafka.Reader gives null for what is empty")
		}
		messages[i] = outgoing(r.Topic, &r.Records[i])
	}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	writer := a.writer(r.Codec, transport)
	defer writer.Close()
	if err := writer.WriteMessages(background, messages...); err != nil {
		return nil, firstOf(err)
	}
	offsets := make([]int64, len(messages))
	for i, message := range messages {
		offsets[i] = message.WriterData.(*placing).offset
	}
	return lines.Fields{"offsets": offsets}, nil
}

func incoming(message *kafka.Message) lines.Record {
	timestamp := message.Time.UnixMilli()
	found := lines.Record{Partition: int32(message.Partition), Offset: message.Offset, Key: message.Key,
		Value: message.Value, Timestamp: &timestamp}
	for _, header := range message.Headers {
		found.Headers = append(found.Headers, lines.Header{Key: header.Key, Value: header.Value})
	}
	return found
}

// reader of one partition, from an offset on or from one of the client's two special ones.
func (a *adapter) reader(topic string, partition int, offset int64) (*kafka.Reader, error) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{a.address}, Topic: topic, Partition: partition,
		MaxBytes: 4 << 20, MaxWait: 100 * time.Millisecond, ReadLagInterval: -1})
	return reader, reader.SetOffset(offset)
}

func (a *adapter) read(r *lines.Request) (lines.Fields, error) {
	reader, err := a.reader(r.Topic, int(r.Partition), r.Offset)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(background, millis(r.TimeoutMs))
	defer cancel()
	found := []lines.Record{}
	for len(found) < r.Count {
		message, err := reader.ReadMessage(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			return nil, err
		}
		found = append(found, incoming(&message))
	}
	return lines.Fields{"records": found}, nil
}

func (a *adapter) offset(r *lines.Request) (lines.Fields, error) {
	client, close := a.client()
	defer close()
	answer, err := client.ListOffsets(background, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		r.Topic: {{Partition: int(r.Partition), Timestamp: r.At}}}})
	if err != nil {
		return nil, err
	}
	found := answer.Topics[r.Topic][0]
	if found.Error != nil {
		return nil, found.Error
	}
	switch r.At {
	case kafka.FirstOffset:
		return lines.Fields{"offset": found.FirstOffset}, nil
	case kafka.LastOffset:
		return lines.Fields{"offset": found.LastOffset}, nil
	}
	for offset := range found.Offsets {
		return lines.Fields{"offset": offset}, nil
	}
	return lines.Fields{"offset": -1}, nil
}
