// The adapter of franz-go and its admin package kadm.
package main

import (
	"os"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adapters/lines"
)

type adapter struct {
	address   string
	producers map[producerKind]*kgo.Client
	admin     *kadm.Client
	member    *member

	transactional map[string]*kgo.Client
	chain         *kgo.GroupTransactSession
	chained       chan struct{} // closed when the chain has ended
}

func hello(*lines.Request) (lines.Fields, error) {
	return lines.Fields{"client": "franz-go", "version": lines.Version("github.com/twmb/franz-go") + " with kadm " +
		lines.Version("github.com/twmb/franz-go/pkg/kadm")}, nil
}

func (a *adapter) quit(r *lines.Request) (lines.Fields, error) {
	_, err := a.leave(r)
	a.closeTransactions()
	for _, client := range a.producers {
		client.Close()
	}
	a.admin.Close()
	return nil, err
}

func main() {
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]))
	if err != nil {
		panic(err)
	}
	a := &adapter{address: os.Args[1], producers: map[producerKind]*kgo.Client{}, admin: kadm.NewClient(client),
		transactional: map[string]*kgo.Client{}}
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
		"delete_records":       a.deleteRecords,
		"delete_topic":         a.deleteTopic,
		"list_groups":          a.listGroups,
		"describe_group":       a.describeGroup,
		"delete_group":         a.deleteGroup,
		"delete_group_offsets": a.deleteGroupOffsets,
		"txn_open":             a.txnOpen,
		"txn_begin":            a.txnBegin,
		"txn_send":             a.txnSend,
		"txn_end":              a.txnEnd,
		"transform":            a.transform,
		"quit":                 a.quit,
	})
}
