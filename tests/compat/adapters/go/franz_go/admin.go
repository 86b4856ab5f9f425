package main

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"

	"adapters/lines"
)

var background = context.Background()

func (a *adapter) createTopic(r *lines.Request) (lines.Fields, error) {
	count, err := r.PartitionCount()
	if err != nil {
		return nil, err
	}
	configs := map[string]*string{}
	for key, value := range r.Configs {
		configs[key] = kadm.StringPtr(value)
	}
	_, err = a.admin.CreateTopic(background, int32(count), 1, configs, r.Topic)
	return nil, err
}

func (a *adapter) describeTopic(r *lines.Request) (lines.Fields, error) {
	found, err := a.admin.ListTopics(background, r.Topic)
	if err == nil {
		err = found.Error()
	}
	if err != nil {
		return nil, err
	}
	return lines.Fields{"partitions": len(found[r.Topic].Partitions)}, nil
}

func (a *adapter) listTopics(*lines.Request) (lines.Fields, error) {
	found, err := a.admin.ListTopics(background)
	return lines.Fields{"topics": found.Names()}, err
}

func (a *adapter) createPartitions(r *lines.Request) (lines.Fields, error) {
	answers, err := a.admin.UpdatePartitions(background, r.Total, r.Topic)
	if err == nil {
		err = answers.Error()
	}
	return nil, err
}

func (a *adapter) alterConfig(r *lines.Request) (lines.Fields, error) {
	changes := []kadm.AlterConfig{}
	for key, value := range r.Set {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: kadm.StringPtr(value)})
	}
	answers, err := a.admin.AlterTopicConfigs(background, changes, r.Topic)
	if err == nil {
		_, err = answers.On(r.Topic, func(answer *kadm.AlterConfigsResponse) error { return answer.Err })
	}
	return lines.Fields{"incremental": true}, err
}

func (a *adapter) resource(r *lines.Request) (found kadm.ResourceConfigs, name string, err error) {
	if r.Broker == nil {
		found, err = a.admin.DescribeTopicConfigs(background, r.Topic)
		return found, r.Topic, err
	}
	id, err := strconv.Atoi(*r.Broker)
	if err == nil {
		found, err = a.admin.DescribeBrokerConfigs(background, int32(id))
	}
	return found, *r.Broker, err
}

func (a *adapter) describeConfig(r *lines.Request) (lines.Fields, error) {
	found, name, err := a.resource(r)
	if err != nil {
		return nil, err
	}
	one, err := found.On(name, func(one *kadm.ResourceConfig) error { return one.Err })
	configs := map[string]*string{}
	for _, config := range one.Configs {
		configs[config.Key] = config.Value
	}
	return lines.Fields{"configs": configs}, err
}

func (a *adapter) deleteRecords(r *lines.Request) (lines.Fields, error) {
	before := kadm.Offsets{}
	before.AddOffset(r.Topic, r.Partition, r.Before, -1)
	answers, err := a.admin.DeleteRecords(background, before)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		return nil, err
	}
	one, err := answers.On(r.Topic, r.Partition, nil)
	return lines.Fields{"low_watermark": one.LowWatermark}, err
}

func (a *adapter) deleteTopic(r *lines.Request) (lines.Fields, error) {
	_, err := a.admin.DeleteTopic(background, r.Topic)
	return nil, err
}

func (a *adapter) committed(r *lines.Request) (lines.Fields, error) {
	wanted, err := r.PartitionList()
	if err != nil {
		return nil, err
	}
	found, err := a.admin.FetchOffsets(background, r.Group)
	if err == nil {
		err = found.Error()
	}
	if err != nil {
		return nil, err
	}
	offsets, metadata := make([]int64, len(wanted)), make([]string, len(wanted))
	for i, one := range wanted {
		offsets[i] = -1
		if answer, has := found.Lookup(one.Topic, one.Number); has {
			offsets[i], metadata[i] = answer.At, answer.Metadata
		}
	}
	return lines.Fields{"offsets": offsets, "metadata": metadata}, nil
}

func (a *adapter) listGroups(*lines.Request) (lines.Fields, error) {
	found, err := a.admin.ListGroups(background)
	return lines.Fields{"groups": found.Groups()}, err
}

func (a *adapter) describeGroup(r *lines.Request) (lines.Fields, error) {
	found, err := a.admin.DescribeGroups(background, r.Group)
	if err != nil {
		return nil, err
	}
	one, err := found.On(r.Group, func(one *kadm.DescribedGroup) error { return one.Err })
	return lines.Fields{"state": one.State, "members": len(one.Members), "protocol_type": one.ProtocolType}, err
}

func (a *adapter) deleteGroup(r *lines.Request) (lines.Fields, error) {
	_, err := a.admin.DeleteGroup(background, r.Group)
	return nil, err
}

func (a *adapter) deleteGroupOffsets(r *lines.Request) (lines.Fields, error) {
	wanted := kadm.TopicsSet{}
	wanted.Add(r.Topic, r.Partition)
	answers, err := a.admin.DeleteOffsets(background, r.Group, wanted)
	if err == nil {
		err = answers.Error()
	}
	return nil, err
}
