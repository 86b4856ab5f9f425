// The adapter of segmentio's kafka-go.
package main

import (
	"os"
	"time"

	"github.com/segmentio/kafka-go"

	"adapters/lines"
)

type adapter struct {
	address string
	member  *member
}

// client with memory of its own: a transport answers for metadata from what it saw up to some seconds ago.
func (a *adapter) client() (client *kafka.Client, close func()) {
	transport := &kafka.Transport{}
	return &kafka.Client{Addr: kafka.TCP(a.address), Timeout: 30 * time.Second, Transport: transport},
		transport.CloseIdleConnections
}

func hello(*lines.Request) (lines.Fields, error) {
	return lines.Fields{"client": "kafka-go", "version": lines.Version("github.com/segmentio/kafka-go")}, nil
}

func main() {
	a := &adapter{address: os.Args[1]}
	lines.Serve(map[string]lines.Word{
		"hello":                hello,
		"produce":              a.produce,
		"read":                 a.read,
		"offset":               a.offset,
		"join":                 a.join,
		"commit":               a.commit,
		"committed":            a.committed,
		"leave":                a.leave,
		"create_topic":         a.createTopic,
		"describe_topic":       a.describeTopic,
		"list_topics":          a.listTopics,
		"create_partitions":    a.createPartitions,
		"alter_config":         a.alterConfig,
		"describe_config":      a.describeConfig,
		"txn_open":             lines.Missing("kafka.Writer has no transactions"),
		"transform":            lines.Missing("kafka.Writer has no transactions"),
		"delete_records":       lines.Missing("kafka.Client has no DeleteRecords"),
		"delete_topic":         a.deleteTopic,
		"list_groups":          a.listGroups,
		"describe_group":       a.describeGroup,
		"delete_group":         a.deleteGroup,
		"delete_group_offsets": a.deleteGroupOffsets,
		"quit":                 a.leave,
	})
}
