package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"adapters/lines"
)

// member is a ConsumerGroup, whose generations each read their partitions with a Reader of its own.
type member struct {
	a     *adapter
	group *kafka.ConsumerGroup
	over  chan struct{}

	lock       sync.Mutex // every partition is read by a goroutine
	generation *kafka.Generation
	ends       map[lines.Partition]int64 // behind what was delivered of what it owns
}

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func (a *adapter) join(r *lines.Request) (lines.Fields, error) {
	if r.Instance != "" {
		return nil, lines.Unsupported("kafka.ConsumerGroup has no static membership")
	}
	if r.Strategy == "cooperative" {
		return nil, lines.Unsupported("kafka.ConsumerGroup has no cooperative rebalancing")
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                r.Group,
		Brokers:           []string{a.address},
		Topics:            r.Topics,
		GroupBalancers:    []kafka.GroupBalancer{kafka.RangeGroupBalancer{}},
		SessionTimeout:    millis(r.SessionMs),
		HeartbeatInterval: millis(r.HeartbeatMs),
		RebalanceTimeout:  millis(r.RebalanceMs),
		StartOffset:       kafka.FirstOffset,
	})
	if err != nil {
		return nil, err
	}
	a.member = &member{a: a, group: group, over: make(chan struct{}), ends: map[lines.Partition]int64{}}
	go a.member.live()
	return nil, nil
}

func (m *member) live() {
	defer close(m.over)
	for {
		generation, err := m.group.Next(background)
		if errors.Is(err, kafka.ErrGroupClosed) {
			return
		}
		if err != nil {
			lines.Failed(err)
			continue
		}
		m.begin(generation)
	}
}

func (m *member) begin(generation *kafka.Generation) {
	m.lock.Lock()
	m.generation = generation
	m.lock.Unlock()
	owned := []lines.Partition{}
	for topic, partitions := range generation.Assignments {
		for _, partition := range partitions {
			owned = append(owned, lines.Partition{Topic: topic, Number: int32(partition.ID)})
		}
	}
	lines.Assigned(owned, generation.ID)
	for topic, partitions := range generation.Assignments {
		for _, partition := range partitions {
			generation.Start(func(ctx context.Context) { m.follow(ctx, topic, partition) })
		}
	}
}

// follow reads one partition until the generation ends.
func (m *member) follow(ctx context.Context, topic string, partition kafka.PartitionAssignment) {
	one := lines.Partition{Topic: topic, Number: int32(partition.ID)}
	reader, err := m.a.reader(topic, partition.ID, partition.Offset)
	for err == nil {
		var message kafka.Message
		if message, err = reader.ReadMessage(ctx); err == nil {
			m.deliver(one, &message)
		}
	}
	if ctx.Err() == nil {
		lines.Failed(err)
		<-ctx.Done()
	}
	reader.Close()
	m.lock.Lock()
	defer m.lock.Unlock()
	delete(m.ends, one)
	lines.Revoked([]lines.Partition{one})
}

func (m *member) deliver(one lines.Partition, message *kafka.Message) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.ends[one] = message.Offset + 1
	lines.Delivered(message.Topic, int32(message.Partition), message.Offset, message.Value)
}

// commit behind everything as most programs do, by the generation; given offsets with the request that takes metadata.
func (a *adapter) commit(r *lines.Request) (lines.Fields, error) {
	if a.member == nil {
		return nil, errors.New("no member has joined")
	}
	a.member.lock.Lock()
	defer a.member.lock.Unlock()
	if a.member.generation == nil {
		return nil, errors.New("the member has no generation yet")
	}
	if r.Offsets == nil {
		return nil, a.member.commitDelivered()
	}
	return nil, a.member.commitGiven(r.Offsets)
}

func (m *member) commitDelivered() error {
	offsets := map[string]map[int]int64{}
	for one, end := range m.ends {
		if offsets[one.Topic] == nil {
			offsets[one.Topic] = map[int]int64{}
		}
		offsets[one.Topic][int(one.Number)] = end
	}
	return m.generation.CommitOffsets(offsets)
}

func (m *member) commitGiven(wanted []lines.Offset) error {
	topics := map[string][]kafka.OffsetCommit{}
	for _, one := range wanted {
		topics[one.Topic] = append(topics[one.Topic],
			kafka.OffsetCommit{Partition: int(one.Number), Offset: one.At, Metadata: one.Metadata})
	}
	client, close := m.a.client()
	defer close()
	answer, err := client.OffsetCommit(background, &kafka.OffsetCommitRequest{GroupID: m.generation.GroupID,
		GenerationID: int(m.generation.ID), MemberID: m.generation.MemberID, Topics: topics})
	if err != nil {
		return err
	}
	for _, partitions := range answer.Topics {
		for _, partition := range partitions {
			if partition.Error != nil {
				return partition.Error
			}
		}
	}
	return nil
}

func (a *adapter) leave(*lines.Request) (lines.Fields, error) {
	if a.member == nil {
		return nil, nil
	}
	m := a.member
	a.member = nil
	err := m.group.Close()
	<-m.over
	return nil, err
}
