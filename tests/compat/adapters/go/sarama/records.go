package main

import (
	"time"

	"github.com/IBM/sarama"

	"adapters/lines"
)

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

type producerKind struct {
	codec      string
	idempotent bool
}

// settings are what every part of the client is opened with.
func settings() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	return config
}

// producer answers the one producer for all records of that kind.
func (a *adapter) producer(kind producerKind) (sarama.SyncProducer, error) {
	if producer := a.producers[kind]; producer != nil {
		return producer, nil
	}
	config := settings()
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Compression = codecs[kind.codec]
	if kind.idempotent {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	client, err := sarama.NewClient([]string{a.address}, config)
	if err != nil {
		return nil, err
	}
	if err := connected(client); err != nil {
		return nil, err
	}
	producer, err := sarama.NewSyncProducerFromClient(client)
	if err == nil {
		a.clients = append(a.clients, client)
		a.producers[kind] = producer
	}
	return producer, err
}

// connected waits for the one broker's connection. Without it sarama's first sends to two partitions race: one finds the broker "not
// connected" and closes the connection that the other is using, which then sends its records again.
func connected(client sarama.Client) error {
	broker, err := client.Controller()
	if err != nil {
		return err
	}
	_, err = broker.Connected()
	return err
}

// encoder of bytes; null stays nil.
func encoder(content []byte) sarama.Encoder {
	if content == nil {
		return nil
	}
	return sarama.ByteEncoder(content)
}

func outgoing(topic string, wanted *lines.Record) *sarama.ProducerMessage {
	message := &sarama.ProducerMessage{Topic: topic, Partition: wanted.Partition, Key: encoder(wanted.Key),
		Value: encoder(wanted.Value)}
	for _, header := range wanted.Headers {
		message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Key), Value: header.Value})
	}
	if wanted.Timestamp != nil {
		message.Timestamp = time.UnixMilli(*wanted.Timestamp)
	}
	return message
}

func (a *adapter) produce(r *lines.Request) (lines.Fields, error) {
	producer, err := a.producer(producerKind{r.Codec, r.Idempotent})
	if err != nil {
		return nil, err
	}
	return send(producer, r)
}

func send(producer sarama.SyncProducer, r *lines.Request) (lines.Fields, error) {
	messages := make([]*sarama.ProducerMessage, len(r.Records))
	for i := range r.Records {
		messages[i] = outgoing(r.Topic, &r.Records[i])
	}
	if err := producer.SendMessages(messages); err != nil {
		if all, are := err.(sarama.ProducerErrors); are && len(all) > 0 {
			return nil, all[0]
		}
		return nil, err
	}
	offsets := make([]int64, len(messages))
	for i, message := range messages {
		offsets[i] = message.Offset
	}
	return lines.Fields{"offsets": offsets}, nil
}

func incoming(message *sarama.ConsumerMessage) lines.Record {
	timestamp := message.Timestamp.UnixMilli()
	found := lines.Record{Partition: message.Partition, Offset: message.Offset, Key: message.Key, Value: message.Value,
		Timestamp: &timestamp}
	for _, header := range message.Headers {
		found.Headers = append(found.Headers, lines.Header{Key: string(header.Key), Value: header.Value})
	}
	return found
}

func (a *adapter) read(r *lines.Request) (lines.Fields, error) {
	config := settings()
	config.Consumer.Return.Errors = true
	if r.Committed {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	consumer, err := sarama.NewConsumer([]string{a.address}, config)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(r.Topic, r.Partition, r.Offset)
	if err != nil {
		return nil, err
	}
	defer partition.AsyncClose()
	late := time.After(time.Duration(r.TimeoutMs) * time.Millisecond)
	found := []lines.Record{}
	for len(found) < r.Count {
		select {
		case message := <-partition.Messages():
			found = append(found, incoming(message))
		case err := <-partition.Errors():
			return nil, err
		case <-late:
			return lines.Fields{"records": found}, nil
		}
	}
	return lines.Fields{"records": found}, nil
}

func (a *adapter) offset(r *lines.Request) (lines.Fields, error) {
	offset, err := a.client.GetOffset(r.Topic, r.Partition, r.At)
	return lines.Fields{"offset": offset}, err
}
