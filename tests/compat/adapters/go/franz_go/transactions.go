package main

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adapters/lines"
)

func (a *adapter) txnOpen(r *lines.Request) (lines.Fields, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(a.address),
		kgo.TransactionalID(r.Txn),
		kgo.TransactionTimeout(millis(r.TimeoutMs)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		return nil, err
	}
	a.transactional[r.As] = client
	_, _, err = client.ProducerID(context.Background()) // initialises what was left of the id
	return nil, err
}

func (a *adapter) txnBegin(r *lines.Request) (lines.Fields, error) {
	return nil, a.transactional[r.As].BeginTransaction()
}

func (a *adapter) txnSend(r *lines.Request) (lines.Fields, error) {
	return send(a.transactional[r.As], r)
}

func (a *adapter) txnEnd(r *lines.Request) (lines.Fields, error) {
	return nil, a.transactional[r.As].EndTransaction(context.Background(), kgo.TransactionEndTry(r.Commit))
}

// transform runs the client's own session of a group in transactions.
func (a *adapter) transform(r *lines.Request) (lines.Fields, error) {
	session, err := kgo.NewGroupTransactSession(append(memberOptions(a.address, r),
		kgo.ConsumeTopics(r.Topic),
		kgo.TransactionalID(r.Txn),
		kgo.TransactionTimeout(millis(r.TimeoutMs)),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)...)
	if err != nil {
		return nil, err
	}
	a.chain, a.chained = session, make(chan struct{})
	go a.runChain(r.To)
	return nil, nil
}

func (a *adapter) runChain(to string) {
	defer close(a.chained)
	for {
		fetches := a.chain.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			lines.Failed(errs[0].Err)
			return
		}
		if err := a.turn(fetches.Records(), to); err != nil {
			lines.Failed(err)
			return
		}
	}
}

func (a *adapter) turn(records []*kgo.Record, to string) error {
	if len(records) == 0 {
		return nil
	}
	if err := a.chain.Begin(); err != nil {
		return err
	}
	made := make([]*kgo.Record, len(records))
	for i, record := range records {
		made[i] = &kgo.Record{Topic: to, Partition: record.Partition, Value: lines.Transformed(record.Value)}
	}
	sent := a.chain.ProduceSync(context.Background(), made...).FirstErr()
	committed, err := a.chain.End(context.Background(), kgo.TransactionEndTry(sent == nil))
	if committed {
		lines.Chained(len(records))
	}
	return errors.Join(sent, err)
}

func (a *adapter) closeTransactions() {
	if a.chain != nil {
		a.chain.Close()
		select {
		case <-a.chained:
		case <-time.After(10 * time.Second):
		}
	}
	for _, client := range a.transactional {
		client.Close()
	}
}
