package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adapters/lines"
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

type producerKind struct {
	codec      string
	idempotent bool
}

// producer answers the one client for all records of that kind.
func (a *adapter) producer(kind producerKind) (*kgo.Client, error) {
	if client := a.producers[kind]; client != nil {
		return client, nil
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(a.address),
		kgo.ProducerBatchCompression(codecs[kind.codec]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
	}
	if !kind.idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(options...)
	if err == nil {
		a.producers[kind] = client
	}
	return client, err
}

func outgoing(topic string, wanted *lines.Record) *kgo.Record {
	record := &kgo.Record{Topic: topic, Partition: wanted.Partition, Key: wanted.Key, Value: wanted.Value}
	for _, header := range wanted.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
	}
	if wanted.Timestamp != nil {
		record.Timestamp = time.UnixMilli(*wanted.Timestamp)
	}
	return record
}

func (a *adapter) produce(r *lines.Request) (lines.Fields, error) {
	client, err := a.producer(producerKind{r.Codec, r.Idempotent})
	if err != nil {
		return nil, err
	}
	return send(client, r)
}

func send(client *kgo.Client, r *lines.Request) (lines.Fields, error) {
	records := make([]*kgo.Record, len(r.Records))
	for i := range r.Records {
		records[i] = outgoing(r.Topic, &r.Records[i])
	}
	if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		return nil, err
	}
	offsets := make([]int64, len(records))
	for i, record := range records {
		offsets[i] = record.Offset
	}
	return lines.Fields{"offsets": offsets}, nil
}

func incoming(record *kgo.Record) lines.Record {
	timestamp := record.Timestamp.UnixMilli()
	found := lines.Record{Partition: record.Partition, Offset: record.Offset, Key: record.Key, Value: record.Value,
		Timestamp: &timestamp}
	for _, header := range record.Headers {
		found.Headers = append(found.Headers, lines.Header{Key: header.Key, Value: header.Value})
	}
	return found
}

func (a *adapter) read(r *lines.Request) (lines.Fields, error) {
	isolation := kgo.ReadUncommitted()
	if r.Committed {
		isolation = kgo.ReadCommitted()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(a.address), kgo.FetchIsolationLevel(isolation),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.Topic: {r.Partition: kgo.NewOffset().At(r.Offset)}}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.TimeoutMs)*time.Millisecond)
	defer cancel()
	found := []lines.Record{}
	for len(found) < r.Count && ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 && ctx.Err() == nil {
			return nil, errs[0].Err
		}
		fetches.EachRecord(func(record *kgo.Record) { found = append(found, incoming(record)) })
	}
	return lines.Fields{"records": found[:min(len(found), r.Count)]}, nil
}

func (a *adapter) offset(r *lines.Request) (lines.Fields, error) {
	var listed kadm.ListedOffsets
	var err error
	switch r.At {
	case -2:
		listed, err = a.admin.ListStartOffsets(context.Background(), r.Topic)
	case -1:
		listed, err = a.admin.ListEndOffsets(context.Background(), r.Topic)
	default:
		listed, err = a.admin.ListOffsetsAfterMilli(context.Background(), r.At, r.Topic)
	}
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	one, _ := listed.Lookup(r.Topic, r.Partition)
	// kadm answers the end, without a timestamp, where the broker says that no record is that young.
	if r.At >= 0 && one.Timestamp == -1 {
		one.Offset = -1
	}
	return lines.Fields{"offset": one.Offset}, nil
}
