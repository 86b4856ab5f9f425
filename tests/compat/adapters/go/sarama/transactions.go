package main

import (
	"context"
	"sync"

	"github.com/IBM/sarama"

	"adapters/lines"
)

func (a *adapter) txnOpen(r *lines.Request) (lines.Fields, error) {
	config := settings()
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	config.Producer.Transaction.ID = r.Txn
	config.Producer.Transaction.Timeout = millis(r.TimeoutMs)
	client, err := sarama.NewClient([]string{a.address}, config)
	if err != nil {
		return nil, err
	}
	if err := connected(client); err != nil {
		return nil, err
	}
	a.transactional[r.As], err = sarama.NewSyncProducerFromClient(client)
	return nil, err
}

func (a *adapter) txnBegin(r *lines.Request) (lines.Fields, error) {
	return nil, a.transactional[r.As].BeginTxn()
}

func (a *adapter) txnSend(r *lines.Request) (lines.Fields, error) {
	return send(a.transactional[r.As], r)
}

func (a *adapter) txnEnd(r *lines.Request) (lines.Fields, error) {
	if r.Commit {
		return nil, a.transactional[r.As].CommitTxn()
	}
	return nil, a.transactional[r.As].AbortTxn()
}

// chain is the handler of a group that writes in transactions. The claims take turns: there is one producer.
type chain struct {
	group     sarama.ConsumerGroup
	groupID   string
	producer  sarama.SyncProducer
	to        string
	cancel    context.CancelFunc
	over      chan struct{}
	turn      sync.Mutex
	hasFailed bool
}

func (a *adapter) transform(r *lines.Request) (lines.Fields, error) {
	r.As = "chain"
	if _, err := a.txnOpen(r); err != nil {
		return nil, err
	}
	config := memberSettings(r)
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	group, err := sarama.NewConsumerGroup([]string{a.address}, r.Group, config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.chain = &chain{group: group, groupID: r.Group, producer: a.transactional["chain"], to: r.To, cancel: cancel,
		over: make(chan struct{})}
	go a.chain.live(ctx, r.Topic)
	return nil, nil
}

func (c *chain) live(ctx context.Context, topic string) {
	defer close(c.over)
	for ctx.Err() == nil && !c.hasFailed {
		if err := c.group.Consume(ctx, []string{topic}, c); err != nil && ctx.Err() == nil {
			lines.Failed(err)
			return
		}
	}
}

func (c *chain) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (c *chain) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *chain) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		batch := []*sarama.ConsumerMessage{message}
		for more := true; more && len(batch) < 100; {
			select {
			case next, open := <-claim.Messages():
				if more = open; open {
					batch = append(batch, next)
				}
			default:
				more = false
			}
		}
		if err := c.transact(session, batch); err != nil {
			lines.Failed(err)
			c.hasFailed = true
			c.cancel()
			return err
		}
	}
	return nil
}

func (c *chain) transact(session sarama.ConsumerGroupSession, batch []*sarama.ConsumerMessage) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	if c.hasFailed || session.Context().Err() != nil {
		return nil
	}
	if err := c.producer.BeginTxn(); err != nil {
		return err
	}
	made := make([]*sarama.ProducerMessage, len(batch))
	for i, message := range batch {
		made[i] = &sarama.ProducerMessage{Topic: c.to, Partition: message.Partition,
			Value: sarama.ByteEncoder(lines.Transformed(message.Value))}
	}
	if err := c.producer.SendMessages(made); err != nil {
		return err
	}
	member := sarama.NewConsumerGroupMetadataFromSession(session, c.groupID, nil)
	if err := c.producer.AddMessageToTxnWithGroupMetadata(batch[len(batch)-1], member, nil); err != nil {
		return err
	}
	if err := c.producer.CommitTxn(); err != nil {
		return err
	}
	lines.Chained(len(batch))
	return nil
}

func (a *adapter) closeTransactions() {
	if a.chain != nil {
		a.chain.cancel()
		<-a.chain.over
		a.chain.group.Close()
	}
}
