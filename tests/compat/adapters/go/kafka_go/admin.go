package main

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"

	"adapters/lines"
)

var background = context.Background()

func (a *adapter) createTopic(r *lines.Request) (lines.Fields, error) {
	count, err := r.PartitionCount()
	if err != nil {
		return nil, err
	}
	topic := kafka.TopicConfig{Topic: r.Topic, NumPartitions: count, ReplicationFactor: 1}
	for key, value := range r.Configs {
		topic.ConfigEntries = append(topic.ConfigEntries, kafka.ConfigEntry{ConfigName: key, ConfigValue: value})
	}
	client, close := a.client()
	defer close()
	answer, err := client.CreateTopics(background, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{topic}})
	if err == nil {
		err = answer.Errors[r.Topic]
	}
	return nil, err
}

func (a *adapter) describeTopic(r *lines.Request) (lines.Fields, error) {
	client, close := a.client()
	defer close()
	answer, err := client.Metadata(background, &kafka.MetadataRequest{Topics: []string{r.Topic}})
	if err == nil && len(answer.Topics) != 1 {
		err = fmt.Errorf("%d topics were described", len(answer.Topics))
	}
	if err == nil {
		err = answer.Topics[0].Error
	}
	if err != nil {
		return nil, err
	}
	return lines.Fields{"partitions": len(answer.Topics[0].Partitions)}, nil
}

func (a *adapter) listTopics(*lines.Request) (lines.Fields, error) {
	client, close := a.client()
	defer close()
	answer, err := client.Metadata(background, &kafka.MetadataRequest{})
	if err != nil {
		return nil, err
	}
	topics := []string{}
	for _, topic := range answer.Topics {
		topics = append(topics, topic.Name)
	}
	return lines.Fields{"topics": topics}, nil
}

func (a *adapter) createPartitions(r *lines.Request) (lines.Fields, error) {
	client, close := a.client()
	defer close()
	answer, err := client.CreatePartitions(background, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: r.Topic, Count: int32(r.Total)}}})
	if err == nil {
		err = answer.Errors[r.Topic]
	}
	return nil, err
}

func (a *adapter) alterConfig(r *lines.Request) (lines.Fields, error) {
	resource := kafka.IncrementalAlterConfigsRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: r.Topic}
	for key, value := range r.Set {
		resource.Configs = append(resource.Configs, kafka.IncrementalAlterConfigsRequestConfig{
			Name: key, Value: value, ConfigOperation: kafka.ConfigOperationSet})
	}
	client, close := a.client()
	defer close()
	answer, err := client.IncrementalAlterConfigs(background, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{resource}})
	if err == nil {
		err = answer.Resources[0].Error
	}
	return lines.Fields{"incremental": true}, err
}

func (a *adapter) describeConfig(r *lines.Request) (lines.Fields, error) {
	resource := kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: r.Topic}
	if r.Broker != nil {
		resource = kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeBroker, ResourceName: *r.Broker}
	}
	client, close := a.client()
	defer close()
	answer, err := client.DescribeConfigs(background, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{resource}, IncludeSynonyms: true, IncludeDocumentation: true})
	if err == nil {
		err = answer.Resources[0].Error
	}
	if err != nil {
		return nil, err
	}
	configs := map[string]string{}
	for _, entry := range answer.Resources[0].ConfigEntries {
		configs[entry.ConfigName] = entry.ConfigValue
	}
	return lines.Fields{"configs": configs}, nil
}

func (a *adapter) deleteTopic(r *lines.Request) (lines.Fields, error) {
	client, close := a.client()
	defer close()
	answer, err := client.DeleteTopics(background, &kafka.DeleteTopicsRequest{Topics: []string{r.Topic}})
	if err == nil {
		err = answer.Errors[r.Topic]
	}
	return nil, err
}

func (a *adapter) committed(r *lines.Request) (lines.Fields, error) {
	wanted, err := r.PartitionList()
	if err != nil {
		return nil, err
	}
	topics := map[string][]int{}
	for _, one := range wanted {
		topics[one.Topic] = append(topics[one.Topic], int(one.Number))
	}
	client, close := a.client()
	defer close()
	answer, err := client.OffsetFetch(background, &kafka.OffsetFetchRequest{GroupID: r.Group, Topics: topics})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return nil, err
	}
	found := map[lines.Partition]kafka.OffsetFetchPartition{}
	for topic, partitions := range answer.Topics {
		for _, partition := range partitions {
			found[lines.Partition{Topic: topic, Number: int32(partition.Partition)}] = partition
		}
	}
	offsets, metadata := make([]int64, len(wanted)), make([]string, len(wanted))
	for i, one := range wanted {
		if found[one].Error != nil {
			return nil, found[one].Error
		}
		offsets[i], metadata[i] = found[one].CommittedOffset, found[one].Metadata
	}
	return lines.Fields{"offsets": offsets, "metadata": metadata}, nil
}

func (a *adapter) listGroups(*lines.Request) (lines.Fields, error) {
	client, close := a.client()
	defer close()
	answer, err := client.ListGroups(background, &kafka.ListGroupsRequest{})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return nil, err
	}
	groups := []string{}
	for _, group := range answer.Groups {
		groups = append(groups, group.GroupID)
	}
	return lines.Fields{"groups": groups}, nil
}

func (a *adapter) describeGroup(r *lines.Request) (lines.Fields, error) {
	client, close := a.client()
	defer close()
	answer, err := client.DescribeGroups(background, &kafka.DescribeGroupsRequest{GroupIDs: []string{r.Group}})
	if err == nil {
		err = answer.Groups[0].Error
	}
	if err != nil {
		return nil, err
	}
	group := answer.Groups[0]
	return lines.Fields{"state": group.GroupState, "members": len(group.Members), "protocol_type": nil}, nil
}

func (a *adapter) deleteGroup(r *lines.Request) (lines.Fields, error) {
	client, close := a.client()
	defer close()
	answer, err := client.DeleteGroups(background, &kafka.DeleteGroupsRequest{GroupIDs: []string{r.Group}})
	if err == nil {
		err = answer.Errors[r.Group]
	}
	return nil, err
}

func (a *adapter) deleteGroupOffsets(r *lines.Request) (lines.Fields, error) {
	client, close := a.client()
	defer close()
	answer, err := client.OffsetDelete(background, &kafka.OffsetDeleteRequest{GroupID: r.Group,
		Topics: map[string][]int{r.Topic: {int(r.Partition)}}})
	if err == nil {
		err = answer.Error
	}
	if err == nil {
		err = answer.Topics[r.Topic][0].Error
	}
	return nil, err
}
