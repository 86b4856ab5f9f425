// Transactions with kafkajs. A producer initialises its id with its first transaction, so that one is begun ahead.
import kafkajs from 'kafkajs'

import { chained, failed, transformed } from '../lines.js'
import { memberSettings } from './member.js'

const { Partitioners } = kafkajs

export function transactionWords(kafka, send) {
  const producers = new Map()
  let consumer = null

  async function txn_open(request) {
    const producer = kafka.producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      transactionalId: request.txn,
      transactionTimeout: request.timeout_ms,
      idempotent: true,
      maxInFlightRequests: 1
    })
    await producer.connect()
    producers.set(request.as, { producer, next: await producer.transaction(), current: null })
  }

  async function txn_begin(request) {
    const mine = producers.get(request.as)
    mine.current = mine.next ?? (await mine.producer.transaction())
    mine.next = null
  }

  const txn_send = (request) => send(producers.get(request.as).current, request)

  async function txn_end(request) {
    const { current } = producers.get(request.as)
    await (request.commit ? current.commit() : current.abort())
  }

  async function transform(request) {
    await txn_open({ ...request, as: 'chain' })
    consumer = kafka.consumer({ ...memberSettings(request), readUncommitted: false })
    consumer.on(consumer.events.CRASH, (event) => failed(event.payload.error))
    await consumer.connect()
    await consumer.subscribe({ topics: [request.topic], fromBeginning: true })
    const eachBatch = ({ batch }) => turn(batch, request)
    await consumer.run({ autoCommit: false, eachBatchAutoResolve: true, eachBatch })
  }

  async function turn(batch, { to, group }) {
    const { topic, partition, messages } = batch
    if (messages.length === 0) return
    await txn_begin({ as: 'chain' })
    const { current } = producers.get('chain')
    await current.send({ topic: to, messages: messages.map(({ value }) => ({ partition, value: transformed(value) })) })
    const offset = String(BigInt(batch.lastOffset()) + 1n)
    await current.sendOffsets({ consumerGroupId: group, topics: [{ topic, partitions: [{ partition, offset }] }] })
    await current.commit()
    chained(messages.length)
  }

  async function close() {
    if (consumer) await consumer.disconnect()
    for (const { producer } of producers.values()) await producer.disconnect()
  }

  return { words: { txn_open, txn_begin, txn_send, txn_end, transform }, close }
}
