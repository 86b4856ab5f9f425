package main

import (
	"github.com/IBM/sarama"

	"adapters/lines"
)

func (a *adapter) createTopic(r *lines.Request) (lines.Fields, error) {
	count, err := r.PartitionCount()
	if err != nil {
		return nil, err
	}
	detail := &sarama.TopicDetail{NumPartitions: int32(count), ReplicationFactor: 1, ConfigEntries: map[string]*string{}}
	for key, value := range r.Configs {
		detail.ConfigEntries[key] = &value
	}
	return nil, a.admin.CreateTopic(r.Topic, detail, false)
}

func (a *adapter) describeTopic(r *lines.Request) (lines.Fields, error) {
	found, err := a.admin.DescribeTopics([]string{r.Topic})
	if err == nil && found[0].Err != sarama.ErrNoError {
		err = found[0].Err
	}
	if err != nil {
		return nil, err
	}
	return lines.Fields{"partitions": len(found[0].Partitions)}, nil
}

func (a *adapter) listTopics(*lines.Request) (lines.Fields, error) {
	found, err := a.admin.ListTopics()
	topics := []string{}
	for name := range found {
		topics = append(topics, name)
	}
	return lines.Fields{"topics": topics}, err
}

func (a *adapter) createPartitions(r *lines.Request) (lines.Fields, error) {
	return nil, a.admin.CreatePartitions(r.Topic, int32(r.Total), nil, false)
}

func (a *adapter) alterConfig(r *lines.Request) (lines.Fields, error) {
	changes := map[string]sarama.IncrementalAlterConfigsEntry{}
	for key, value := range r.Set {
		changes[key] = sarama.IncrementalAlterConfigsEntry{
			Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}
	}
	return lines.Fields{"incremental": true},
		a.admin.IncrementalAlterConfig(sarama.TopicResource, r.Topic, changes, false)
}

func (a *adapter) describeConfig(r *lines.Request) (lines.Fields, error) {
	resource := &sarama.ConfigResource{Type: sarama.TopicResource, Name: r.Topic}
	if r.Broker != nil {
		resource = &sarama.ConfigResource{Type: sarama.BrokerResource, Name: *r.Broker}
	}
	found, err := a.admin.DescribeConfigs([]*sarama.ConfigResource{resource}, sarama.DescribeConfigsOptions{
		IncludeSynonyms: true, IncludeDocumentation: true})
	if err == nil && found[0].ErrorCode != sarama.ErrNoError {
		err = found[0].ErrorCode
	}
	if err != nil {
		return nil, err
	}
	configs := map[string]string{}
	for _, entry := range found[0].Configs {
		configs[entry.Name] = entry.Value
	}
	return lines.Fields{"configs": configs}, nil
}

func (a *adapter) deleteRecords(r *lines.Request) (lines.Fields, error) {
	err := a.admin.DeleteRecords(r.Topic, map[int32]int64{r.Partition: r.Before})
	return lines.Fields{"low_watermark": nil}, err
}

func (a *adapter) deleteTopic(r *lines.Request) (lines.Fields, error) {
	return nil, a.admin.DeleteTopic(r.Topic)
}

func (a *adapter) committed(r *lines.Request) (lines.Fields, error) {
	wanted, err := r.PartitionList()
	if err != nil {
		return nil, err
	}
	topics := map[string][]int32{}
	for _, one := range wanted {
		topics[one.Topic] = append(topics[one.Topic], one.Number)
	}
	groups, err := a.admin.ListConsumerGroupOffsetsBatch(map[string]map[string][]int32{r.Group: topics})
	if err != nil {
		return nil, err
	}
	found := groups[r.Group]
	if found.Err != sarama.ErrNoError {
		return nil, found.Err
	}
	offsets, metadata := make([]int64, len(wanted)), make([]string, len(wanted))
	for i, one := range wanted {
		block := found.Blocks[one.Topic][one.Number]
		if block.Err != sarama.ErrNoError {
			return nil, block.Err
		}
		offsets[i], metadata[i] = block.Offset, block.Metadata
	}
	return lines.Fields{"offsets": offsets, "metadata": metadata}, nil
}

func (a *adapter) listGroups(*lines.Request) (lines.Fields, error) {
	found, err := a.admin.ListConsumerGroups()
	groups := []string{}
	for name := range found {
		groups = append(groups, name)
	}
	return lines.Fields{"groups": groups}, err
}

func (a *adapter) describeGroup(r *lines.Request) (lines.Fields, error) {
	found, err := a.admin.DescribeConsumerGroups([]string{r.Group})
	if err == nil && found[0].Err != sarama.ErrNoError {
		err = found[0].Err
	}
	if err != nil {
		return nil, err
	}
	return lines.Fields{"state": found[0].State, "members": len(found[0].Members),
		"protocol_type": found[0].ProtocolType}, nil
}

func (a *adapter) deleteGroup(r *lines.Request) (lines.Fields, error) {
	return nil, a.admin.DeleteConsumerGroup(r.Group)
}

func (a *adapter) deleteGroupOffsets(r *lines.Request) (lines.Fields, error) {
	return nil, a.admin.DeleteConsumerGroupOffset(r.Group, r.Topic, r.Partition)
}
