// The adapter of IBM's sarama.
package main

import (
	"log"
	"os"

	"github.com/IBM/sarama"

	"adapters/lines"
)

type adapter struct {
	address   string
	client    sarama.Client
	clients   []sarama.Client // the producers'
	admin     sarama.ClusterAdmin
	producers map[producerKind]sarama.SyncProducer
	member    *member

	transactional map[string]sarama.SyncProducer
	chain         *chain
}

func hello(*lines.Request) (lines.Fields, error) {
	return lines.Fields{"client": "sarama", "version": lines.Version("github.com/IBM/sarama")}, nil
}

func (a *adapter) quit(r *lines.Request) (lines.Fields, error) {
	if _, err := a.leave(r); err != nil {
		return nil, err
	}
	a.closeTransactions()
	for _, producer := range a.producers {
		if err := producer.Close(); err != nil {
			return nil, err
		}
	}
	for _, client := range a.clients {
		if err := client.Close(); err != nil {
			return nil, err
		}
	}
	return nil, a.admin.Close() // and with it the client
}

func open(address string) (*adapter, error) {
	client, err := sarama.NewClient([]string{address}, settings())
	if err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	return &adapter{address: address, client: client, admin: admin,
		producers: map[producerKind]sarama.SyncProducer{}, transactional: map[string]sarama.SyncProducer{}}, err
}

func main() {
	sarama.Logger = log.New(os.Stderr, "", log.LstdFlags|log.Lmicroseconds)
	a, err := open(os.Args[1])
	if err != nil {
		panic(err)
	}
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
