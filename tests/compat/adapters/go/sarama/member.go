package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"adapters/lines"
)

// member is the group consumer and its handler. With an eager strategy a session is one generation: Setup tells all
// that it has. With a cooperative one the session lasts, and what comes later begins with its ConsumeClaim.
type member struct {
	group  sarama.ConsumerGroup
	cancel context.CancelFunc
	over   chan struct{}

	lock    sync.Mutex // ConsumeClaim runs on a goroutine for each partition
	session sarama.ConsumerGroupSession
	owned   map[lines.Partition]int64 // -> the offset behind what was delivered, or -1
}

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// memberSettings are those of every member of a group.
func memberSettings(r *lines.Request) *sarama.Config {
	config := settings()
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Group.Session.Timeout = millis(r.SessionMs)
	config.Consumer.Group.Heartbeat.Interval = millis(r.HeartbeatMs)
	config.Consumer.Group.Rebalance.Timeout = millis(r.RebalanceMs)
	config.Consumer.Group.InstanceId = r.Instance
	if r.Strategy == "cooperative" {
		config.Consumer.Group.Rebalance.GroupStrategies =
			[]sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	}
	return config
}

func (a *adapter) join(r *lines.Request) (lines.Fields, error) {
	config := memberSettings(r)
	config.Consumer.Return.Errors = true
	group, err := sarama.NewConsumerGroup([]string{a.address}, r.Group, config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.member = &member{group: group, cancel: cancel, over: make(chan struct{}), owned: map[lines.Partition]int64{}}
	go a.member.live(ctx, r.Topics)
	return nil, nil
}

func (m *member) live(ctx context.Context, topics []string) {
	defer close(m.over)
	go func() {
		for err := range m.group.Errors() {
			lines.Failed(err)
		}
	}()
	for ctx.Err() == nil {
		if err := m.group.Consume(ctx, topics, m); err != nil && ctx.Err() == nil {
			lines.Failed(err)
		}
	}
}

// tell is called with the lock.
func (m *member) tell() {
	lines.Assigned(slices.Collect(maps.Keys(m.owned)), m.session.GenerationID())
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.session = session
	for _, one := range lines.Listed(session.Claims()) {
		m.owned[one] = -1
	}
	m.tell()
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.session = nil
	return nil
}

func (m *member) ConsumeClaim(_ sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	one := lines.Partition{Topic: claim.Topic(), Number: claim.Partition()}
	m.begin(one)
	for message := range claim.Messages() {
		m.lock.Lock()
		m.owned[one] = message.Offset + 1
		lines.Delivered(message.Topic, message.Partition, message.Offset, message.Value)
		m.lock.Unlock()
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	delete(m.owned, one)
	lines.Revoked([]lines.Partition{one})
	return nil
}

func (m *member) begin(one lines.Partition) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if _, told := m.owned[one]; !told {
		m.owned[one] = -1
		m.tell()
	}
}

// delivered is what a commit without offsets is for. Called with the lock.
func (m *member) delivered() (list []lines.Offset) {
	for one, end := range m.owned {
		if end >= 0 {
			list = append(list, lines.Offset{Partition: one, At: end})
		}
	}
	return
}

// commit: MarkOffset only goes forward and ResetOffset only back. The client's Commit tells no error; those
// come as events.
func (a *adapter) commit(r *lines.Request) (lines.Fields, error) {
	if a.member == nil {
		return nil, errors.New("no member has joined")
	}
	a.member.lock.Lock()
	session, wanted := a.member.session, r.Offsets
	if wanted == nil {
		wanted = a.member.delivered()
	}
	a.member.lock.Unlock()
	if session == nil {
		return nil, errors.New("the member is between two generations")
	}
	for _, one := range wanted {
		session.MarkOffset(one.Topic, one.Number, one.At, one.Metadata)
		session.ResetOffset(one.Topic, one.Number, one.At, one.Metadata)
	}
	session.Commit()
	return nil, nil
}

func (a *adapter) leave(*lines.Request) (lines.Fields, error) {
	if a.member == nil {
		return nil, nil
	}
	m := a.member
	a.member = nil
	m.cancel()
	err := m.group.Close()
	<-m.over
	return nil, err
}
