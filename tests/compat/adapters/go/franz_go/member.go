package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"adapters/lines"
)

// member is the group consumer. Its callbacks run between two polls (BlockRebalanceOnPoll), so that no event
// of a record comes after that partition was revoked.
type member struct {
	client *kgo.Client
	owned  map[lines.Partition]bool
	over   chan struct{}
}

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// memberOptions are those of every member of a group.
func memberOptions(address string, r *lines.Request) []kgo.Opt {
	balancer := kgo.RangeBalancer()
	if r.Strategy == "cooperative" {
		balancer = kgo.CooperativeStickyBalancer()
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(address),
		kgo.ConsumerGroup(r.Group),
		kgo.Balancers(balancer),
		kgo.SessionTimeout(millis(r.SessionMs)),
		kgo.HeartbeatInterval(millis(r.HeartbeatMs)),
		kgo.RebalanceTimeout(millis(r.RebalanceMs)),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
	}
	if r.Instance != "" {
		options = append(options, kgo.InstanceID(r.Instance))
	}
	return options
}

func (a *adapter) join(r *lines.Request) (lines.Fields, error) {
	m := &member{owned: map[lines.Partition]bool{}, over: make(chan struct{})}
	client, err := kgo.NewClient(append(memberOptions(a.address, r),
		kgo.ConsumeTopics(r.Topics...),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(m.assigned),
		kgo.OnPartitionsRevoked(m.revoked),
		kgo.OnPartitionsLost(m.revoked),
	)...)
	if err != nil {
		return nil, err
	}
	m.client, a.member = client, m
	go m.live()
	return nil, nil
}

func (m *member) assigned(_ context.Context, client *kgo.Client, added map[string][]int32) {
	for _, one := range lines.Listed(added) {
		m.owned[one] = true
	}
	_, generation := client.GroupMetadata()
	lines.Assigned(slices.Collect(maps.Keys(m.owned)), generation)
}

func (m *member) revoked(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
	list := lines.Listed(taken)
	for _, one := range list {
		delete(m.owned, one)
	}
	lines.Revoked(list)
}

func (m *member) live() {
	defer close(m.over)
	for {
		fetches := m.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(_ string, _ int32, err error) { lines.Failed(err) })
		fetches.EachRecord(func(record *kgo.Record) {
			lines.Delivered(record.Topic, record.Partition, record.Offset, record.Value)
		})
		m.client.AllowRebalance()
	}
}

func (a *adapter) commit(r *lines.Request) (lines.Fields, error) {
	if a.member == nil {
		return nil, fmt.Errorf("no member has joined")
	}
	if r.Offsets == nil {
		return nil, a.member.client.CommitUncommittedOffsets(context.Background())
	}
	return nil, a.member.commit(r.Offsets)
}

// commit of given offsets; their metadata goes into the request by the hook that the client has for it.
func (m *member) commit(wanted []lines.Offset) (failure error) {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	metadata := map[lines.Partition]string{}
	for _, one := range wanted {
		if offsets[one.Topic] == nil {
			offsets[one.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[one.Topic][one.Number] = kgo.EpochOffset{Epoch: -1, Offset: one.At}
		metadata[one.Partition] = one.Metadata
	}
	ctx := kgo.PreCommitFnContext(context.Background(), func(request *kmsg.OffsetCommitRequest) error {
		for _, topic := range request.Topics {
			for i := range topic.Partitions {
				text := metadata[lines.Partition{Topic: topic.Topic, Number: topic.Partitions[i].Partition}]
				topic.Partitions[i].Metadata = &text
			}
		}
		return nil
	})
	m.client.CommitOffsetsSync(ctx, offsets,
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
			failure = err
			if err == nil {
				failure = refused(response)
			}
		})
	return
}

func refused(response *kmsg.OffsetCommitResponse) error {
	for _, topic := range response.Topics {
		for _, partition := range topic.Partitions {
			if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *adapter) leave(*lines.Request) (lines.Fields, error) {
	if a.member != nil {
		a.member.client.CloseAllowingRebalance()
		<-a.member.over
		a.member = nil
	}
	return nil, nil
}
